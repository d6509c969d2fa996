/**
 * The video tower as a flow: a clean prefix, a noised future, one evaluation of the transformer a state.
 *
 * Axes: B batch, C latent channels, T latent frames = context + future, H and W latent rows and columns, N tokens, D
 * transformer width, R = 2 distinct times: that of the context, which is clean, and that of the future.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { concat, slice } from "../../kernels/copy.ts";
import { widthOf } from "../../networks/cosmos/config.ts";
import { timestepSinusoids } from "../../networks/cosmos/timesteps.ts";
import type { TextContext } from "../../networks/cosmos/transformer.ts";
import type { VideoTower } from "./video-tower.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";
import type { Denoiser, Evaluation } from "../../sampling/denoiser.ts";
import type { Call } from "../../sampling/scheduler.ts";

/**
 * The flow of future latents (B, C, future, H, W) behind clean context latents, or of the whole video without context;
 * free it with `dispose`.
 */
export class VideoFlow implements Denoiser {
  readonly #gpu: Gpu;
  readonly #tower: VideoTower;
  readonly #text: TextContext;
  readonly #context: Tensor | undefined;
  /** (2, D): sinusoids of the context's time and of the future's */
  readonly #sinusoids: Tensor;

  constructor(gpu: Gpu, tower: VideoTower, text: TextContext, context?: Tensor) {
    this.#gpu = gpu;
    this.#tower = tower;
    this.#text = text;
    this.#context = context;
    const width = widthOf(tower.transformer.config);
    this.#sinusoids = createTensor(gpu, [2, width], undefined, "timestep sinusoids");
  }

  evaluate(future: Tensor, want: "all" | "taps"): Evaluation {
    const { transformer, config } = this.#tower;
    const latents = this.#context ? concat([this.#context, future], 2) : future; // (B, C, T, H, W)
    const past = this.#context?.dim(2) ?? 0;
    const [B, , T] = latents.shape;
    const { velocity, captured } = transformer.forward({
      latents,
      text: this.#text,
      sinusoids: this.#sinusoids,
      rowOfFrame: Uint32Array.from({ length: B * T }, (_, i) => (i % T < past ? 0 : 1)),
      capture: config.extractLayers,
      velocity: want === "all",
    });
    return {
      output: velocity && (past > 0 ? slice(velocity, 2, past, T) : velocity),
      // The reference keeps execution order, whatever order the layers were asked in (docs/references.md, "execution order").
      tapped: [...config.extractLayers].sort((a, b) => a - b).map((layer) => captured.get(layer)!),
    };
  }

  setCall({ at: tau }: Call): void {
    const width = widthOf(this.#tower.transformer.config);
    const times = [this.#tower.config.timestepOf(0), this.#tower.config.timestepOf(tau)];
    writeTensor(this.#gpu, this.#sinusoids, timestepSinusoids(times, width));
  }

  dispose(): void {
    releaseTensor(this.#gpu, this.#sinusoids);
  }
}
