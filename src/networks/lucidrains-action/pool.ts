/** The weights of one history pool, in the form that this device's variant of the kernel wants. */
import { scope } from "../../gpu/recording.ts";
import {
  foldedSize,
  foldPool,
  historyPool,
  mixedWeights,
  type PoolEnd,
  POOL_KV_HEADS,
  type PoolShape,
  poolVariant,
  type PoolWeights,
  projectQuery,
} from "../../kernels/history-pool.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";

function mixedPool(
  w: WeightLoader,
  shape: PoolShape,
  asStored: () => Parameters<typeof foldPool>[0],
): Extract<PoolWeights, { kind: "mixed" }> {
  const { dim, heads, headDim } = shape;
  const inner = (heads / POOL_KV_HEADS) * headDim;
  let made: ReturnType<typeof mixedWeights> | undefined;
  const mixed = (): ReturnType<typeof mixedWeights> => (made ??= mixedWeights(asStored(), shape));
  const groups = Array.from({ length: POOL_KV_HEADS }, (_, g) => g);
  const weights = {
    kind: "mixed",
    u: w.computed("attn_pool.u", [dim, Math.ceil(heads / 4), 4], () => mixed().u),
    values: groups.map((g) =>
      w.computedLinear(`attn_pool.values.${g}`, headDim, dim, () => mixed().values[g]),
    ),
    outs: groups.map((g) => w.computedLinear(`attn_pool.out.${g}`, dim, inner, () => mixed().outs[g])),
  } as const;
  w.afterLoad(() => {
    made = undefined;
  });
  return weights;
}

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
    const variant = poolVariant(w.gpu, shape, mostEntries);
    if (variant !== "naive") {
      const more = {
        gain: pooler.host("context_norm.weight", [dim]),
        keysValues: pooler.host("to_keys_values.weight", [keysValues, dim]),
        out: pooler.host("to_out.weight", [dim, inner]),
      };
      const all = { ...host, ...more };
      const asStored = (): Parameters<typeof foldPool>[0] => ({
        query: all.query.data,
        queries: all.queries.data,
        gain: all.gain.data,
        keysValues: all.keysValues.data,
        out: all.out.data,
      });
      this.#weights =
        variant === "fused"
          ? {
              kind: "fused",
              folded: w.computed("attn_pool (folded)", [foldedSize(shape)], () =>
                foldPool(asStored(), shape),
              ),
            }
          : mixedPool(w, shape, asStored);
      // Only the prepared form is needed from here on.
      w.afterLoad(() => {
        for (const weight of Object.values(all)) weight.data = new Float32Array(0);
      });
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
    return scope("pool", () => historyPool(history, entries, this.#weights, this.#shape, end));
  }
}
