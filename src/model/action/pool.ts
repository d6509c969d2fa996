/** The weights of one history pool, in the form that this device's variant of the kernel wants. */
import {
  foldedSize,
  foldPool,
  historyPool,
  type PoolEnd,
  POOL_KV_HEADS,
  type PoolShape,
  poolVariant,
  type PoolWeights,
  projectQuery,
} from "../../kernels/history-pool.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";

/** `AttentionAggregatedResidual` of the reference: what replaces residual additions. */
export class HistoryPool {
  readonly #shape: PoolShape;
  readonly #weights: PoolWeights;

  /** @param mostEntries length of the model's whole history, 3L + 1 */
  constructor(shape: PoolShape, mostEntries: number, w: WeightLoader) {
    const { dim, heads, headDim } = shape;
    const pooler = w.within("attn_pool.pooler");
    const inner = heads * headDim;
    const keysValues = 2 * POOL_KV_HEADS * headDim;
    const host = {
      query: w.host("attn_pool.queries", [dim]),
      queries: pooler.host("to_queries.weight", [inner, dim]),
    };
    this.#shape = shape;
    if (poolVariant(w.gpu, shape, mostEntries) === "fused") {
      const more = {
        gain: pooler.host("context_norm.weight", [dim]),
        keysValues: pooler.host("to_keys_values.weight", [keysValues, dim]),
        out: pooler.host("to_out.weight", [dim, inner]),
      };
      const fold = (): Float32Array => {
        const { query, queries, gain, keysValues: kv, out } = { ...host, ...more };
        const folded = foldPool(
          { query: query.data, queries: queries.data, gain: gain.data, keysValues: kv.data, out: out.data },
          shape,
        );
        // Only the folded form is needed from here on.
        for (const weight of [query, queries, gain, kv, out]) weight.data = new Float32Array(0);
        return folded;
      };
      this.#weights = { kind: "fused", folded: w.computed("attn_pool (folded)", [foldedSize(shape)], fold) };
    } else {
      this.#weights = {
        kind: "naive",
        query: w.computed("attn_pool.query", [inner], () =>
          Float32Array.from(projectQuery(host.query.data, host.queries.data, dim)),
        ),
        gain: pooler.tensor("context_norm.weight", [dim]),
        keysValues: pooler.linear("to_keys_values.weight", keysValues, dim),
        out: pooler.linear("to_out.weight", dim, inner),
      };
    }
  }

  /** The first `entries` of the history (3L + 1, B, N, D), pooled and normalised: (B, N, D). */
  forward(history: Tensor, entries: number, end: PoolEnd): Tensor {
    return historyPool(history, entries, this.#weights, this.#shape, end);
  }
}
