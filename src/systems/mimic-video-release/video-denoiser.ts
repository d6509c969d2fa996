/**
 * The released video transformer as what a sampler follows: some frames given, the others noised, one evaluation a state. The state is
 * x = x₀ + σ·ε; the network sees x/(1 + σ) and is told σ/(1 + σ), of the given frames that of a fixed small σ though no noise is added to them.
 *
 * Axes: B batch, C latent channels, T latent frames, n of them given, H and W latent rows and columns, N tokens, D transformer width.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { concat, slice } from "../../kernels/copy.ts";
import { widthOf } from "../../networks/cosmos/config.ts";
import { timestepSinusoids } from "../../networks/cosmos/timesteps.ts";
import type { CosmosTransformer, TextContext } from "../../networks/cosmos/transformer.ts";
import { videoTime } from "../../networks/world2action/times.ts";
import type { Denoiser, Evaluation } from "../../sampling/denoiser.ts";
import type { Call, Scheduler } from "../../sampling/scheduler.ts";
import { exponentialAb2, karrasSigmas, RECTIFIED_FLOW } from "../../sampling/schedulers.ts";
import {
  constant,
  createTensor,
  releaseTensor,
  showShape,
  type Tensor,
  writeTensor,
} from "../../tensor/tensor.ts";

/** σ of the given frames, as the network is told it. */
const GIVEN_SIGMA = 1e-4;

/** Steps of the released sampler, and its noise levels: the factor of the initial noise, and where the last step ends. */
export const VIDEO_STEPS = 35;
export const SIGMA_MAX = 80;
export const SIGMA_MIN = 0.002;

/** The released sampler: exponential Adams–Bashforth of two steps over `steps` + 1 noise levels. */
export const videoScheduler = (
  steps: number = VIDEO_STEPS,
  most: number = SIGMA_MAX,
  least: number = SIGMA_MIN,
  rho = 7,
): Scheduler => exponentialAb2(karrasSigmas(steps, most, least, rho), RECTIFIED_FLOW, videoTime);

export interface VideoDenoiserOptions {
  readonly text: TextContext;
  /** (B, C, at least n frames, H, W): latents whose first n frames are given */
  readonly given: Tensor;
  /** n */
  readonly givenFrames: number;
  /** L: the tap is the residual stream behind L blocks, (B, N, D); none without */
  readonly layer?: number;
}

/** Free it with `dispose`; the text and the given latents stay the caller's. */
export class VideoDenoiser implements Denoiser {
  readonly #gpu: Gpu;
  readonly #transformer: CosmosTransformer;
  readonly #options: VideoDenoiserOptions;
  /** (2, D): sinusoids of the given frames' time and of the others' */
  readonly #sinusoids: Tensor;

  constructor(gpu: Gpu, transformer: CosmosTransformer, options: VideoDenoiserOptions) {
    const { given, givenFrames } = options;
    if (given.shape.length !== 5 || givenFrames < 0 || givenFrames > given.dim(2))
      throw new UsageError(`${givenFrames} given frames of latents ${showShape(given.shape)}`);
    this.#gpu = gpu;
    this.#transformer = transformer;
    this.#options = options;
    this.#sinusoids = createTensor(gpu, [2, widthOf(transformer.config)], undefined, "timestep sinusoids");
  }

  /** Records: x (B, C, T, H, W) with the given frames in place of its first. */
  constrain(x: Tensor): Tensor {
    const { given, givenFrames: n } = this.#options;
    if (n === 0) return x;
    return concat([slice(given, 2, 0, n), slice(x, 2, n, x.dim(2))], 2);
  }

  evaluate(scaled: Tensor, want: "all" | "taps"): Evaluation {
    const { text, givenFrames: n, layer } = this.#options;
    const latents = this.constrain(scaled);
    const [B, , T, H, W] = latents.shape;
    const isGiven = Float32Array.from({ length: T * H * W }, (_, i) => (i < n * H * W ? 1 : 0));
    const { velocity, captured } = this.#transformer.forward({
      latents,
      conditionMask: constant([1, 1, T, H, W], isGiven, "condition mask"),
      // The image was not padded.
      paddingMask: constant([1, 1, 1, H, W], new Float32Array(H * W), "padding mask"),
      text,
      sinusoids: this.#sinusoids,
      rowOfFrame: Uint32Array.from({ length: B * T }, (_, i) => (i % T < n ? 0 : 1)),
      capture: layer === undefined ? [] : [layer - 1],
      velocity: want === "all",
    });
    return { output: velocity, tapped: layer === undefined ? [] : [captured.get(layer - 1)!] };
  }

  setCall({ at }: Call): void {
    const { config } = this.#transformer;
    const times = [videoTime(GIVEN_SIGMA), at];
    writeTensor(this.#gpu, this.#sinusoids, timestepSinusoids(times, widthOf(config), config.tables));
  }

  dispose(): void {
    releaseTensor(this.#gpu, this.#sinusoids);
  }
}
