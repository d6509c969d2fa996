/**
 * One layer of the action tower: cross-attention to the video, self-attention, gated feed-forward. There is no
 * residual addition: each branch reads a pool over everything before it and appends its gated result to the history.
 *
 * Axes: B batch, N tokens (conditions, then actions), D width, S video tokens of width V, H heads of width h on two
 * key-value heads, F inside the feed-forward, R distinct times, M history entries.
 */
import { scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { FLOAT32_EPSILON, type PoolEnd } from "../../kernels/history-pool.ts";
import { linear, type LinearGate } from "../../kernels/linear.ts";
import { type Modulation, norm } from "../../kernels/norm.ts";
import { swiglu } from "../../kernels/swiglu.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { ActionConfig } from "./config.ts";
import { HistoryPool } from "./pool.ts";

export const KV_HEADS = 2;

/** Floor of the L2 norm in the adaptive norms; an added epsilon it is not. */
const L2_FLOOR = 1e-6;

/** How a branch is normalised before and gated after. */
export type BranchNorm =
  | {
      /** by time; the branch's (scale, shift, gate) stand from this column of the modulation table */
      readonly kind: "adaptive";
      readonly column: number;
      /** added to the gate before its sigmoid */
      readonly gateBias: number;
    }
  | { readonly kind: "plain"; /** (D) */ readonly weight: Tensor };

interface Branch {
  readonly pool: HistoryPool;
  readonly norm: BranchNorm;
}

/** What a layer's forward pass works on. */
export interface LayerState {
  /** (3L + 1, B, N, D), in place */
  readonly history: Tensor;
  /** absent where norms are plain */
  readonly modulation?: Modulation;
  /** (B, S, 2·2·h) keys and values of the video, see `keysValues` */
  readonly video: Tensor;
  /** (B, S) u32 */
  readonly videoMask?: Tensor;
  /** (B, N′, W) self-attention projections of an earlier call */
  readonly memory?: Tensor;
  /** (B, N, W) where this call's projections go, when not to a tensor of their own */
  readonly keep?: Tensor;
  /** number of condition tokens */
  readonly conditions: number;
}

export class ActionLayer {
  readonly #config: ActionConfig;
  readonly #index: number;
  readonly #branches: readonly [Branch, Branch, Branch];
  readonly #cross: Readonly<Record<"queries" | "keysValues" | "out", Matrix>> & {
    readonly norm: Tensor;
  };
  readonly #self: Readonly<Record<"projections" | "out", Matrix>>;
  readonly #feedForward: Readonly<Record<"in" | "out", Matrix>> &
    Readonly<Record<"inBias" | "outBias", Tensor>>;

  /** @param norms of the three branches, made by the tower, which stacks all modulations into one product */
  constructor(config: ActionConfig, index: number, norms: readonly BranchNorm[], w: WeightLoader) {
    const { dim, videoDim, heads, headDim, feedForward, depth } = config;
    const inner = heads * headDim;
    const keysValues = 2 * KV_HEADS * headDim;
    const shape = { dim, heads: config.poolHeads, headDim: config.poolHeadDim };
    const pool = (at: number): HistoryPool => new HistoryPool(shape, 3 * depth + 1, w.within(`${at}`));
    const [cross, self, ff] = [w.within("2"), w.within("5"), w.within("8")];
    this.#config = config;
    this.#index = index;
    this.#branches = [
      { pool: pool(0), norm: norms[0] },
      { pool: pool(3), norm: norms[1] },
      { pool: pool(6), norm: norms[2] },
    ];
    this.#cross = {
      norm: cross.tensor("context_norm.weight", [videoDim]),
      queries: cross.stacked(
        [
          { key: "to_queries.weight", out: inner },
          { key: "attn_gate_value.0.weight", out: heads },
        ],
        dim,
      ),
      keysValues: cross.linear("to_keys_values.weight", keysValues, videoDim),
      out: cross.linear("to_out.weight", dim, inner),
    };
    this.#self = {
      projections: self.stacked(
        [
          { key: "to_queries.weight", out: inner },
          { key: "to_keys_values.weight", out: keysValues },
          { key: "attn_gate_value.0.weight", out: heads },
        ],
        dim,
      ),
      out: self.linear("to_out.weight", dim, inner),
    };
    this.#feedForward = {
      in: ff.linear("proj_in.weight", 2 * feedForward, dim),
      inBias: ff.tensor("proj_in.bias", [2 * feedForward]),
      out: ff.linear("proj_out.weight", dim, feedForward),
      outBias: ff.tensor("proj_out.bias", [dim]),
    };
  }

  /** Width W of a token's self-attention projections: queries, keys, values, gates. */
  static projectionWidth({ heads, headDim }: ActionConfig): number {
    return heads * headDim + 2 * KV_HEADS * headDim + heads;
  }

  /** Keys and values of the video: hidden states (B, S, V) → (B, S, 2·2·h). Both see the normalised states. */
  keysValues(hidden: Tensor): Tensor {
    const { norm: weight, keysValues } = this.#cross;
    return linear(norm(hidden, { kind: "rms", epsilon: FLOAT32_EPSILON, weight }), keysValues);
  }

  /** Appends the three branches to the history and returns the self-attention projections (B, N, W). */
  forward(state: LayerState): Tensor {
    scope("2", () => this.#crossAttention(state));
    const projections = scope("5", () => this.#selfAttention(state));
    scope("8", () => this.#gatedFeedForward(state));
    return projections;
  }

  #crossAttention(state: LayerState): void {
    const { heads, headDim } = this.#config;
    const { queries, out } = this.#cross;
    const { video, videoMask: mask } = state;
    const y = this.#read(0, state); // (B, N, D)
    const q = linear(y, queries); // (B, N, H·h + H)
    const values = { tensor: video, offset: KV_HEADS * headDim };
    const mixed = attention({ tensor: q }, { tensor: video }, values, {
      ...{ heads, keyValueHeads: KV_HEADS, headDim, mask },
      gateAt: heads * headDim,
    });
    this.#append(0, state, mixed, out);
  }

  #selfAttention(state: LayerState): Tensor {
    const { heads, headDim } = this.#config;
    const { projections, out } = this.#self;
    const { keep, memory } = state;
    const y = this.#read(1, state); // (B, N, D)
    const tensor = linear(y, projections, { into: keep && { tensor: keep, firstRow: 0 } }); // (B, N, W)
    const keysAt = heads * headDim;
    const valuesAt = keysAt + KV_HEADS * headDim;
    const mixed = attention(
      { tensor },
      { tensor, offset: keysAt },
      { tensor, offset: valuesAt },
      {
        ...{ heads, keyValueHeads: KV_HEADS, headDim, memory },
        gateAt: valuesAt + KV_HEADS * headDim,
      },
    );
    this.#append(1, state, mixed, out);
    return tensor;
  }

  #gatedFeedForward(state: LayerState): void {
    const w = this.#feedForward;
    const y = this.#read(2, state, state.conditions); // (B, N, D), actions shifted
    const inner = swiglu(linear(y, w.in, { bias: w.inBias })); // (B, N, F)
    this.#append(2, state, inner, w.out, w.outBias);
  }

  /** The input of a branch: the pooled history, normalised. */
  #read(branch: 0 | 1 | 2, { history, modulation }: LayerState, shiftFrom?: number): Tensor {
    const { pool, norm: n } = this.#branches[branch];
    const end: PoolEnd =
      n.kind === "plain"
        ? { norm: { kind: "rms", epsilon: FLOAT32_EPSILON, weight: n.weight }, shiftFrom }
        : {
            norm: {
              ...{ kind: "l2", epsilon: L2_FLOOR, modulation: modulation! },
              at: { scale: n.column, shift: n.column + this.#config.dim },
            },
            shiftFrom,
          };
    return pool.forward(history, 3 * this.#index + branch + 1, end);
  }

  /** The output of a branch, projected, gated by time and appended to the history. */
  #append(branch: 0 | 1 | 2, state: LayerState, x: Tensor, out: Matrix, bias?: Tensor): void {
    const { history, modulation } = state;
    const { norm: n } = this.#branches[branch];
    const gate: LinearGate | undefined =
      n.kind === "plain"
        ? undefined
        : { ...modulation!, at: n.column + 2 * this.#config.dim, shift: n.gateBias };
    const rows = history.rows / history.dim(0);
    linear(x, out, {
      bias,
      gate,
      into: { tensor: history, firstRow: (3 * this.#index + branch + 1) * rows },
    });
  }
}
