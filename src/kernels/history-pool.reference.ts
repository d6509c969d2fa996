/** history-pool.ts in plain float64 loops, as the reference writes it: every entry is normalised and projected. */
import { tokenShiftReference } from "./token-shift.reference.ts";

export interface PoolReferenceWeights {
  /** (D) */
  readonly query: ArrayLike<number>;
  /** (D) */
  readonly gain: ArrayLike<number>;
  /** (R·r, D) */
  readonly queries: ArrayLike<number>;
  /** (4·r, D) */
  readonly keysValues: ArrayLike<number>;
  /** (D, R·r) */
  readonly out: ArrayLike<number>;
}

const product = (w: ArrayLike<number>, x: ArrayLike<number>, rows: number): Float64Array =>
  Float64Array.from({ length: rows }, (_, o) => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += w[o * x.length + i] * x[i];
    return sum;
  });

/** z (tokens, D) of a history (entries, tokens, D); one entry comes back as it is. */
export function historyPoolReference(
  history: ArrayLike<number>,
  weights: PoolReferenceWeights,
  s: { entries: number; tokens: number; dim: number; heads: number; headDim: number },
): Float64Array {
  const { entries, tokens, dim, heads, headDim: r } = s;
  if (entries === 1) return Float64Array.from({ length: tokens * dim }, (_, i) => history[i]);
  const z = new Float64Array(tokens * dim);
  const q = product(weights.queries, weights.query, heads * r);
  for (let t = 0; t < tokens; t++) {
    const keysValues = Array.from({ length: entries }, (_, m) => {
      const x = Float64Array.from({ length: dim }, (_, d) => history[(m * tokens + t) * dim + d]);
      const mean = x.reduce((sum, v) => sum + v * v, 0) / dim;
      const normed = x.map((v, d) => (v / Math.sqrt(mean + 2 ** -23)) * weights.gain[d]);
      return product(weights.keysValues, normed, 4 * r);
    });
    const values = new Float64Array(heads * r);
    for (let j = 0; j < heads; j++) {
      const g = j % 2;
      const logits = keysValues.map((kv) => {
        let sum = 0;
        for (let e = 0; e < r; e++) sum += q[j * r + e] * kv[g * r + e];
        return sum / Math.sqrt(r);
      });
      const highest = Math.max(...logits);
      const shares = logits.map((l) => Math.exp(l - highest));
      const total = shares.reduce((a, b) => a + b);
      keysValues.forEach((kv, m) => {
        for (let e = 0; e < r; e++) values[j * r + e] += (shares[m] / total) * kv[(2 + g) * r + e];
      });
    }
    z.set(product(weights.out, values, dim), t * dim);
  }
  return z;
}

/** √D · z / max(‖z‖₂, ε), times (1 + scale) plus shift of each token's row, then shifted from token `shiftFrom`. */
export function modulateReference(
  z: ArrayLike<number>,
  table: { rows: ArrayLike<number>; width: number; scaleAt: number; shiftAt: number },
  rowOf: ArrayLike<number>,
  epsilon: number,
  s: { batch: number; perItem: number; dim: number; shiftFrom?: number },
): Float64Array {
  const { batch, perItem, dim, shiftFrom } = s;
  const y = new Float64Array(z.length);
  for (let t = 0; t < batch * perItem; t++) {
    let square = 0;
    for (let d = 0; d < dim; d++) square += z[t * dim + d] ** 2;
    const factor = Math.sqrt(dim) / Math.max(Math.sqrt(square), epsilon);
    const row = rowOf[t] * table.width;
    for (let d = 0; d < dim; d++) {
      const [scale, shift] = [table.rows[row + table.scaleAt + d], table.rows[row + table.shiftAt + d]];
      y[t * dim + d] = z[t * dim + d] * factor * (1 + scale) + shift;
    }
  }
  return shiftFrom === undefined ? y : tokenShiftReference(y, batch, perItem, dim, shiftFrom);
}
