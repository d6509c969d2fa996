/** In the worker: what a probed state looks like while the run goes on, its imagined frames and its decoded actions. */
import { type Replay, record } from "../src/gpu/recording.ts";
import { concat } from "../src/kernels/copy.ts";
import { add, affine, multiply } from "../src/kernels/elementwise.ts";
import type { ProbedState } from "../src/probe/experiment/measurement.ts";
import type { MimicVideo } from "../src/systems/mimic-video/model.ts";
import type { Encoded, MimicVideoSubject } from "../src/systems/mimic-video/subject.ts";
import {
  constant,
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  type Tensor,
} from "../src/tensor/tensor.ts";
import { bySeeds } from "./chunk.ts";
import type { StateView } from "./protocol.ts";
import { rgbaFrames } from "./pixels.ts";

/** Records once a run and replays for every state. Free it with `dispose`. */
export class Preview {
  readonly #model: MimicVideo;
  readonly #subject: MimicVideoSubject;
  readonly #actionSeeds: readonly number[];
  /** (1, C, T, H, W) each, of the first video seed */
  readonly #latents: readonly [context: Tensor, future: Tensor];
  readonly #frames: Replay<Tensor>;

  private constructor(
    model: MimicVideo,
    subject: MimicVideoSubject,
    actionSeeds: readonly number[],
    latents: readonly [Tensor, Tensor],
    frames: Replay<Tensor>,
  ) {
    this.#model = model;
    this.#subject = subject;
    this.#actionSeeds = actionSeeds;
    this.#latents = latents;
    this.#frames = frames;
  }

  static async create(
    model: MimicVideo,
    subject: MimicVideoSubject,
    { state, encoded }: ProbedState,
    actionSeeds: readonly number[],
  ): Promise<Preview> {
    const { gpu } = model;
    const one = (x: Tensor, label: string): Tensor =>
      createTensor(gpu, [1, ...x.shape.slice(1)], undefined, label);
    const { context } = encoded as Encoded;
    const latents = [one(context, "shown context"), one(state.latents, "shown future")] as const;
    const frames = await record(gpu, "decode imagined frames", () => imaginedFrames(model, ...latents));
    return new Preview(model, subject, actionSeeds, latents, frames);
  }

  async show(
    { item, state, tap, encoded }: ProbedState,
    actionSteps: number,
    signal: AbortSignal,
  ): Promise<StateView> {
    const { gpu, description } = this.#model;
    const shown = encoded as Encoded;
    [shown.context, state.latents].forEach((from, i) => {
      copyTensor(gpu, from, this.#latents[i], { count: this.#latents[i].size });
    });
    await this.#frames.run();
    const { copies: V } = shown;
    const noises = this.#actionSeeds.map((seed) =>
      Array.from({ length: V }, () => this.#subject.readNoise(item, seed)),
    );
    const readings = await this.#subject.read([{ tap, time: state.time }], shown, noises, actionSteps, {
      signal,
    });
    const pixels = await readTensor(gpu, this.#frames.outputs); // (1, 3, frames, rows, columns)
    return {
      episode: item.index,
      step: state.step,
      tau: state.time,
      frames: rgbaFrames(pixels, this.#frames.outputs.dim(2), description.contextFrames),
      iterates: bySeeds(
        readings.map(({ iterates }) => iterates!),
        V,
      ),
    };
  }

  dispose(): void {
    this.#frames.dispose();
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
