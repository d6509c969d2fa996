/**
 * The Cosmos diffusion transformer (diffusers `CosmosTransformer3DModel`; lucidrains specification section 3): latent video and
 * text in, flow-matching velocity out, and the residual stream after any block on the way.
 *
 * Axes: B batch, C channels, T frames, H and W latent rows and columns; t, h, w the same in patches, N = t·h·w tokens;
 * D = heads · d width, S text tokens, E text width; R distinct timesteps, of which each frame has one.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { concat, expand, permute } from "../../kernels/copy.ts";
import { activation, add } from "../../kernels/elementwise.ts";
import { gatedResidual } from "../../kernels/gated-residual.ts";
import { linear } from "../../kernels/linear.ts";
import { type Modulation, modulatedNorm, norm } from "../../kernels/norm.ts";
import { qkNorm, type Rotary } from "../../kernels/qk-norm.ts";
import type { PackedWeight } from "../../tensor/packed-weight.ts";
import { slice } from "../../kernels/copy.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { HostWeight, WeightLoader } from "../../weights/loader.ts";
import { type CosmosTransformerConfig, widthOf } from "./config.ts";
import { learnedPositions, rotary, type TokenGrid } from "./positions.ts";

// Epsilons of the reference: LayerNorm and time norm 1e-6, query and key norms 1e-5 (specification trap T20).
const NORM_EPSILON = 1e-6;
const QK_EPSILON = 1e-5;

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
  /** blocks whose output is wanted, 0-based */
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

/** Low-rank adaptive modulation: (shift, scale, gate) or (shift, scale) of every distinct timestep. */
class Modulator {
  readonly #down: PackedWeight;
  readonly #up: PackedWeight;

  constructor(w: WeightLoader, width: number, rank: number, parts: number) {
    this.#down = w.linear("linear_1.weight", rank, width);
    this.#up = w.linear("linear_2.weight", parts * width, rank);
  }

  /** (R, D) silu(e), (R, parts·D) time shift → table (R, parts·D) */
  forward(e: Tensor, temb: Tensor): Tensor {
    return linear(linear(e, this.#down), this.#up, { residual: temb });
  }
}

class Attention {
  readonly #config: CosmosTransformerConfig;
  readonly #w: Readonly<Record<"q" | "k" | "v" | "out", PackedWeight>>;
  readonly #gains: Readonly<Record<"q" | "k", Tensor>>;

  constructor(config: CosmosTransformerConfig, w: WeightLoader, contextDim: number) {
    const width = widthOf(config);
    this.#config = config;
    this.#w = {
      q: w.linear("to_q.weight", width, width),
      k: w.linear("to_k.weight", width, contextDim),
      v: w.linear("to_v.weight", width, contextDim),
      out: w.linear("to_out.0.weight", width, width),
    };
    this.#gains = {
      q: w.tensor("norm_q.weight", [config.headDim]),
      k: w.tensor("norm_k.weight", [config.headDim]),
    };
  }

