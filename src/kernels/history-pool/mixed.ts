/**
 * As the query is constant, u_j = r^−½ · gain ⊙ (W_kᵀ·q_j) is prepared once, so a logit is one dot product with the entry; as
 * values are linear, the entries are mixed first (history-mix.ts) and only the mix is projected, by the general linear
 * kernel. Nine small dispatches: for CPU adapters, where dispatches are cheap and barriers dear.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { mixHistory } from "../history-mix.ts";
import { linear } from "../linear.ts";
import { FLOAT32_EPSILON, POOL_KV_HEADS, type PoolShape, type PoolWeights } from "./pool.ts";

/** The history (M, B, N, D) pooled: (tokens, D). */
export function poolMixed(
  history: Tensor,
  { u, values, outs }: Extract<PoolWeights, { kind: "mixed" }>,
  { dim, heads, headDim }: PoolShape,
): Tensor {
  const entries = history.dim(0);
  const tokens = history.rows / entries;
  const mixes = mixHistory(history.reshape(entries, tokens, dim), u, heads, FLOAT32_EPSILON);
  const inner = (heads / POOL_KV_HEADS) * headDim;
  const [even, odd] = mixes.map((mix, g) => linear(mix, values[g]).reshape(tokens, inner));
  return linear(odd, outs[1], { residual: linear(even, outs[0]) });
}
