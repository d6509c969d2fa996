/**
 * The Cosmos diffusion transformer (diffusers `CosmosTransformer3DModel`; docs/references.md, "forward"): latent video and
 * text in, flow-matching velocity out, and the residual stream after any block on the way.
 *
 * Axes: B batch, C channels, T frames, H and W latent rows and columns; t, h, w the same in patches, N = t·h·w tokens;
 * D = heads · d width, S text tokens, E text width; R distinct timesteps, of which each frame has one.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { concat, expand, permute } from "../../kernels/copy.ts";
import { activation, add } from "../../kernels/elementwise.ts";
import { linear } from "../../kernels/linear.ts";
import { norm } from "../../kernels/norm.ts";
import type { Rotary } from "../../kernels/qk-norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { HostWeight, WeightLoader } from "../../weights/loader.ts";
import { type CosmosTransformerConfig, widthOf } from "./config.ts";
import {
  Attention,
  type AttentionKeys,
  type BlockTime,
  FeedForward,
  type KeysValues,
  Modulator,
  NORM_EPSILON,
} from "./layers.ts";
import { learnedPositions, rotary, type TokenGrid } from "./positions.ts";

/** Keys and values of the text for every block, (B, S, D) each: they do not change while denoising. */
export interface TextContext {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
  /** (B, S) u32, 0 = padding to be hidden; the reference hides nothing */
  readonly mask?: Tensor;
}

export interface TransformerInput {
  /** (B, C, T, H, W) */
  readonly latents: Tensor;
  /** (B, 1, T, H, W): 1 on conditioning frames, for models with 17 input channels */
  readonly conditionMask?: Tensor;
  /** (B or 1, 1, 1, H, W) at latent resolution, for models that concatenate one */
  readonly paddingMask?: Tensor;
  readonly text: TextContext;
  /** (R, D), from `timestepSinusoids` */
  readonly sinusoids: Tensor;
  /** (B·T), index into the sinusoids of every frame */
  readonly rowOfFrame: Uint32Array;
  /** frames a second, where the model's temporal positions count seconds */
  readonly fps?: number;
  /** blocks behind which the residual stream is wanted, 0-based; −1: the embedded patches, before the first */
  readonly capture?: readonly number[];
  /** whether the velocity is wanted; without it the blocks after the last captured one are not run */
  readonly velocity?: boolean;
}

export interface TransformerOutput {
  /** (B, C, T, H, W) */
  readonly velocity?: Tensor;
  /** block number → (B, N, D) */
  readonly captured: ReadonlyMap<number, Tensor>;
}

const ATTENTION_KEYS: AttentionKeys = {
  ...{ q: "to_q.weight", k: "to_k.weight", v: "to_v.weight", out: "to_out.0.weight" },
  ...{ qNorm: "norm_q.weight", kNorm: "norm_k.weight" },
};

const modulator = (
  config: CosmosTransformerConfig,
  w: WeightLoader,
  name: string,
  parts: 2 | 3,
): Modulator => {
  const width = widthOf(config);
  const sizes = { time: width, rank: config.adalnLoraDim, width, parts };
  return new Modulator(name, w.within(name), ["linear_1.weight", "linear_2.weight"], sizes);
};

class Block {
  readonly #modulators: Readonly<Record<"self" | "cross" | "ff", Modulator>>;
  readonly #self: Attention;
  readonly #cross: Attention;
  readonly #ff: FeedForward;

