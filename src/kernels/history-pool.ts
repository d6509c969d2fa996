/**
 * Attention of one constant query over the history of each token, the norm of the result, and its modulation:
 *
 *   x̂_m = x_m / √(mean(x_m²) + ε) ⊙ gain                  the history entries of a token, m < M
 *   a_j  = softmax_m(r^−½ · (W_q·query)_j · (W_k·x̂_m)_g)    head j of R reads key-value head g = j mod 2
 *   z    = W_out · [Σ_m a_j,m · (W_v·x̂_m)_g]_j
 *   y    = z normalised (norm.ts: l2 and modulated, or rms with a gain), optionally shifted (token-shift.ts)
 *
 * Layout: history (≥ M, B, N, D); heads on the channel axis as (g, kv, d).
 *
 * The variants stand in history-pool/: naive, as written; mixed, for CPU adapters; fused, one dispatch, for real GPUs.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { recording } from "../gpu/recording.ts";
import { showShape, Tensor } from "../tensor/tensor.ts";
import { fusedBytes, planFused, poolFused } from "./history-pool/fused.ts";
import { poolFolded } from "./history-pool/folded.ts";
import { poolMixed } from "./history-pool/mixed.ts";
import { poolNaive } from "./history-pool/naive.ts";
import type { PoolEnd, PoolShape, PoolWeights } from "./history-pool/pool.ts";
import { moves } from "./jvp.ts";
import { modulatedNorm, norm } from "./norm.ts";
import { tokenShift } from "./token-shift.ts";
import { choose, type Variant } from "./variants.ts";

export { FLOAT32_EPSILON, POOL_KV_HEADS } from "./history-pool/pool.ts";
export type { PoolEnd, PoolShape, PoolWeights } from "./history-pool/pool.ts";
export { foldedSize, foldPool, mixedWeights, projectQuery } from "./history-pool/weights.ts";

interface PoolCall<Kind extends PoolWeights["kind"] = PoolWeights["kind"]> {
  /** (E, B, N, D) */
  readonly history: Tensor;
  readonly entries: number;
  readonly weights: Extract<PoolWeights, { kind: Kind }>;
  readonly shape: PoolShape;
  readonly end: PoolEnd;
}

const VARIANTS = {
  fused: {
    run: ({ history, entries, weights, shape, end }) => {
      if (moves(history)) return finish(poolFolded(first(history, entries), weights, shape), history, end);
      const [most, batch, perItem, dim] = history.shape;
      const plan = planFused(recording().gpu, shape, most, batch * perItem);
      if (!plan) throw new UsageError(`historyPool: width ${dim} needs the variant "mixed" on this adapter`);
      return poolFused(history, entries, weights, shape, end, plan);
    },
  },
  mixed: {
    run: ({ history, entries, weights, shape, end }) =>
      finish(poolMixed(first(history, entries), weights, shape), history, end),
  },
  naive: {
    run: ({ history, entries, weights, shape, end }) =>
      finish(poolNaive(first(history, entries), weights, shape), history, end),
  },
} as const satisfies { [Kind in PoolWeights["kind"]]: Variant<[PoolCall<Kind>], Tensor> };

/**
 * Which weights a pool of this shape needs on this device.
 * @throws UsageError when a variant is forced that the device cannot run
 */
export function poolVariant(gpu: Gpu, shape: PoolShape, mostEntries: number): PoolWeights["kind"] {
  const needs = { workgroupBytes: fusedBytes(gpu, shape, mostEntries, 1) };
  const variants = { ...VARIANTS, fused: { ...VARIANTS.fused, needs } };
  const preferred = gpu.adapter.software ? (["mixed"] as const) : (["fused", "mixed"] as const);
  return choose(gpu, "historyPool", variants, ...preferred);
}

/**
 * The first `entries` of the history (E, B, N, D), pooled, normalised, modulated: (B, N, D). E is the most that a pool
 * of this model sees. One entry alone is not pooled: it is the residual stream's beginning.
 * @throws UsageError when the shapes do not fit together
 */
export function historyPool(
  history: Tensor,
  entries: number,
  weights: PoolWeights,
  shape: PoolShape,
  end: PoolEnd,
): Tensor {
  const [most, , , dim] = history.shape;
  if (history.shape.length !== 4 || dim !== shape.dim || entries > most || entries < 1) {
    throw new UsageError(
      `historyPool: ${entries} entries of width ${shape.dim} of a history ${showShape(history.shape)}`,
    );
  }
  if (entries === 1) return finish(first(history, 1), history, end);
  const { run } = VARIANTS[weights.kind] as Variant<[PoolCall], Tensor>;
  const { heads, headDim } = shape;
  const tokens = history.dim(1) * history.dim(2);
  // Logits, the mix of the entries, and values and output of the mix: the naive way, which projects every entry, does more.
  const flops = 2 * tokens * (2 * entries * heads * dim + 2 * heads * headDim * dim);
  return recording().counting(flops, () => run({ history, entries, weights, shape, end }));
}

/** The first entries of a history. */
const first = (history: Tensor, entries: number): Tensor =>
  new Tensor([entries, ...history.shape.slice(1)], history.dtype, history.storage, history.offset);

function finish(pooled: Tensor, history: Tensor, { norm: n, shiftFrom }: PoolEnd): Tensor {
  const x = pooled.reshape(...history.shape.slice(1));
  const y =
    n.kind === "l2"
      ? modulatedNorm(x, "l2", n.epsilon, n.modulation, n.at)
      : norm(x, { kind: "rms", epsilon: n.epsilon, weight: n.weight });
  return shiftFrom === undefined ? y : tokenShift(y, shiftFrom);
}
