/** rotary.ts in plain float64 loops. */

export interface PairsShape {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
}

/** (B, N, H·d) of x (B, N, H·d), angles (N, d/2). */
export function rotatePairsReference(
  x: ArrayLike<number>,
  angles: ArrayLike<number>,
  { batch, tokens, heads, headDim: d }: PairsShape,
): Float64Array {
  const y = new Float64Array(batch * tokens * heads * d);
  for (let b = 0; b < batch; b++) {
    for (let n = 0; n < tokens; n++) {
      for (let h = 0; h < heads; h++) {
        for (let j = 0; j < d / 2; j++) {
          const at = ((b * tokens + n) * heads + h) * d + 2 * j;
          const angle = angles[(n * d) / 2 + j];
          y[at] = x[at] * Math.cos(angle) - x[at + 1] * Math.sin(angle);
          y[at + 1] = x[at + 1] * Math.cos(angle) + x[at] * Math.sin(angle);
        }
      }
    }
  }
  return y;
}
