/**
 * What several of the networks are made of. Axes: B pictures of H × W pixels and C channels, channels last inside; N tokens, D their width,
 * p the side of a patch.
 */
import type { Activation } from "../../kernels/activations.ts";
import { channelGroupNorm } from "../../kernels/channel-group-norm.ts";
import { conv3d } from "../../kernels/conv3d.ts";
import { concat, expand, permute } from "../../kernels/copy.ts";
import { linear } from "../../kernels/linear.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { Affine } from "../vae.ts";

/** A linear map with a bias; `trailing` axes of length 1 where it is stored as a 1×1 convolution. */
export class Linear {
  readonly #w: Affine;

  constructor(w: WeightLoader, key: string, inner: number, out: number, trailing: readonly number[] = []) {
    this.#w = {
      weight: w.linear(`${key}.weight`, out, inner, [out, inner, ...trailing]),
      bias: w.tensor(`${key}.bias`, [out]),
    };
  }

  forward(x: Tensor, options: { activation?: Activation; residual?: Tensor } = {}): Tensor {
    return linear(x, this.#w.weight, { bias: this.#w.bias, ...options });
  }
}

export interface ConvolutionOptions {
  /** default 1 */
  readonly stride?: number;
  /** zeros on every side; default: what keeps the size at a stride of 1 */
  readonly padding?: number;
  /** every pixel counts as a square of this many by as many; default 1 */
  readonly enlarge?: number;
}

/** A k×k convolution with a bias: the three-dimensional one on clips of one frame. */
export class Convolution {
  readonly #weight: Matrix;
  readonly #bias: Tensor;
  readonly #taps: number;
  readonly #shape: Required<ConvolutionOptions>;

  constructor(
    w: WeightLoader,
    key: string,
    inner: number,
    out: number,
    taps: number,
    { stride = 1, padding = (taps - 1) / 2, enlarge = 1 }: ConvolutionOptions = {},
  ) {
    this.#weight = w.convolution(`${key}.weight`, [out, inner, taps, taps]);
    this.#bias = w.tensor(`${key}.bias`, [out]);
    this.#taps = taps;
    this.#shape = { stride, padding, enlarge };
  }

  /** (B, H, W, C) → (B, H', W', O) */
  forward(x: Tensor, residual?: Tensor): Tensor {
    const [B, H, W, C] = x.shape;
    const { stride, padding, enlarge } = this.#shape;
    const y = conv3d(x.reshape(B, 1, H, W, C), this.#weight, {
      ...{ kernel: [1, this.#taps, this.#taps], stride: [1, stride, stride], padding, enlarge },
      ...{ bias: this.#bias, residual },
    });
    return y.reshape(B, y.dim(2), y.dim(3), y.dim(4));
  }
}

export class GroupNorm {
  readonly #gains: { readonly weight: Tensor; readonly bias: Tensor };
  readonly #groups: number;
  readonly #epsilon: number;

  constructor(w: WeightLoader, key: string, channels: number, groups: number, epsilon: number) {
    this.#gains = {
      weight: w.tensor(`${key}.weight`, [channels]),
      bias: w.tensor(`${key}.bias`, [channels]),
    };
    this.#groups = groups;
    this.#epsilon = epsilon;
  }

  /** x (B, …, C) → the same shape */
  forward(x: Tensor, activation?: Activation): Tensor {
    const options = { ...this.#gains, groups: this.#groups, epsilon: this.#epsilon, activation };
    return channelGroupNorm(x.reshape(x.dim(0), -1, x.dim(-1)), options).reshape(...x.shape);
  }
}

/** linear(silu(linear(x))) under `key.0` and `key.2`; `wrapped` where a further name stands between. */
export class TimeEmbedder {
  readonly #first: Linear;
  readonly #second: Linear;

  constructor(w: WeightLoader, key: string, inner: number, out: number, wrapped = "") {
    this.#first = new Linear(w, `${key}.0${wrapped}`, inner, out);
    this.#second = new Linear(w, `${key}.2${wrapped}`, out, out);
  }

  forward(features: Tensor): Tensor {
    return this.#second.forward(this.#first.forward(features, { activation: "silu" }));
  }
}

/** (B, C, H, W) → (B, H, W, C) */
export const toPixels = (x: Tensor): Tensor => permute(x, 0, 2, 3, 1);

/** (B, H, W, C) → (B, C, H, W) */
export const toPictures = (x: Tensor): Tensor => permute(x, 0, 3, 1, 2);

/** Pixels with a plane of r and one of t behind their channels: (B, …, C) → (B, …, C + 2). */
export function withTimePlanes(pixels: Tensor, r: Tensor, t: Tensor): Tensor {
  const [B, ...rest] = pixels.shape;
  const inner = rest.slice(0, -1);
  const plane = (time: Tensor): Tensor => expand(time.reshape(B, ...inner.map(() => 1), 1), B, ...inner, 1);
  return concat([pixels, plane(r), plane(t)], rest.length);
}

/** Features (row in the patch, column in the patch, channel) of each token → pictures: (B, N, p·p·C) → (B, C, H, W). */
export function unpatchify(tokens: Tensor, patch: number, side: number): Tensor {
  const [B, , features] = tokens.shape;
  const C = features / patch ** 2;
  return permute(tokens.reshape(B, side, side, patch, patch, C), 0, 5, 1, 3, 2, 4).reshape(
    ...[B, C, side * patch, side * patch],
  );
}
