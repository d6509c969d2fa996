/** changes.ts in plain float64 loops. */

/** (steps, batch, 2) of x (steps, batch, length). */
export function changesReference(
  x: ArrayLike<number>,
  steps: number,
  batch: number,
  length: number,
): Float64Array {
  const y = new Float64Array(steps * batch * 2);
  for (let k = 0; k < steps; k++) {
    for (let v = 0; v < batch; v++) {
      const at = k * batch + v;
      for (let i = 0; i < length; i++) {
        const value = x[at * length + i];
        if (k > 0) y[2 * at] += (value - x[(at - batch) * length + i]) ** 2;
        y[2 * at + 1] += value ** 2;
      }
    }
  }
  return y;
}
