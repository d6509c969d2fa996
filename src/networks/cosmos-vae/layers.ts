/**
 * The layers of the Cosmos video autoencoder (cosmos-vae.ts): causal convolutions, residual blocks, attention, resamplers. Axes:
 * B batch, T frames, H rows, W columns, C channels, channels last throughout.
 *
 * Every convolution in time sees copies of the first frame before the clip; space is padded with zeros.
 */
import { UsageError } from "../../errors.ts";
import type { Activation } from "../../kernels/activations.ts";
import { conv3d, type ConvolutionOptions, type Triple } from "../../kernels/conv3d.ts";
import { permute } from "../../kernels/copy.ts";
import { groupNorm } from "../../kernels/group-norm.ts";
import { averagePool, doubleLaterFrames, enlargeFrames } from "../../kernels/resample.ts";
import { wideAttention } from "../../kernels/wide-attention.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { Pointwise } from "../vae.ts";
import type { CosmosVaeLevel } from "./config.ts";

const EPSILON = 1e-6;

/** A convolution of one kernel size; in time the first frame is repeated so that a stride of 1 keeps the length. */
class Convolution {
  readonly #weight: Matrix;
  readonly #bias: Tensor;
  readonly #shape: Omit<ConvolutionOptions, "residual">;

  constructor(
    w: WeightLoader,
    inner: number,
    out: number,
    kernel: Triple,
    shape: Omit<ConvolutionOptions, "kernel"> = {},
  ) {
    this.#weight = w.convolution("weight", [out, inner, ...kernel]);
    this.#bias = w.tensor("bias", [out]);
    const lead = kernel[0] - 1;
    this.#shape = { kernel, lead, leading: "first frame", ...shape, bias: this.#bias };
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return conv3d(x, this.#weight, { ...this.#shape, residual });
  }
}

const IN_SPACE: Triple = [1, 3, 3];
const IN_TIME: Triple = [3, 1, 1];

/** A 3×3×3 convolution in two steps: space, then time. */
export class ConvProjection {
  readonly #space: Convolution;
  readonly #time: Convolution;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#space = new Convolution(w.within("conv_s"), inner, out, IN_SPACE, { padding: 1 });
    this.#time = new Convolution(w.within("conv_t"), out, out, IN_TIME);
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return this.#time.forward(this.#space.forward(x), residual);
  }
}

/** Group norm with one group: over the pixels and channels of each frame. */
class FrameNorm {
  readonly #weight: Tensor;
  readonly #bias: Tensor;

  constructor(w: WeightLoader, channels: number) {
    this.#weight = w.tensor("norm.weight", [channels]);
    this.#bias = w.tensor("norm.bias", [channels]);
  }

  forward(x: Tensor, activation?: Activation): Tensor {
    const [B, T, H, W, C] = x.shape;
    const frames = x.reshape(B * T, H * W * C);
    const [weight, bias] = [this.#weight, this.#bias];
    return groupNorm(frames, { weight, bias, epsilon: EPSILON, activation }).reshape(...x.shape);
  }
}

class ResidualBlock {
  readonly #norms: readonly [FrameNorm, FrameNorm];
  readonly #convs: readonly [ConvProjection, ConvProjection];
  readonly #shortcut: Pointwise | undefined;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#norms = [new FrameNorm(w.within("norm1"), inner), new FrameNorm(w.within("norm2"), out)];
    this.#convs = [
      new ConvProjection(w.within("conv1"), inner, out),
      new ConvProjection(w.within("conv2"), out, out),
    ];
    this.#shortcut = inner === out ? undefined : new Pointwise(w.within("conv_shortcut"), inner, out);
  }

  forward(x: Tensor): Tensor {
    const shortcut = this.#shortcut?.forward(x) ?? x;
    const h = this.#convs[0].forward(this.#norms[0].forward(x, "silu"));
    return this.#convs[1].forward(this.#norms[1].forward(h, "silu"), shortcut);
  }
}

/** Attention of one head, as wide as the channels: over the pixels of a frame, or over the frames up to its own of a pixel. */
class Attention {
  readonly #over: "space" | "time";
  readonly #norm: FrameNorm;
  readonly #w: Readonly<Record<"q" | "k" | "v" | "out", Pointwise>>;

