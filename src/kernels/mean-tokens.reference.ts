/** mean-tokens.ts in plain float64 loops. */

/** (batch, dim) of x (batch, tokens, dim). */
export function meanTokensReference(
  x: ArrayLike<number>,
  batch: number,
  tokens: number,
  dim: number,
): Float64Array {
  const y = new Float64Array(batch * dim);
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < tokens; s++) {
      for (let d = 0; d < dim; d++) y[b * dim + d] += x[(b * tokens + s) * dim + d] / tokens;
    }
  }
  return y;
}
