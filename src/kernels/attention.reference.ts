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
