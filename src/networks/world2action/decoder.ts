/**
 * The World2Action decoder of the official release: noisy actions, the robot's state and a video's hidden states in, the velocity of the
 * actions' flow out, v = noise − clean.
 *
 * Axes: B batch; taps, videos that B / taps items each look at; HA actions of width A, N = 1 + HA tokens: the observation, then the actions; J width of the state; S video tokens of width V;
 * D = heads · d width; R distinct pairs of times. Tokens have learned positions and no rotation; nothing is masked.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { scope } from "../../gpu/recording.ts";
import { concat } from "../../kernels/copy.ts";
import { activation, add, affine, multiply, subtract } from "../../kernels/elementwise.ts";
import { toHalf } from "../../kernels/half.ts";
import { linear } from "../../kernels/linear.ts";
import { norm } from "../../kernels/norm.ts";
import { inRows } from "../../kernels/rows.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { BYTES_PER_ELEMENT, result, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import {
  Attention,
  type AttentionKeys,
  type BlockTime,
  FeedForward,
  type KeysValues,
  Modulator,
  NORM_EPSILON,
} from "../cosmos/layers.ts";
import { OBSERVATION_TOKENS, type World2ActionConfig } from "./config.ts";
import { TimeTable } from "./times.ts";

const ATTENTION_KEYS: AttentionKeys = {
  ...{ q: "q_proj.weight", k: "k_proj.weight", v: "v_proj.weight", out: "output_proj.weight" },
  ...{ qNorm: "q_norm.weight", kNorm: "k_norm.weight" },
};

/**
 * Where a decoder has keys and values of the video from at each step: kept in float32 (at the released size 3.8 GB a tap), kept in half precision
 * (half of that; the velocity moves by about 1e-4 of itself), or made anew a block at a time from the hidden states
 * (157 MB a tap, and 3.9 TFLOP a step).
 */
export type ContextStorage = "float32" | "half" | "recompute";

/**
 * What a video is to the decoder; it does not change while actions are sampled. The taps divide the batch, taps slowest: B / taps consecutive
 * items share one.
 */
export type ActionContext = CachedContext | HiddenContext;

/** Keys and values for every block, (taps, S, D) each, float32 or float16. */
export interface CachedContext {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
}

/** Hidden states behind their norm, (taps, S, V), of which every block makes its keys and values when it needs them. */
export interface HiddenContext {
  readonly normed: Tensor;
}

export interface World2ActionInput {
  /** (B, 1, J), normalised */
  readonly state: Tensor;
  /** (B, HA, A), as the network takes them: the sampler's state over √((1 − t)² + t²) */
  readonly actions: Tensor;
  readonly times: TimeTable;
  readonly context: ActionContext;
}

interface Affine {
  readonly weight: Matrix;
  readonly bias: Tensor;
}

const affineWeights = (w: WeightLoader, inner: number, out: number): Affine => ({
  weight: w.linear("weight", out, inner),
  bias: w.tensor("bias", [out]),
});

/** Linear maps with gelu between them, over √D. */
class Embedder {
  readonly #layers: readonly Affine[];
  readonly #scale: number;

  constructor(w: WeightLoader, inner: number, widths: readonly number[], width: number) {
    this.#layers = widths.map((out, i) =>
      affineWeights(w.within(`layers.${2 * i}`), i > 0 ? widths[i - 1] : inner, out),
    );
    this.#scale = 1 / Math.sqrt(width);
  }

  forward(x: Tensor): Tensor {
    const last = this.#layers.length - 1;
    const embedded = this.#layers.reduce(
      (y, { weight, bias }, i) => linear(y, weight, { bias, activation: i < last ? "gelu" : "identity" }),
      x,
    );
    return affine(embedded, this.#scale);
  }
}

/**
 * Two times in one embedding, a product of low rank without the terms that depend on the biases alone:
 *
 *   z = (B·a + b_B) ⊙ (C·v + b_C) − b_B ⊙ b_C,   a = silu(proj_x(s(t))),  v = silu(proj_c(s(τ)))
 *   e = silu(RMSNorm(z)),   temb = A·z
 */
class PairEmbedding {
  readonly #projX: Affine;
  readonly #projC: Affine;
  readonly #b: Affine;
  readonly #c: Affine;
  readonly #a: Matrix;
  readonly #gain: Tensor;

  constructor(config: World2ActionConfig, w: WeightLoader) {
    const { sinusoidDim: S, pairDim: P, timeDim: R, width } = config;
    const pair = w.within("t_embedder.pair");
    this.#projX = affineWeights(pair.within("proj_x"), S, P);
    this.#projC = affineWeights(pair.within("proj_c"), S, P);
    this.#b = affineWeights(pair.within("B"), P, R);
    this.#c = affineWeights(pair.within("C"), P, R);
    this.#a = pair.linear("A.weight", 3 * width, R);
    this.#gain = w.tensor("t_embedding_norm.weight", [R]);
  }

