/** In the worker: what a probed state looks like while the run goes on, its imagined frames and its decoded actions. */
import { type Replay, record } from "../src/gpu/recording.ts";
import { concat } from "../src/kernels/copy.ts";
import { add, affine, multiply } from "../src/kernels/elementwise.ts";
import type { MimicVideo } from "../src/systems/mimic-video/model.ts";
import { EpisodeDecoder } from "../src/systems/mimic-video/decode.ts";
import type { ImaginedState } from "../src/systems/mimic-video/imagine.ts";
import { actionNoise } from "../src/probe/experiment/run.ts";
import {
  constant,
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  type Tensor,
} from "../src/tensor/tensor.ts";
import type { StateView } from "./protocol.ts";
import { rgbaFrames } from "./pixels.ts";

/** Records once a run and replays for every state. Free it with `dispose`. */
export class Preview {
  readonly #model: MimicVideo;
  readonly #actionSeeds: readonly number[];
  /** (1, C, T, H, W) each, of the first video seed */
  readonly #latents: readonly [context: Tensor, future: Tensor];
  readonly #frames: Replay<Tensor>;
  readonly #decoder: EpisodeDecoder;

  private constructor(
    model: MimicVideo,
    actionSeeds: readonly number[],
    latents: readonly [Tensor, Tensor],
    frames: Replay<Tensor>,
    decoder: EpisodeDecoder,
  ) {
    this.#model = model;
    this.#actionSeeds = actionSeeds;
    this.#latents = latents;
    this.#frames = frames;
    this.#decoder = decoder;
  }

  static async create(
    model: MimicVideo,
    state: ImaginedState,
    actionSteps: number,
    actionSeeds: readonly number[],
  ): Promise<Preview> {
    const { gpu } = model;
    const one = (x: Tensor, label: string): Tensor =>
      createTensor(gpu, [1, ...x.shape.slice(1)], undefined, label);
    const latents = [one(state.context, "shown context"), one(state.latents, "shown future")] as const;
    const frames = await record(gpu, "decode imagined frames", () => imaginedFrames(model, ...latents));
    const decoder = await EpisodeDecoder.create(model, {
      rows: 1,
      seeds: state.latents.dim(0),
      steps: actionSteps,
      videoTokens: state.tapped.map((x) => x.dim(1)),
    });
    return new Preview(model, actionSeeds, latents, frames, decoder);
  }

  async show(state: ImaginedState, signal: AbortSignal): Promise<StateView> {
    const { gpu, chunkShape, description } = this.#model;
    const { episode, step, tau, tapped } = state;
    [state.context, state.latents].forEach((from, i) => {
      copyTensor(gpu, from, this.#latents[i], { count: this.#latents[i].size });
    });
    await this.#frames.run();
    const rows = await this.#decoder.decode({
      features: { layers: tapped, release: () => {} },
      taus: [tau],
      jointState: episode.jointState,
      noises: this.#actionSeeds.map((seed) => actionNoise(episode, seed, chunkShape[0] * chunkShape[1])),
      signal,
    });
    const pixels = await readTensor(gpu, this.#frames.outputs); // (1, 3, frames, rows, columns)
    return {
      episode: episode.index,
      step,
      tau,
      frames: rgbaFrames(pixels, this.#frames.outputs.dim(2), description.contextFrames),
      iterates: rows(0, 1).iterates,
    };
  }

  dispose(): void {
    this.#frames.dispose();
    this.#decoder.dispose();
    for (const latents of this.#latents) releaseTensor(this.#model.gpu, latents);
  }
}

/** Records: normalised latents → frames in [0, 1], not clamped; the inverse of `VideoTower.encode`. */
function imaginedFrames({ vae, tower }: MimicVideo, context: Tensor, future: Tensor): Tensor {
  const z = concat([context, future], 2);
  const each = z.size / z.dim(1);
  const perElement = (values: readonly number[]): Tensor =>
    constant(
      [z.size],
      Float32Array.from({ length: z.size }, (_, i) => values[Math.floor(i / each)]),
      "latent statistics",
    );
  const { latentsMean, latentsStd } = tower.config;
  return affine(vae.decode(add(multiply(z, perElement(latentsStd)), perElement(latentsMean))), 0.5, 0.5);
}