  constructor(w: WeightLoader, channels: number, over: "space" | "time") {
    const pointwise = (key: string) => new Pointwise(w.within(key), channels, channels);
    this.#over = over;
    this.#norm = new FrameNorm(w.within("norm"), channels);
    this.#w = {
      q: pointwise("to_q"),
      k: pointwise("to_k"),
      v: pointwise("to_v"),
      out: pointwise("to_out.0"),
    };
  }

  forward(x: Tensor): Tensor {
    const [B, T, H, W, C] = x.shape;
    const causal = this.#over === "time";
    const normed = this.#norm.forward(x);
    const tokens = causal
      ? permute(normed, 0, 2, 3, 1, 4).reshape(B * H * W, T, C)
      : normed.reshape(B * T, H * W, C);
    const [q, k, v] = (["q", "k", "v"] as const).map((name) => ({ tensor: this.#w[name].forward(tokens) }));
    const mixed = wideAttention(q, k, v, C, { causal });
    const frames = causal
      ? permute(mixed.reshape(B, H, W, T, C), 0, 3, 1, 2, 4)
      : mixed.reshape(B, T, H, W, C);
    return this.#w.out.forward(frames, x);
  }
}

/** Attention over space, then over time. */
class AttentionPair {
  readonly #space: Attention;
  readonly #time: Attention;

  constructor(w: WeightLoader, index: number, channels: number) {
    this.#space = new Attention(w.within(`attentions.${index}`), channels, "space");
    this.#time = new Attention(w.within(`temp_attentions.${index}`), channels, "time");
  }

  forward(x: Tensor): Tensor {
    return this.#time.forward(this.#space.forward(x));
  }
}

export class MidBlock {
  readonly #blocks: readonly [ResidualBlock, ResidualBlock];
  readonly #attention: AttentionPair;

  constructor(w: WeightLoader, channels: number) {
    this.#blocks = [
      new ResidualBlock(w.within("resnets.0"), channels, channels),
      new ResidualBlock(w.within("resnets.1"), channels, channels),
    ];
    this.#attention = new AttentionPair(w, 0, channels);
  }

  forward(x: Tensor): Tensor {
    return this.#blocks[1].forward(this.#attention.forward(this.#blocks[0].forward(x)));
  }
}

/** Something that changes the resolution at the end of a level. */
interface Resampler {
  forward(x: Tensor): Tensor;
}

/** Strided convolutions beside average pooling, in space and then in time; a linear map at the end. */
export class Downsampler implements Resampler {
  readonly #space: Convolution | undefined;
  readonly #time: Convolution | undefined;
  readonly #mix: Pointwise;

  constructor(w: WeightLoader, channels: number, level: CosmosVaeLevel) {
    if (level.space)
      this.#space = new Convolution(w.within("conv1"), channels, channels, IN_SPACE, {
        stride: [1, 2, 2],
        padding: { bottom: 1, right: 1 },
      });
    // The clip gets one copy of its first frame here and the convolution adds another; the pooling sees the first only.
    if (level.time)
      this.#time = new Convolution(w.within("conv2"), channels, channels, IN_TIME, {
        stride: [2, 1, 1],
        lead: 2,
      });
    this.#mix = new Pointwise(w.within("conv3"), channels, channels);
  }

  forward(x: Tensor): Tensor {
    if (this.#space) {
      const [, , H, W] = x.shape;
      if (H % 2 !== 0 || W % 2 !== 0) {
        throw new UsageError(
          `Cosmos VAE: a level that halves height and width got ${H} × ${W} pixels; both must be even, so the video's must be multiples of the spatial compression`,
        );
      }
      x = this.#space.forward(x, averagePool(x, [1, 2, 2])); // (B, T, H/2, W/2, C)
    }
    if (this.#time) x = this.#time.forward(x, averagePool(x, [2, 1, 1], 1)); // (B, ⌊(T + 1)/2⌋, H, W, C)
    return this.#mix.forward(x);
  }
}

/** Repetition beside a convolution, in time and then in space; the first frame is not repeated in time. */
export class Upsampler implements Resampler {
  readonly #time: Convolution | undefined;
  readonly #space: Convolution | undefined;
  readonly #mix: Pointwise;

  constructor(w: WeightLoader, channels: number, level: CosmosVaeLevel) {
    if (level.time) this.#time = new Convolution(w.within("conv1"), channels, channels, IN_TIME);
    if (level.space)
      this.#space = new Convolution(w.within("conv2"), channels, channels, IN_SPACE, { padding: 1 });
    this.#mix = new Pointwise(w.within("conv3"), channels, channels);
  }

  forward(x: Tensor): Tensor {
    if (this.#time) {
      const longer = doubleLaterFrames(x); // (B, 2·T − 1, H, W, C)
      x = this.#time.forward(longer, longer);
    }
    if (this.#space) {
      const larger = enlargeFrames(x, 2); // (B, T, 2·H, 2·W, C)
      x = this.#space.forward(larger, larger);
    }
    return this.#mix.forward(x);
  }
}

/** Residual blocks, each with attention where the level has it, then a change of resolution where it has one. */
export class Level {
  readonly #blocks: readonly ResidualBlock[];
  readonly #attentions: readonly AttentionPair[];
  readonly #resampler: Resampler | undefined;

  constructor(w: WeightLoader, level: CosmosVaeLevel, resampler: (level: CosmosVaeLevel) => Resampler) {
    const numbers = Array.from({ length: level.blocks }, (_, i) => i);
    this.#blocks = numbers.map(
      (i) => new ResidualBlock(w.within(`resnets.${i}`), i === 0 ? level.in : level.out, level.out),
    );
    this.#attentions = level.attention ? numbers.map((i) => new AttentionPair(w, i, level.out)) : [];
    if (level.space || level.time) this.#resampler = resampler(level);
  }

  forward(x: Tensor): Tensor {
    this.#blocks.forEach((block, i) => {
      x = block.forward(x);
      x = this.#attentions[i]?.forward(x) ?? x;
    });
    return this.#resampler?.forward(x) ?? x;
  }
}

/** norm → silu → convolution: how encoder and decoder end. */
export class Head {
  readonly #norm: FrameNorm;
  readonly #conv: ConvProjection;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#norm = new FrameNorm(w.within("norm_out"), inner);
    this.#conv = new ConvProjection(w.within("conv_out"), inner, out);
  }

  forward(x: Tensor): Tensor {
    return this.#conv.forward(this.#norm.forward(x, "silu"));
  }
}
