/**
 * What enters the transformer in the reference's single pass (lucidrains cosmos_predict.py; docs/references.md, "single pass"): behind a
 * clean video frames of pure noise, or, where no future is imagined, the video itself noised to τ, but for the frames that are kept clean.
 *
 * Axes: B batch, C channels, f latent frames of the video, F imagined ones, H and W latent rows and columns.
 */
import { UsageError } from "../../errors.ts";
import { concat } from "../../kernels/copy.ts";
import { add, multiply } from "../../kernels/elementwise.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";

export interface SinglePass {
  /** per item, per frame of the video: whether it stays clean where the video is noised; default none */
  readonly kept?: readonly (readonly boolean[])[];
  /** f */
  readonly frames: number;
  /** F */
  readonly imagined: number;
  /** (B) τ that the video is noised to, where no future is imagined */
  readonly taus: ArrayLike<number>;
}

/** The time of each item's frames, (B, f + F): 0 clean, 1 noise. */
export function frameTimes({ kept, frames, imagined, taus }: SinglePass): number[][] {
  return Array.from({ length: taus.length }, (_, b) =>
    Array.from({ length: frames + imagined }, (_, i) => {
      if (imagined > 0) return i < frames ? 0 : 1;
      return kept?.[b][i] ? 0 : taus[b];
    }),
  );
}

/**
 * Records the latents that enter.
 * @param z (B, C, f, H, W) clean
 * @param noise (B, C, F, H, W), or of the shape of z where no future is imagined
 * @param times of `frameTimes`
 * @throws UsageError when the noise does not fit
 */
export function noisedFrames(
  z: Tensor,
  noise: Tensor,
  times: readonly (readonly number[])[],
  imagined: number,
): Tensor {
  const [B, C, f, H, W] = z.shape;
  const expected = [B, C, imagined > 0 ? imagined : f, H, W];
  if (showShape(noise.shape) !== showShape(expected))
    throw new UsageError(`the noise is ${showShape(noise.shape)}, expected ${showShape(expected)}`);
  if (imagined > 0) return concat([z, noise], 2);
  const ofFrame = (value: (tau: number) => number): Tensor => {
    const data = new Float32Array(z.size);
    for (let i = 0; i < data.length; i++) {
      const frame = Math.floor(i / (H * W)) % f;
      data[i] = value(times[Math.floor(i / (C * f * H * W))][frame]);
    }
    return constant(z.shape, data, "times of frames");
  };
  // (1 − τ)·z + τ·ε
  return add(
    multiply(
      z,
      ofFrame((tau) => 1 - tau),
    ),
    multiply(
      noise,
      ofFrame((tau) => tau),
    ),
  );
}
