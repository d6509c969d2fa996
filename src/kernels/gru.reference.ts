/** gru.ts in plain float64 loops. */
import { sigmoid } from "./activations.reference.ts";

/** Sums y = u + h (batch, steps, dim) and the last hidden state (batch, dim); `weight` is torch's weight_hh (3D, D). */
export function gruReference(
  u: ArrayLike<number>,
  a: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  start: ArrayLike<number>,
  batch: number,
  steps: number,
  dim: number,
): { sums: Float64Array; last: Float64Array } {
  const sums = new Float64Array(batch * steps * dim);
  const last = Float64Array.from(start);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < steps; i++) {
      const h = last.slice(b * dim, (b + 1) * dim);
      const recurrent = (row: number): number => {
        let sum = bias[row];
        for (let k = 0; k < dim; k++) sum += weight[row * dim + k] * h[k];
        return sum;
      };
      for (let d = 0; d < dim; d++) {
        const at = (b * steps + i) * 3 * dim + d;
        const r = sigmoid(a[at] + recurrent(d));
        const z = sigmoid(a[at + dim] + recurrent(dim + d));
        const n = Math.tanh(a[at + 2 * dim] + r * recurrent(2 * dim + d));
        last[b * dim + d] = (1 - z) * n + z * h[d];
        sums[(b * steps + i) * dim + d] = last[b * dim + d] + u[(b * steps + i) * dim + d];
      }
    }
  }
  return { sums, last };
}
