/** token-shift.ts in plain loops. */

/** (batch, tokens, dim) shifted from token `first`. */
export function tokenShiftReference(
  x: ArrayLike<number>,
  batch: number,
  tokens: number,
  dim: number,
  first: number,
): Float64Array {
  const y = Float64Array.from(x);
  for (let b = 0; b < batch; b++) {
    for (let j = first; j < tokens; j++) {
      for (let d = Math.ceil(dim / 2); d < dim; d++) {
        const at = (b * tokens + j) * dim + d;
        y[at] = j === first ? 0 : x[at - dim];
      }
    }
  }
  return y;
}
