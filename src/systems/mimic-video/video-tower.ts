/**
 * The video side of a video-action model: context frames become clean latents, future latents are imagined from noise, and the
 * transformer's hidden states are tapped on the way (lucidrains cosmos_predict.py). How the
 * future is sampled stands in video-flow.ts.
 *
 * Axes: B batch, C latent channels, T latent frames = context + future, H and W latent rows and columns.
 */
import { affine, multiply, subtract } from "../../kernels/elementwise.ts";
import { constant, type Tensor } from "../../tensor/tensor.ts";
import type { CosmosTransformer } from "../../networks/cosmos/transformer.ts";

/** What the tower needs of a VAE: (B, 3, frames, rows, columns) in [−1, 1] → (B, C, T, H, W), deterministic. */
export interface VideoEncoder {
  encode(video: Tensor): Tensor;
}

export interface VideoTowerConfig {
  /** statistics of each latent channel */
  readonly latentsMean: readonly number[];
  readonly latentsStd: readonly number[];
  /** blocks whose output the action decoder reads, 0-based */
  readonly extractLayers: readonly number[];
  /** what the transformer is told for flow time τ (0 clean, 1 noise) */
  readonly timestepOf: (tau: number) => number;
}

/** τ as diffusers counts it: 1000·τ. */
export const thousandfold = (tau: number): number => 1000 * tau;

/** The reference wrapper's timestep when a single pass starts from pure noise: 999, not 1000 (docs/references.md, "single pass"). */
export const SINGLE_PASS_TIMESTEP = 999;

/** Context frames to latents, and what the flow of the future behind them needs. */
export class VideoTower {
  readonly vae: VideoEncoder;
  readonly transformer: CosmosTransformer;
  readonly config: VideoTowerConfig;

  constructor(vae: VideoEncoder, transformer: CosmosTransformer, config: VideoTowerConfig) {
    this.vae = vae;
    this.transformer = transformer;
    this.config = config;
  }

  /** Records: frames (B, 3, frames, rows, columns) in [0, 1] → normalised latents (B, C, T, H, W). */
  encode(frames: Tensor): Tensor {
    const z = this.vae.encode(affine(frames, 2, -1));
    const perElement = (values: readonly number[]): Tensor => {
      const each = z.size / z.dim(0) / z.dim(1);
      const data = Float32Array.from({ length: z.dim(1) * each }, (_, i) => values[Math.floor(i / each)]);
      return constant([data.length], data, "latent statistics");
    };
    const { latentsMean, latentsStd } = this.config;
    return multiply(subtract(z, perElement(latentsMean)), perElement(latentsStd.map((s) => 1 / s)));
  }
}