  constructor(config: CosmosTransformerConfig, w: WeightLoader) {
    const { heads, headDim, textDim, qkEpsilon: epsilon } = config;
    const width = widthOf(config);
    const hidden = Math.trunc(width * config.mlpRatio);
    this.#modulators = {
      self: modulator(config, w, "norm1", 3),
      cross: modulator(config, w, "norm2", 3),
      ff: modulator(config, w, "norm3", 3),
    };
    const attentionOn = (name: string, contextDim: number) =>
      new Attention(w.within(name), ATTENTION_KEYS, { heads, headDim, contextDim, epsilon });
    this.#self = attentionOn("attn1", width);
    this.#cross = attentionOn("attn2", textDim);
    this.#ff = new FeedForward("ff", w.within("ff"), ["net.0.proj.weight", "net.2.weight"], width, hidden);
  }

  textKeysValues(text: Tensor): KeysValues {
    return scope("attn2", () => this.#cross.keysValues(text));
  }

  forward(x: Tensor, time: BlockTime, angles: Rotary, text: KeysValues & { mask?: Tensor }): Tensor {
    const { self, cross, ff } = this.#modulators;
    x = self.residual(x, time, (y) =>
      scope("attn1", () => this.#self.forward(y, this.#self.keysValues(y, angles), angles)),
    );
    x = cross.residual(x, time, (y) =>
      scope("attn2", () => this.#cross.forward(y, text, undefined, text.mask)),
    );
    return ff.residualInRows(x, time, this.#ff);
  }
}

/** Weights and forward pass; methods record operations and must be called inside `record`. */
export class CosmosTransformer {
  readonly config: CosmosTransformerConfig;
  readonly #patch: Matrix;
  readonly #time: { readonly in: Matrix; readonly out: Matrix; readonly gain: Tensor };
  readonly #positions: readonly HostWeight[];
  readonly #textProjection?: { readonly weight: Matrix; readonly bias: Tensor };
  readonly #blocks: readonly Block[];
  /** absent where only the first blocks are loaded */
  readonly #out?: { readonly modulator: Modulator; readonly weight: Matrix };

  /**
   * Asks for the weights of the first `blocks` blocks; with fewer than all of them there is no velocity, and what stands behind them in
   * the checkpoint is left unread.
   */
  constructor(config: CosmosTransformerConfig, w: WeightLoader, blocks = config.layers) {
    const { patchSize, maxSize, textProjectionFrom } = config;
    const D = widthOf(config);
    const patch = patchSize[0] * patchSize[1] * patchSize[2];
    this.config = config;
    this.#patch = w.linear(
      "patch_embed.proj.weight",
      D,
      (config.inChannels + Number(config.paddingMask)) * patch,
    );
    const time = w.within("time_embed");
    this.#time = {
      in: time.linear("t_embedder.linear_1.weight", D, D),
      out: time.linear("t_embedder.linear_2.weight", 3 * D, D),
      gain: time.tensor("norm.weight", [D]),
    };
    this.#positions = config.learnedPositions
      ? ["t", "h", "w"].map((axis, i) =>
          w.host(`learnable_pos_embed.pos_emb_${axis}`, [Math.floor(maxSize[i] / patchSize[i]), D]),
        )
      : [];
    if (textProjectionFrom) {
      this.#textProjection = {
        weight: w.linear("crossattn_proj.0.weight", config.textDim, textProjectionFrom),
        bias: w.tensor("crossattn_proj.0.bias", [config.textDim]),
      };
    }
    this.#blocks = Array.from(
      { length: blocks },
      (_, i) => new Block(config, w.within(`transformer_blocks.${i}`)),
    );
    for (let i = blocks; i < config.layers; i++) w.ignore(new RegExp(`transformer_blocks\\.${i}\\.`));
    if (blocks < config.layers) w.ignore(/norm_out\./, /proj_out\./);
    else {
      const weight = w.linear("proj_out.weight", patch * config.outChannels, D);
      this.#out = { modulator: modulator(config, w, "norm_out", 2), weight };
    }
  }

  /** Keys and values of a text (B, S, E) for every block. */
  textContext(text: Tensor, mask?: Tensor): TextContext {
    const projection = this.#textProjection;
    const projected = projection
      ? linear(text, projection.weight, { bias: projection.bias, activation: "gelu" })
      : text;
    const each = this.#blocks.map((block, i) =>
      scope(`transformer_blocks.${i}`, () => block.textKeysValues(projected)),
    );
    return { keys: each.map(({ k }) => k), values: each.map(({ v }) => v), mask };
  }

  /**
   * One evaluation. @throws UsageError when shapes, masks or captured block numbers do not fit, or a part is not loaded
   */
  forward(input: TransformerInput): TransformerOutput {
    const { text, rowOfFrame, capture = [], velocity = true } = input;
    const { patchSize } = this.config;
    const loaded = this.#blocks.length;
    const [B, , T, H, W] = input.latents.shape;
    for (const block of capture) {
      if (!Number.isInteger(block) || block < -1 || block >= loaded)
        throw new UsageError(`block ${block} does not exist; the transformer has ${loaded}`);
    }
    const grid: TokenGrid = [T, H / patchSize[1], W / patchSize[2]];
    if (grid.some((n) => !Number.isInteger(n))) {
      throw new UsageError(
        `latents of ${H}×${W} do not divide into patches of ${patchSize[1]}×${patchSize[2]}`,
      );
    }
    if (rowOfFrame.length !== B * T) {
      throw new UsageError(`${rowOfFrame.length} frame times for ${B} videos of ${T} frames`);
    }
    const perFrame = grid[1] * grid[2];
    const rowOfToken = Uint32Array.from(
      { length: B * T * perFrame },
      (_, i) => rowOfFrame[Math.floor(i / perFrame)],
    );
    const time = this.#timeEmbedding(
      input.sinusoids,
      constant([rowOfToken.length], rowOfToken, "time row of token"),
    );
    const angles = rotary(this.config, grid, input.fps);
    const learned = this.#positions.length
      ? learnedPositions(
          this.#positions.map((p) => p.data),
          widthOf(this.config),
          grid,
        )
      : undefined;

    let x = scope("patch_embed", () => linear(this.#patches(input), this.#patch)); // (B, N, D)
    const captured = new Map<number, Tensor>();
    if (capture.includes(-1)) captured.set(-1, x);
    const last = velocity ? loaded - 1 : Math.max(-1, ...capture);
    for (let i = 0; i <= last; i++) {
      x = scope(`transformer_blocks.${i}`, () => {
        if (learned) x = add(x, learned);
        return this.#blocks[i].forward(x, time, angles, {
          k: text.keys[i],
          v: text.values[i],
          mask: text.mask,
        });
      });
      if (capture.includes(i)) captured.set(i, x);
    }
    return { captured, velocity: velocity ? this.#velocity(x, time, [B, ...grid]) : undefined };
  }

  #timeEmbedding(sinusoids: Tensor, rowOf: Tensor): BlockTime {
    return scope("time_embed", () => ({
      temb: linear(linear(sinusoids, this.#time.in, { activation: "silu" }), this.#time.out), // (R, 3·D)
      // The norm is of the raw sinusoid, not of temb (docs/references.md, "time embedding").
      e: activation(norm(sinusoids, { kind: "rms", epsilon: NORM_EPSILON, weight: this.#time.gain }), "silu"), // (R, D)
      rowOf,
    }));
  }

  /** latents, condition mask, padding mask → (B, N, C·p_h·p_w), feature order (channel, row, column) */
  #patches({ latents, conditionMask, paddingMask }: TransformerInput): Tensor {
    const { inChannels, patchSize } = this.config;
    const [B, C, T, H, W] = latents.shape;
    const channels = C + (conditionMask ? 1 : 0);
    if (channels !== inChannels || Boolean(paddingMask) !== this.config.paddingMask) {
      throw new UsageError(
        `the transformer takes ${inChannels} channels${this.config.paddingMask ? " and a padding mask" : ""}; ` +
          `got latents ${showShape(latents.shape)}${conditionMask ? " with a condition mask" : ""}${paddingMask ? " and a padding mask" : ""}`,
      );
    }
    const parts = [latents];
    if (conditionMask) parts.push(expand(conditionMask, B, 1, T, H, W));
    if (paddingMask) parts.push(expand(paddingMask, B, 1, T, H, W));
    const [, ph, pw] = patchSize;
    const x = concat(parts, 1).reshape(B, -1, T, H / ph, ph, W / pw, pw);
    return permute(x, 0, 2, 3, 5, 1, 4, 6).reshape(B, (T * H * W) / (ph * pw), -1);
  }

  /** (B, N, D) → (B, C, T, H, W); output features are ordered (row, column, channel), unlike the input's (docs/references.md, "output order") */
  #velocity(x: Tensor, time: BlockTime, [B, t, h, w]: number[]): Tensor {
    const [, ph, pw] = this.config.patchSize;
    const out = this.#out;
    if (!out) {
      throw new UsageError(
        `only ${this.#blocks.length} of ${this.config.layers} blocks are loaded, so there is no velocity`,
      );
    }
    return scope("proj_out", () => {
      const features = linear(out.modulator.norm(x, time), out.weight).reshape(B, t, h, w, ph, pw, -1);
      return permute(features, 0, 6, 1, 2, 4, 3, 5).reshape(B, -1, t, h * ph, w * pw);
    });
  }
}
