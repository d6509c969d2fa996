/** Words that the two video autoencoders share. Clips are (B, C, T, H, W) outside and channels last inside. */
import { UsageError } from "../errors.ts";
import { multiply, subtract } from "../kernels/elementwise.ts";
import { linear } from "../kernels/linear.ts";
import type { Matrix } from "../tensor/matrix.ts";
import { constant, showShape, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";

/** Which halves of an autoencoder are loaded. */
export type VaeParts = "both" | "encoder" | "decoder";

/** The halves among `parts`, each built by its function; the other's weights are left unread. */
export function buildHalves<E, D>(
  parts: VaeParts,
  w: WeightLoader,
  encoder: () => E,
  decoder: () => D,
): { readonly encoder?: E; readonly decoder?: D } {
  if (parts === "decoder") w.ignore(/encoder\./, /quant_conv\./);
  if (parts === "encoder") w.ignore(/decoder\./, /post_quant_conv\./);
  return {
    encoder: parts === "decoder" ? undefined : encoder(),
    decoder: parts === "encoder" ? undefined : decoder(),
  };
}

/** A half that was loaded. @throws UsageError when it was not */
export function loadedHalf<T>(vae: string, half: T | undefined, name: "encoder" | "decoder"): T {
  if (half) return half;
  throw new UsageError(`${vae}: the ${name} was not loaded; construct it with parts "both" or "${name}"`);
}

/** @throws UsageError unless x is (batch, channels, frames, height, width) */
export function checkClip(vae: string, x: Tensor, what: string, channels: number): void {
  if (x.shape.length === 5 && x.dim(1) === channels) return;
  throw new UsageError(
    `${vae}: ${what} ${showShape(x.shape)} is not (batch, ${channels}, frames, height, width)`,
  );
}

/** A linear map's matrix and bias, as a convolution of one tap stores them. */
export interface Affine {
  readonly weight: Matrix;
  readonly bias: Tensor;
}

/** 1×1×1 convolution: a linear map of every pixel's channels. */
export class Pointwise {
  readonly #w: Affine;

  constructor(w: WeightLoader, inner: number, out: number) {
    this.#w = {
      weight: w.linear("weight", out, inner, [out, inner, 1, 1, 1]),
      bias: w.tensor("bias", [out]),
    };
  }

  forward(x: Tensor, residual?: Tensor): Tensor {
    return linear(x, this.#w.weight, { bias: this.#w.bias, residual });
  }
}

/** Statistics of latents, one value a channel; divided by as multiplied with the inverse, which a program may round by itself. */
export interface LatentStatistics {
  readonly mean: readonly number[];
  readonly inverseStd: readonly number[];
}

/** latents (B, C, T, H, W) → (latents − mean) · inverseStd. @throws UsageError unless there is one of each a channel */
export function standardize(latents: Tensor, { mean, inverseStd }: LatentStatistics): Tensor {
  const each = perChannel(latents);
  return multiply(subtract(latents, each("mean", mean)), each("deviation", inverseStd));
}

/** A constant as long as one item, each channel's value repeated over its frames and pixels. */
function perChannel(latents: Tensor): (what: string, values: readonly number[]) => Tensor {
  const channels = latents.dim(1);
  const pixels = latents.size / latents.dim(0) / channels;
  return (what, values) => {
    if (values.length !== channels)
      throw new UsageError(`${values.length} values of the latents' ${what} for ${channels} channels`);
    const data = Float32Array.from({ length: channels * pixels }, (_, i) => values[Math.floor(i / pixels)]);
    return constant([data.length], data, `latents' ${what}`);
  };
}
