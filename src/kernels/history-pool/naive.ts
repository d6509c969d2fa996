/** The pool as its equation is written, every entry projected to keys and values, from the general kernels. */
import type { Tensor } from "../../tensor/tensor.ts";
import { attention } from "../attention.ts";
import { expand, permute } from "../copy.ts";
import { linear } from "../linear.ts";
import { norm } from "../norm.ts";
import { FLOAT32_EPSILON, POOL_KV_HEADS, type PoolShape, type PoolWeights } from "./pool.ts";

/** The history (M, B, N, D) pooled: (tokens, D). */
export function poolNaive(
  history: Tensor,
  weights: Extract<PoolWeights, { kind: "naive" }>,
  { dim, heads, headDim }: PoolShape,
): Tensor {
  const entries = history.dim(0);
  const tokens = history.rows / entries;
  const normed = norm(history.reshape(entries, tokens, dim), {
    kind: "rms",
    epsilon: FLOAT32_EPSILON,
    weight: weights.gain,
  });
  const kv = permute(linear(normed, weights.keysValues), 1, 0, 2); // (tokens, M, 2·2·r)
  const q = expand(weights.query.reshape(1, 1, heads * headDim), tokens, 1, heads * headDim);
  const pooled = attention(
    { tensor: q },
    { tensor: kv },
    { tensor: kv, offset: POOL_KV_HEADS * headDim },
    {
      heads,
      keyValueHeads: POOL_KV_HEADS,
      headDim,
    },
  );
  return linear(pooled, weights.out);
}
