/** attention.ts in plain float64 loops, softmax in two passes. */
import { sigmoid } from "./activations.reference.ts";

export interface AttentionShape {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly scale?: number;
  readonly mask?: ArrayLike<number>;
  readonly relativeBias?: ArrayLike<number>;
  readonly causal?: boolean;
  /** (B, N, H) logits of each head's gate */
  readonly gate?: ArrayLike<number>;
}

const LOWEST = -3.4028234663852886e38;

/** out (B, N, H·d) of q (B, N, H·d), k and v (B, S, G·d). */
export function attentionReference(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  shape: AttentionShape,
): Float64Array {
  const { batch, queries, keys, heads, keyValueHeads, headDim: d, mask, relativeBias, causal, gate } = shape;
  const scale = shape.scale ?? d ** -0.5;
  const out = new Float64Array(batch * queries * heads * d);
  const logits = new Float64Array(keys);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const g = h % keyValueHeads;
      for (let i = 0; i < queries; i++) {
        const queryAt = ((b * queries + i) * heads + h) * d;
        for (let j = 0; j < keys; j++) {
          const keyAt = ((b * keys + j) * keyValueHeads + g) * d;
          let product = 0;
          for (let c = 0; c < d; c++) product += q[queryAt + c] * k[keyAt + c];
          logits[j] = product * scale + (relativeBias?.[(j - i + queries - 1) * heads + h] ?? 0);
          if ((mask && mask[b * keys + j] === 0) || (causal && j > i)) logits[j] = LOWEST;
        }
        const highest = logits.reduce((a, x) => Math.max(a, x), LOWEST);
        let sum = 0;
        for (let j = 0; j < keys; j++) sum += Math.exp(logits[j] - highest);
        const open = gate ? sigmoid(gate[(b * queries + i) * heads + h]) : 1;
        for (let j = 0; j < keys; j++) {
          const weight = (Math.exp(logits[j] - highest) / sum) * open;
          const valueAt = ((b * keys + j) * keyValueHeads + g) * d;
          for (let c = 0; c < d; c++) out[queryAt + c] += weight * v[valueAt + c];
        }
      }
    }
  }
  return out;
}

/**
 * The tangent of `attentionReference` where queries, keys, values and gates move: Ṡ = scale·(Q̇·Kᵀ + Q·K̇ᵀ), 0 where hidden,
 * Ṗ = P ⊙ (Ṡ − Σ P ⊙ Ṡ), Ȯ = Ṗ·V + P·V̇.
 */
export function attentionTangentReference(
  [q, k, v]: readonly ArrayLike<number>[],
  d: {
    readonly q?: ArrayLike<number>;
    readonly k?: ArrayLike<number>;
    readonly v?: ArrayLike<number>;
    readonly gate?: ArrayLike<number>;
  },
  shape: AttentionShape,
): Float64Array {
  const { batch, queries, keys, heads, keyValueHeads, headDim, mask, relativeBias, causal, gate } = shape;
  const scale = shape.scale ?? headDim ** -0.5;
  const y = new Float64Array(batch * queries * heads * headDim);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queries; i++) {
        const queryAt = ((b * queries + i) * heads + h) * headDim;
        const keyAt = (j: number): number => ((b * keys + j) * keyValueHeads + (h % keyValueHeads)) * headDim;
        const hidden = (j: number): boolean => mask?.[b * keys + j] === 0 || (causal === true && j > i);
        const logits = new Float64Array(keys);
        const moves = new Float64Array(keys);
        for (let j = 0; j < keys; j++) {
          if (hidden(j)) {
            logits[j] = LOWEST;
            continue;
          }
          logits[j] = relativeBias?.[(j - i + queries - 1) * heads + h] ?? 0;
          for (let c = 0; c < headDim; c++) {
            const [a, e] = [queryAt + c, keyAt(j) + c];
            logits[j] += scale * q[a] * k[e];
            moves[j] += scale * ((d.q?.[a] ?? 0) * k[e] + q[a] * (d.k?.[e] ?? 0));
          }
        }
        const highest = logits.reduce((a, x) => Math.max(a, x), LOWEST);
        const weights = logits.map((x) => Math.exp(x - highest));
        const sum = weights.reduce((a, x) => a + x, 0);
        const mean = weights.reduce((a, w, j) => a + (w / sum) * moves[j], 0);
        const gateAt = (b * queries + i) * heads + h;
        const open = gate ? sigmoid(gate[gateAt]) : 1;
        const opens = open * (1 - open) * (d.gate?.[gateAt] ?? 0);
        for (let j = 0; j < keys; j++)
          for (let c = 0; c < headDim; c++) {
            const [weight, e] = [weights[j] / sum, keyAt(j) + c];
            const value = weight * v[e];
            y[queryAt + c] += (value * (moves[j] - mean) + weight * (d.v?.[e] ?? 0)) * open + value * opens;
          }
      }
  return y;
}