  keysValues(context: Tensor, angles?: Rotary): { k: Tensor; v: Tensor } {
    const k = qkNorm(linear(context, this.#w.k), this.#config.heads, this.#gains.k, QK_EPSILON, angles); // (B, S, D)
    return { k, v: linear(context, this.#w.v) };
  }

  forward(x: Tensor, { k, v }: { k: Tensor; v: Tensor }, angles?: Rotary, mask?: Tensor): Tensor {
    const { heads, headDim } = this.#config;
    const q = qkNorm(linear(x, this.#w.q), heads, this.#gains.q, QK_EPSILON, angles); // (B, N, D)
    return linear(
      attention({ tensor: q }, { tensor: k }, { tensor: v }, { heads, headDim, mask }),
      this.#w.out,
    );
  }
}

class Block {
  readonly #modulators: readonly Modulator[];
  readonly #self: Attention;
  readonly #cross: Attention;
  readonly #ff: { readonly in: PackedWeight; readonly out: PackedWeight };
  readonly #width: number;

  constructor(config: CosmosTransformerConfig, w: WeightLoader) {
    const width = widthOf(config);
    const hidden = Math.trunc(width * config.mlpRatio);
    this.#width = width;
    this.#modulators = [1, 2, 3].map(
      (n) => new Modulator(w.within(`norm${n}`), width, config.adalnLoraDim, 3),
    );
    this.#self = new Attention(config, w.within("attn1"), width);
    this.#cross = new Attention(config, w.within("attn2"), config.textDim);
    this.#ff = {
      in: w.linear("ff.net.0.proj.weight", hidden, width),
      out: w.linear("ff.net.2.weight", width, hidden),
    };
  }

  textKeysValues(text: Tensor): { k: Tensor; v: Tensor } {
    return scope("attn2", () => this.#cross.keysValues(text));
  }

  forward(x: Tensor, time: BlockTime, angles: Rotary, text: { k: Tensor; v: Tensor; mask?: Tensor }): Tensor {
    x = this.#modulated(0, x, time, (y) =>
      scope("attn1", () => this.#self.forward(y, this.#self.keysValues(y, angles), angles)),
    );
    x = this.#modulated(1, x, time, (y) =>
      scope("attn2", () => this.#cross.forward(y, text, undefined, text.mask)),
    );
    return this.#modulated(2, x, time, (y) =>
      scope("ff", () => linear(linear(y, this.#ff.in, { activation: "gelu" }), this.#ff.out)),
    );
  }

  /** x + gate ⊙ branch(LN(x)·(1 + scale) + shift); the table's columns are shift, scale, gate */
  #modulated(n: number, x: Tensor, { e, temb, rowOf }: BlockTime, branch: (y: Tensor) => Tensor): Tensor {
    const D = this.#width;
    const modulation: Modulation = {
      table: scope(`norm${n + 1}`, () => this.#modulators[n].forward(e, temb)),
      rowOf,
    };
    const y = modulatedNorm(x, "layer", NORM_EPSILON, modulation, { shift: 0, scale: D });
    return gatedResidual(x, branch(y), modulation, 2 * D);
  }
}

/** What a block needs of the timesteps. */
interface BlockTime {
  /** silu of the normalised sinusoids, (R, D) */
  readonly e: Tensor;
  /** (R, 3·D) */
  readonly temb: Tensor;
  /** (B·N) u32 */
  readonly rowOf: Tensor;
}

/** Weights and forward pass; methods record operations and must be called inside `record`. */
export class CosmosTransformer {
  readonly config: CosmosTransformerConfig;
  readonly #patch: PackedWeight;
  readonly #time: { readonly in: PackedWeight; readonly out: PackedWeight; readonly gain: Tensor };
  readonly #positions: readonly HostWeight[];
  readonly #textProjection?: { readonly weight: PackedWeight; readonly bias: Tensor };
  readonly #blocks: readonly Block[];
  readonly #outModulator: Modulator;
  readonly #out: PackedWeight;

  constructor(config: CosmosTransformerConfig, w: WeightLoader) {
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
      { length: config.layers },
      (_, i) => new Block(config, w.within(`transformer_blocks.${i}`)),
    );
    this.#outModulator = new Modulator(w.within("norm_out"), D, config.adalnLoraDim, 2);
    this.#out = w.linear("proj_out.weight", patch * config.outChannels, D);
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
   * One evaluation. @throws UsageError when shapes, masks or captured block numbers do not fit
   */
  forward(input: TransformerInput): TransformerOutput {
    const { text, rowOfFrame, capture = [], velocity = true } = input;
    const { layers, patchSize } = this.config;
    const [B, , T, H, W] = input.latents.shape;
    for (const block of capture) {
      if (block < 0 || block >= layers)
        throw new UsageError(`block ${block} does not exist; the transformer has ${layers}`);
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
    const last = velocity ? layers - 1 : Math.max(...capture);
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
      // The norm is of the raw sinusoid, not of temb (trap T19).
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

  /** (B, N, D) → (B, C, T, H, W); output features are ordered (row, column, channel), unlike the input's (trap T22) */
  #velocity(x: Tensor, { e, temb, rowOf }: BlockTime, [B, t, h, w]: number[]): Tensor {
    const D = widthOf(this.config);
    const [, ph, pw] = this.config.patchSize;
    return scope("norm_out", () => {
      const table = this.#outModulator.forward(e, slice(temb, 1, 0, 2 * D));
      const y = modulatedNorm(x, "layer", NORM_EPSILON, { table, rowOf }, { shift: 0, scale: D });
      const features = linear(y, this.#out).reshape(B, t, h, w, ph, pw, -1);
      return permute(features, 0, 6, 1, 2, 4, 3, 5).reshape(B, -1, t, h * ph, w * pw);
    });
  }
}
