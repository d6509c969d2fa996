/**
 * The video side of a video-action model: context frames become clean latents, future latents are imagined from noise, and the
 * transformer's hidden states are tapped on the way (lucidrains specification section 2; cosmos_predict.py).
 *
 * Axes: B batch, C latent channels, T latent frames = context + future, H and W latent rows and columns, N tokens, D
 * transformer width, R = 2 distinct times: that of the context, which is clean, and that of the future.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { concat, slice } from "../kernels/copy.ts";
import { affine, multiply, subtract } from "../kernels/elementwise.ts";
import type { FlowModel } from "../sampler/flow.ts";
import { constant, createTensor, releaseTensor, type Tensor, writeTensor } from "../tensor/tensor.ts";
import { widthOf } from "./cosmos/config.ts";
import { timestepSinusoids } from "./cosmos/timesteps.ts";
import type { CosmosTransformer, TextContext } from "./cosmos/transformer.ts";

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

/** The reference wrapper's timestep when a single pass starts from pure noise: 999, not 1000 (trap T8). */
export const SINGLE_PASS_TIMESTEP = 999;

/** Context frames to latents, and the flow of the future behind them. */
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

  /** The flow of future latents behind clean context latents, or of the whole video without context. */
  flow(gpu: Gpu, text: TextContext, context?: Tensor, slots = 1): VideoFlow {
    return new VideoFlow(gpu, this, text, context, slots);
  }
}

/** A `FlowModel` over the future latents (B, C, future, H, W); free it with `dispose`. */
export class VideoFlow implements FlowModel {
  readonly #gpu: Gpu;
  readonly #tower: VideoTower;
  readonly #text: TextContext;
  readonly #context: Tensor | undefined;
  /** (2, D) per slot: sinusoids of the context's time and of the future's */
  readonly #sinusoids: readonly Tensor[];

  constructor(gpu: Gpu, tower: VideoTower, text: TextContext, context: Tensor | undefined, slots: number) {
    this.#gpu = gpu;
    this.#tower = tower;
    this.#text = text;
    this.#context = context;
    const width = widthOf(tower.transformer.config);
    this.#sinusoids = Array.from({ length: slots }, () =>
      createTensor(gpu, [2, width], undefined, "timestep sinusoids"),
    );
  }

  evaluate(
    future: Tensor,
    slot: number,
    wantVelocity: boolean,
  ): { velocity?: Tensor; tapped: readonly Tensor[] } {
    const { transformer, config } = this.#tower;
    const latents = this.#context ? concat([this.#context, future], 2) : future; // (B, C, T, H, W)
    const past = this.#context?.dim(2) ?? 0;
    const [B, , T] = latents.shape;
    const { velocity, captured } = transformer.forward({
      latents,
      text: this.#text,
      sinusoids: this.#sinusoids[slot],
      rowOfFrame: Uint32Array.from({ length: B * T }, (_, i) => (i % T < past ? 0 : 1)),
      capture: config.extractLayers,
      velocity: wantVelocity,
    });
    return {
      velocity: velocity && (past > 0 ? slice(velocity, 2, past, T) : velocity),
      // The reference keeps execution order, whatever order the layers were asked in (trap T12).
      tapped: [...config.extractLayers].sort((a, b) => a - b).map((layer) => captured.get(layer)!),
    };
  }

  setTime(slot: number, tau: number): void {
    const width = widthOf(this.#tower.transformer.config);
    const times = [this.#tower.config.timestepOf(0), this.#tower.config.timestepOf(tau)];
    writeTensor(this.#gpu, this.#sinusoids[slot], timestepSinusoids(times, width));
  }

  dispose(): void {
    for (const s of this.#sinusoids) releaseTensor(this.#gpu, s);
  }
}
