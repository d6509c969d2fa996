/**
 * The layers of the Wan video autoencoder (vae.ts); what Wan 2.2 puts around them stands in residual-levels.ts. Axes: B batch, T frames of a chunk, H rows, W columns, C channels,
 * channels last throughout.
 *
 * A clip passes through in chunks of frames, each through all layers before the next. What a convolution in time needs of the
 * chunks before, at most two frames of its input, is kept in a `Past`; before the first frame there are zeros. Chunk by chunk
 * gives what the whole clip at once would give, except where time is resampled: there the first frame of the
 * clip is passed on untouched.
 */
import { UsageError } from "../../errors.ts";
import { conv3d, type ConvolutionShape, type Triple } from "../../kernels/conv3d.ts";
import { concat, permute, slice } from "../../kernels/copy.ts";
import { activation } from "../../kernels/elementwise.ts";
import { linear } from "../../kernels/linear.ts";
import { norm } from "../../kernels/norm.ts";
import { wideAttention } from "../../kernels/wide-attention.ts";
import { type Shape, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { type Affine, Pointwise } from "../vae.ts";

/** The last frames that layers have seen of one clip. */
export class Past {
  readonly #kept = new Map<object, Tensor>();
  /** whether the first chunk is passing: the first frame of the clip alone */
  first = true;

  /** all that is kept now: a later recording goes on where this one ends, if these outlive it */
  get kept(): readonly Tensor[] {
    return [...this.#kept.values()];
  }

  /** x behind the frames kept for `layer`, of which at most the last `count` stay for the next chunk. */
  before(layer: object, x: Tensor, count: number): Tensor {
    const kept = this.#kept.get(layer);
    const longer = kept ? concat([kept, x], 1) : x; // (B, kept + T, H, W, C)
    const T = longer.dim(1);
    this.#kept.set(layer, T > count ? slice(longer, 1, T - count, T) : longer);
    return longer;
  }
}

export interface Layer {
  /** whether it changes the number of frames, and so must see those of a chunk together */
  readonly resamplesTime?: boolean;
  forward(x: Tensor, past: Past): Tensor;
}

const linearWeights = (w: WeightLoader, inner: number, out: number, trailing: Shape): Affine => ({
  weight: w.linear("weight", out, inner, [out, inner, ...trailing]),
  bias: w.tensor("bias", [out]),
});

const convolutionWeights = (w: WeightLoader, inner: number, out: number, taps: Shape): Affine => ({
  weight: w.convolution("weight", [out, inner, ...taps]),
  bias: w.tensor("bias", [out]),
});

const CUBE: Triple = [3, 3, 3];
const IN_TIME: Triple = [3, 1, 1];
const IN_SPACE: Triple = [1, 3, 3];

/** 3×3×3 convolution, causal in time. */
export class CausalConvolution implements Layer {
  readonly #w: Affine;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#w = convolutionWeights(w, inner, out, CUBE);
  }

  forward(x: Tensor, past: Past, residual?: Tensor): Tensor {
    const longer = past.before(this, x, 2);
    const zeros = 2 - (longer.dim(1) - x.dim(1));
    return conv3d(longer, this.#w.weight, {
      ...{ kernel: CUBE, lead: zeros, padding: 1 },
      ...{ bias: this.#w.bias, residual },
    });
  }
}

/** x / max(‖x‖₂, 1e-12) · √C · gain, over the channels of a pixel */
export class ChannelNorm {
  readonly #gain: Tensor;

  constructor(w: WeightLoader, channels: number, trailing: Shape = [1, 1, 1]) {
    this.#gain = w.tensor("gamma", [channels, ...trailing]);
  }

  forward(x: Tensor): Tensor {
    return norm(x, { kind: "l2", epsilon: 1e-12, weight: this.#gain });
  }
}

/** norm → silu → convolution, twice, beside a shortcut */
export class ResidualBlock implements Layer {
  readonly #norms: readonly [ChannelNorm, ChannelNorm];
  readonly #convs: readonly [CausalConvolution, CausalConvolution];
  readonly #shortcut: Pointwise | undefined;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#norms = [new ChannelNorm(w.within("norm1"), inner), new ChannelNorm(w.within("norm2"), out)];
    this.#convs = [
      new CausalConvolution(w.within("conv1"), inner, out),
      new CausalConvolution(w.within("conv2"), out, out),
    ];
    this.#shortcut = inner === out ? undefined : new Pointwise(w.within("conv_shortcut"), inner, out);
  }

  forward(x: Tensor, past: Past): Tensor {
    const shortcut = this.#shortcut?.forward(x) ?? x;
    const h = this.#convs[0].forward(activation(this.#norms[0].forward(x), "silu"), past);
    return this.#convs[1].forward(activation(this.#norms[1].forward(h), "silu"), past, shortcut);
  }
}

/** Attention of one head, as wide as the channels, over the pixels of each frame. */
export class FrameAttention implements Layer {
  readonly #norm: ChannelNorm;
  readonly #qkv: Affine;
  readonly #out: Affine;

  constructor(w: WeightLoader, channels: number) {
    this.#norm = new ChannelNorm(w.within("norm"), channels, [1, 1]);
    this.#qkv = linearWeights(w.within("to_qkv"), channels, 3 * channels, [1, 1]);
    this.#out = linearWeights(w.within("proj"), channels, channels, [1, 1]);
  }

  forward(x: Tensor): Tensor {
    const [B, T, H, W, C] = x.shape;
    const normed = this.#norm.forward(x).reshape(B * T, H * W, C);
    const tensor = linear(normed, this.#qkv.weight, { bias: this.#qkv.bias }); // (B·T, H·W, 3·C)
    const mixed = wideAttention({ tensor }, { tensor, offset: C }, { tensor, offset: 2 * C }, C);
    return linear(mixed.reshape(B, T, H, W, C), this.#out.weight, { bias: this.#out.bias, residual: x });
  }
}

export class MidBlock implements Layer {
  readonly #layers: readonly Layer[];

  constructor(w: WeightLoader, channels: number) {
    this.#layers = [
      new ResidualBlock(w.within("resnets.0"), channels, channels),
      new FrameAttention(w.within("attentions.0"), channels),
      new ResidualBlock(w.within("resnets.1"), channels, channels),
    ];
  }

  forward(x: Tensor, past: Past): Tensor {
    return this.#layers.reduce((h, layer) => layer.forward(h, past), x);
  }
}

const HALVE: ConvolutionShape = { kernel: IN_SPACE, stride: [1, 2, 2], padding: { bottom: 1, right: 1 } };
const DOUBLE: ConvolutionShape = { kernel: IN_SPACE, enlarge: 2, padding: 1 };

/** Half the rows and columns, and half the frames behind the first where `time` is set. */
export class Downsampler implements Layer {
  readonly resamplesTime: boolean;
  readonly #space: Affine;
  readonly #time: Affine | undefined;

  constructor(w: WeightLoader, channels: number, time: boolean) {
    this.resamplesTime = time;
    this.#space = convolutionWeights(w.within("resample.1"), channels, channels, [3, 3]);
    if (time) this.#time = convolutionWeights(w.within("time_conv"), channels, channels, IN_TIME);
  }

  forward(x: Tensor, past: Past): Tensor {
    const { weight, bias } = this.#space;
    const smaller = conv3d(x, weight, { ...HALVE, bias }); // (B, T, ⌊H/2⌋, ⌊W/2⌋, C)
    if (!this.#time) return smaller;
    const longer = past.before(this, smaller, 1);
    if (past.first) return smaller;
    if (longer.dim(1) < 3) {
      throw new UsageError(
        `Wan VAE: a third halving in time meets ${showShape(x.shape)}, one frame of a chunk of four; ` +
          "such models can only encode a single frame",
      );
    }
    return conv3d(longer, this.#time.weight, {
      ...{ kernel: IN_TIME, stride: [2, 1, 1] },
      bias: this.#time.bias,
    }); // (B, T/2, ⌊H/2⌋, ⌊W/2⌋, C)
  }
}

/** Twice the rows and columns, at half the channels in Wan 2.1, and twice the frames behind the first where `time` is set. */
export class Upsampler implements Layer {
  readonly resamplesTime: boolean;
  readonly #space: Affine;
  readonly #time: Affine | undefined;

  constructor(w: WeightLoader, channels: number, time: boolean, out = Math.floor(channels / 2)) {
    this.resamplesTime = time;
    this.#space = convolutionWeights(w.within("resample.1"), channels, out, [3, 3]);
    if (time) this.#time = convolutionWeights(w.within("time_conv"), channels, 2 * channels, IN_TIME);
  }

  forward(x: Tensor, past: Past): Tensor {
    const frames = this.#time && !past.first ? this.#doubled(x, this.#time, past) : x;
    const { weight, bias } = this.#space;
    return conv3d(frames, weight, { ...DOUBLE, bias }); // (B, T, 2·H, 2·W, out)
  }

  /** The first half of the channels are the earlier frames of each pair. The clip's first frame is not in the past here. */
  #doubled(x: Tensor, { weight, bias }: Affine, past: Past): Tensor {
    const [B, T, H, W, C] = x.shape;
    const longer = past.before(this, x, 2);
    const zeros = 2 - (longer.dim(1) - T);
    const pairs = conv3d(longer, weight, { kernel: IN_TIME, lead: zeros, bias }); // (B, T, H, W, 2·C)
    return permute(pairs.reshape(B, T, H * W, 2, C), 0, 1, 3, 2, 4).reshape(B, 2 * T, H, W, C);
  }
}