  forward(times: TimeTable): BlockTime {
    const side = (s: Tensor, projection: Affine, out: Affine): Tensor => {
      const hidden = linear(s, projection.weight, { bias: projection.bias, activation: "silu" }); // (R, P)
      return linear(hidden, out.weight, { bias: out.bias });
    };
    const product = multiply(
      side(times.action, this.#projX, this.#b),
      side(times.video, this.#projC, this.#c),
    );
    const z = subtract(product, multiply(this.#b.bias, this.#c.bias)); // (R, timeDim)
    return {
      temb: linear(z, this.#a), // (R, 3·D)
      e: activation(norm(z, { kind: "rms", epsilon: NORM_EPSILON, weight: this.#gain }), "silu"),
      rowOf: times.rowOf,
    };
  }
}

/** Cross-attention to the video, self-attention among the tokens, feed-forward: in this order. */
class Block {
  readonly #modulators: Readonly<Record<"cross" | "self" | "mlp", Modulator>>;
  readonly #cross: Attention;
  readonly #self: Attention;
  readonly #mlp: FeedForward;

  constructor(config: World2ActionConfig, w: WeightLoader) {
    const { width, heads, headDim, contextDim, feedForward } = config;
    this.#modulators = {
      cross: modulator(config, w, "adaln_modulation_cross_attn", 3),
      self: modulator(config, w, "adaln_modulation_self_attn", 3),
      mlp: modulator(config, w, "adaln_modulation_mlp", 3),
    };
    const sizes = { heads, headDim, epsilon: NORM_EPSILON };
    this.#cross = new Attention(w.within("cross_attn"), ATTENTION_KEYS, { ...sizes, contextDim });
    this.#self = new Attention(w.within("self_attn"), ATTENTION_KEYS, { ...sizes, contextDim: width });
    this.#mlp = new FeedForward(
      "mlp",
      w.within("mlp"),
      ["layer1.weight", "layer2.weight"],
      width,
      feedForward,
    );
  }

  contextKeysValues(context: Tensor): KeysValues {
    return scope("cross_attn", () => this.#cross.keysValues(context));
  }

  forward(x: Tensor, time: BlockTime, context: KeysValues): Tensor {
    const { cross, self, mlp } = this.#modulators;
    // Tokens do not see one another here, so those of all items that share a tap are queries of one attention.
    const taps = context.k.dim(0);
    const attended = (y: Tensor): Tensor =>
      this.#cross.forward(y.reshape(taps, -1, y.dim(-1)), context).reshape(...y.shape);
    x = cross.residual(x, time, (y) => scope("cross_attn", () => attended(y)));
    x = self.residual(x, time, (y) =>
      scope("self_attn", () => this.#self.forward(y, this.#self.keysValues(y))),
    );
    return mlp.residualInRows(x, time, this.#mlp);
  }
}

function modulator(config: World2ActionConfig, w: WeightLoader, name: string, parts: 2 | 3): Modulator {
  const sizes = { time: config.timeDim, rank: config.adalnLoraDim, width: config.width, parts };
  return new Modulator(name, w.within(name), ["1.weight", "2.weight"], sizes);
}

/** Weights and forward pass; methods record operations and must be called inside `record`. */
export class World2ActionDecoder {
  readonly config: World2ActionConfig;
  readonly #state: Embedder;
  readonly #action: Embedder;
  readonly #positions: Tensor;
  readonly #contextNorm: { readonly weight: Tensor; readonly bias: Tensor };
  readonly #time: PairEmbedding;
  readonly #blocks: readonly Block[];
  readonly #out: { readonly modulator: Modulator; readonly weight: Matrix };

  /** Asks for the weights by the release's keys without `net.`. */
  constructor(config: World2ActionConfig, w: WeightLoader) {
    const { width, tokens, contextDim, stateDim, actionDim } = config;
    this.config = config;
    this.#state = new Embedder(w.within("obs_embedder"), stateDim, config.stateWidths, width);
    this.#action = new Embedder(w.within("action_embedder"), actionDim, config.actionWidths, width);
    this.#positions = w.tensor("pos_embedding", [1, tokens, width]);
    // Stands for an observation that training dropped.
    w.ignore(/obs_mask_token$/);
    this.#contextNorm = {
      weight: w.tensor("ctx_norm.weight", [contextDim]),
      bias: w.tensor("ctx_norm.bias", [contextDim]),
    };
    this.#time = new PairEmbedding(config, w);
    this.#blocks = Array.from(
      { length: config.layers },
      (_, i) => new Block(config, w.within(`blocks.${i}`)),
    );
    const final = w.within("final_layer");
    this.#out = {
      modulator: modulator(config, final, "adaln_modulation", 2),
      weight: final.linear("linear.weight", actionDim, width),
    };
  }

  /** HA, actions of a chunk */
  get chunkLength(): number {
    return this.config.tokens - OBSERVATION_TOKENS;
  }

  /** Times for B items on the GPU, with room for a pair of times an item besides the observation's. */
  createTimes(gpu: Gpu, batch: number, rows = 2 * batch): TimeTable {
    return new TimeTable(gpu, this.config.sinusoidDim, rows, batch * this.config.tokens);
  }

  /**
   * What the decoder needs of hidden states (taps, S, V), for as many steps as follow.
   * @throws UsageError when the hidden states have another width
   */
  prepareContext(hidden: Tensor, storage: ContextStorage = "float32"): ActionContext {
    const normed = scope("ctx_norm", () => this.normContext(hidden));
    if (storage === "recompute") return { normed };
    const each = this.#blocks.map((_, i) =>
      storage === "half" ? this.#halfKeysValues(i, normed) : this.contextKeysValues(i, normed),
    );
    return { keys: each.map(({ k }) => k), values: each.map(({ v }) => v) };
  }

  /** Bytes that `prepareContext` keeps of `taps` videos of S tokens. */
  contextBytes(tokens: number, storage: ContextStorage, taps = 1): number {
    const { contextDim, width, layers } = this.config;
    const channels = {
      float32: 2 * layers * width * BYTES_PER_ELEMENT.f32,
      half: 2 * layers * width * BYTES_PER_ELEMENT.f16,
      recompute: contextDim * BYTES_PER_ELEMENT.f32,
    };
    return taps * tokens * channels[storage];
  }

  /** As `contextKeysValues`, in half precision; what is rounded exists for some rows at a time. */
  #halfKeysValues(i: number, normed: Tensor): KeysValues {
    const [taps, S, V] = normed.shape;
    const { width } = this.config;
    const halves = (name: string): Tensor => result([taps, S, width], `${name} halves`, "f16");
    const [k, v] = [halves("keys"), halves("values")];
    const transient = 2 * width * BYTES_PER_ELEMENT.f32;
    inRows(normed.rows, { tensors: [normed, k, v], transient }, (part) => {
      const some = this.contextKeysValues(i, part(normed).reshape(1, -1, V));
      toHalf(some.k, part(k));
      toHalf(some.v, part(v));
    });
    return { k, v };
  }

  /** hidden (B, S, V), or some of its rows, → what keys and values are made from */
  normContext(hidden: Tensor): Tensor {
    const { contextDim } = this.config;
    if (hidden.dim(-1) !== contextDim) {
      throw new UsageError(
        `hidden states ${showShape(hidden.shape)} do not end in ${contextDim}, the width this decoder was made for; ` +
          "it belongs to another video backbone",
      );
    }
    return norm(hidden, { kind: "layer", epsilon: NORM_EPSILON, ...this.#contextNorm });
  }

  /** Keys and values of block `i` for normed hidden states (B, S, V), or for some of their rows. */
  contextKeysValues(i: number, normed: Tensor): KeysValues {
    return scope(`blocks.${i}`, () => this.#blocks[i].contextKeysValues(normed));
  }

  /**
   * One evaluation: the velocity of all tokens (B, N, A); the observation's, in front, means nothing.
   * @throws UsageError when shapes do not fit
   */
  forward({ state, actions, times, context }: World2ActionInput): Tensor {
    const { tokens, width, stateDim, actionDim } = this.config;
    const B = actions.dim(0);
    const expected = {
      state: [B, OBSERVATION_TOKENS, stateDim],
      actions: [B, this.chunkLength, actionDim],
      "rows of times": [B * tokens],
    };
    const given = { state, actions, "rows of times": times.rowOf };
    for (const [name, shape] of Object.entries(expected)) {
      const found = given[name as keyof typeof given].shape;
      if (showShape(found) !== showShape(shape))
        throw new UsageError(`World2Action: ${name} ${showShape(found)}, expected ${showShape(shape)}`);
    }
    const taps = ("normed" in context ? context.normed : context.keys[0]).dim(0);
    if (B % taps !== 0)
      throw new UsageError(`World2Action: ${B} items do not divide among ${taps} taps of the video`);
    const embedded = scope("embedders", () =>
      concat([this.#state.forward(state), this.#action.forward(actions)], 1),
    );
    let x = add(embedded, this.#positions).reshape(B, tokens, width);
    const time = scope("t_embedder", () => this.#time.forward(times));
    this.#blocks.forEach((block, i) => {
      const keysValues =
        "normed" in context
          ? this.contextKeysValues(i, context.normed)
          : { k: context.keys[i], v: context.values[i] };
      x = scope(`blocks.${i}`, () => block.forward(x, time, keysValues));
    });
    return scope("final_layer", () => linear(this.#out.modulator.norm(x, time), this.#out.weight));
  }
}
