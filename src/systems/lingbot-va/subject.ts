/**
 * The probe's question asked of LingBot-VA: after k of N video steps, actions are decoded from the keys and values that the call at that
 * state left in every block. Tap k is the policy's `video_exec_step` k + 1; tap N is its whole loop. Items are the first chunks of episodes.
 *
 * Axes: C latent channels, F frames of a chunk, h and w latent rows and columns, N video tokens of width D; T positions, M action steps.
 */
import { UsageError } from "../../errors.ts";
import type {
  Control,
  DenoiseOptions,
  Held,
  Item,
  Noise,
  Part,
  Reading,
  ReadOptions,
  State,
  Subject,
  Tap,
  TimedTap,
} from "../../probe/subject.ts";
import { record } from "../../gpu/recording.ts";
import { axpy, multiply, subtract } from "../../kernels/elementwise.ts";
import { RandomState } from "../../sampling/random-state.ts";
import {
  copyTensor,
  createTensor,
  releaseTensor,
  sizeOf,
  type Tensor,
  writeTensor,
} from "../../tensor/tensor.ts";
import { bfloat16 } from "../../weights/rounded.ts";
import { actionTokens, chunkPositions, usedActions } from "./actions.ts";
import { type ChunkSurroundings, imagine, tapOf } from "./chunk.ts";
import type { RecordedEpisodes } from "./episodes.ts";
import { EpisodeMemory, joinedFrames } from "./memory.ts";
import type { LingbotModel } from "./model.ts";
import { keyframeStep, prepareFrames } from "./observations.ts";
import type { MemoryPlan } from "./plan.ts";
import type { Processors } from "./processors.ts";
import { readOut } from "./read-out.ts";
import { readingBytes } from "./reading-bytes.ts";
import { scheduleOf } from "./schedule.ts";
import type { PolicyTexts } from "./text.ts";
import { prepareText } from "./text-context.ts";
import { movingFrames } from "./video-denoiser.ts";

/** An episode's first frame and prompt on the GPU. */
export interface Encoded extends ChunkSurroundings, Held {
  readonly item: Item;
}

export interface SubjectOptions {
  readonly texts: PolicyTexts;
  readonly processors: Processors;
  readonly plan: MemoryPlan;
  readonly oracle: boolean;
}

/** Times that training noised the video to, where it did not leave it clean: noisier tokens are no input the actions have learned from. */
const TRAINED: readonly [number, number] = [0, 0.833];

/** What the released policy's actions are called; others are numbered. */
const LIBERO = ["x", "y", "z", "rx", "ry", "rz", "gripper"];

/** Taps of a state: what the policy itself reads, and its clean estimate put through a call at time 0. */
const [KEYS_AND_VALUES, ONE_JUMP] = ["keys and values", "one-jump"];

export class LingbotSubject implements Subject<Encoded> {
  readonly gpu;
  readonly items: { readonly count: number; read(index: number): Promise<Item> };
  readonly axes;
  readonly defaults = {
    episodes: 4,
    probeSteps: [0, 0.05, 0.2, 0.5, 0.55, 0.95, 1],
    videoSeeds: [0, 1],
  };
  readonly positions: number;
  readonly dimensions: { readonly names: readonly string[]; readonly units: readonly string[] };
  readonly parts: readonly Part[];
  readonly tapKinds = [KEYS_AND_VALUES, ONE_JUMP];
  /** The release draws both from one seed. */
  readonly pairsSeeds = true;
  // The cache is of one episode.
  readonly mostCopies = 1;
  readonly readBudget: number;
  readonly controls: Readonly<Record<string, Control>>;
  readonly oracle?: NonNullable<Subject<Encoded>["oracle"]>;
  readonly #model: LingbotModel;
  readonly #episodes: RecordedEpisodes;
  readonly #options: SubjectOptions;
  /** valid until the next one */
  #lastRecorded: Tap = [];

  constructor(model: LingbotModel, episodes: RecordedEpisodes, options: SubjectOptions) {
    const { gpu, config } = model;
    const used = config.usedChannels.length;
    const { statistics } = options.processors;
    this.gpu = gpu;
    this.#model = model;
    this.#episodes = episodes;
    this.#options = options;
    this.axes = {
      stop: (steps = config.video.steps) => ({
        steps,
        times: [...scheduleOf(steps, config.video.shift).sigmas, 0],
        trained: TRAINED,
      }),
      budget: [1, 2, 5, 10, config.video.steps].filter((n) => n <= config.video.steps),
      inner: (steps = config.action.steps) => {
        const times = [...scheduleOf(steps, config.action.shift).sigmas, 0];
        // A straight flow's iterate is σ away from where it ends; these σ are far from equal steps.
        return { steps, times, nullCurve: times.map((sigma) => sigma ** 2) };
      },
    };
    this.positions = chunkPositions(model, 0);
    if (this.positions > episodes.steps)
      throw new UsageError(
        `the episodes have ${episodes.steps} steps; a first chunk has ${this.positions} actions`,
      );
    this.items = {
      count: episodes.list.length,
      read: async (index) => {
        const actions = await episodes.actions(index, 0, this.positions);
        const { id, prompt } = episodes.list[index];
        return {
          index,
          id,
          prompt,
          ...(actions && { truth: statistics.normalise(actions), dataTruth: actions }),
        };
      },
    };
    const isLibero = used === LIBERO.length;
    this.dimensions = {
      names: isLibero ? LIBERO : config.usedChannels.map((channel) => `channel ${channel}`),
      units: config.usedChannels.map(() => "environment units"),
    };
    const part = (name: string, from: number, to: number): Part => ({
      name,
      from,
      to,
      kind: "squared",
      units: "environment units",
    });
    this.parts = isLibero
      ? [part("position", 0, 3), part("rotation", 3, 6), part("gripper", 6, 7)]
      : [part("action", 0, used)];
    this.readBudget = options.plan.readBudget;
    this.controls = tapControls(gpu);
    if (options.oracle) this.oracle = (c, step, noise, asked) => this.#recordedFuture(c, step, noise, asked);
  }

  /** Standard normal numbers in bfloat16, as the release draws them; those of the frame that is seen are not used. */
  noise(_item: Item, seed: number): Noise {
    return [new RandomState(seed).standardNormal(sizeOf(this.#model.latentShape)).map(bfloat16)];
  }

  /** Drawn anew from the same number. */
  readNoise(_item: Item, seed: number): Noise {
    return [new RandomState(seed).standardNormal(sizeOf(this.#model.actionShape)).map(bfloat16)];
  }

  async encode(item: Item): Promise<Encoded> {
    const model = this.#model;
    const { texts } = this.#options;
    const { bytes, shape } = await this.#episodes.frames(item.index, [0]);
    const text = await prepareText(model, [texts.get(item.prompt), texts.get("")], model.config.textRows);
    const memory = new EpisodeMemory(model);
    const dispose = (): void => {
      memory.dispose();
      text.dispose();
    };
    try {
      await memory.begin(prepareFrames(bytes, shape, this.#preparation));
    } catch (error) {
      dispose();
      throw error;
    }
    return { model, memory, text, item, dispose };
  }

  async *denoise(c: Encoded, [[noise]]: readonly Noise[], options: DenoiseOptions): AsyncGenerator<State> {
    const { gpu } = this;
    const { steps = this.#model.config.video.steps, last = steps, signal } = options;
    const seen = createTensor(
      gpu,
      [1, this.#model.tokens.video],
      ones(this.#model.tokens.video),
      "tokens that are seen",
    );
    let jump: Tensor[] = [];
    const forget = (): void => {
      for (const x of jump) releaseTensor(gpu, x);
      jump = [];
    };
    try {
      for await (const state of imagine(c, noise, { steps, last, signal })) {
        const tap = async (kind: string): Promise<Tap> => {
          const [velocity] = await state.tapped();
          if (kind === KEYS_AND_VALUES) return [...state.tap(), seen];
          if (jump.length === 0)
            jump = await this.#jumped(c, state.latents, velocity, state.step < steps ? state.time : 0);
          return [...jump, seen];
        };
        yield { step: state.step, time: state.time, latents: state.latents, tap };
        forget();
      }
    } finally {
      forget();
      releaseTensor(gpu, seen);
    }
  }

  bytes(): { tap: number; readRow: number } {
    return readingBytes(this.#model, 0);
  }

  async read(
    taps: readonly TimedTap[],
    c: Encoded,
    noises: readonly (readonly Noise[])[],
    innerSteps: number | undefined,
    options: ReadOptions,
  ): Promise<readonly Reading[]> {
    const model = this.#model;
    const steps = innerSteps ?? model.config.action.steps;
    const { sigmas } = scheduleOf(steps, model.config.action.shift);
    const start = noises.map(([[noise]]) => actionTokens(model, noise));
    const decoded = await readOut(
      model,
      taps.map(({ tap }) => tap),
      start,
      steps,
      c,
      options,
    );
    const size = sizeOf(model.actionShape);
    return decoded.map(({ states, velocities }) => {
      const used = (values: Float32Array, count: number): Float32Array => {
        const each = this.positions * model.config.usedChannels.length;
        const out = new Float32Array(count * each);
        for (let k = 0; k < count; k++)
          out.set(usedActions(model, values.subarray(k * size, (k + 1) * size), c.memory.start), k * each);
        return out;
      };
      const jumps = velocities.map((v, i) => states[i] - sigmas[Math.floor(i / size)] * v);
      return {
        values: used(states.subarray(steps * size), 1),
        iterates: used(states, steps + 1),
        oneJump: used(jumps, steps),
      };
    });
  }

  /** LIBERO's actions are changes, so that a robot that stays does nothing; its gripper begins open, which is −1. */
  floors(): Readonly<Record<string, Float32Array<ArrayBuffer>>> {
    const { statistics, mean } = this.#options.processors;
    const used = this.#model.config.usedChannels.length;
    const always = (action: readonly number[]): Float32Array<ArrayBuffer> =>
      statistics.normalise(Float32Array.from({ length: this.positions * used }, (_, i) => action[i % used]));
    return {
      ...(used === LIBERO.length && { holdStill: always([0, 0, 0, 0, 0, 0, -1]) }),
      ...(mean && { datasetMean: always(mean) }),
    };
  }

  toData(values: Float32Array): Float32Array {
    return this.#options.processors.statistics.toData(values);
  }

  async close(): Promise<void> {
    for (const x of this.#lastRecorded) releaseTensor(this.gpu, x);
    this.#lastRecorded = [];
    await this.#episodes.close();
  }

  get #preparation() {
    const { frameSize, mirrored } = this.#model.config;
    return { size: frameSize, mirrored };
  }

  /** x − σ·v, looked at as if it were the finished video. */
  async #jumped(c: Encoded, latents: Tensor, velocity: Tensor, sigma: number): Promise<Tensor[]> {
    // At the end of the schedule no velocity was computed.
    if (sigma === 0) return tapOf(c, latents);
    const estimate = await record(this.gpu, "clean estimate", () => axpy(latents, -sigma, velocity));
    try {
      await estimate.run();
      return await tapOf(c, estimate.outputs);
    } finally {
      estimate.dispose();
    }
  }

  /** What was really recorded behind the chunk, noised as at step k by the run's own noise: (1 − σ)·z + σ·ε. */
  async #recordedFuture(
    c: Encoded,
    step: number,
    [[noise]]: readonly Noise[],
    { steps = this.#model.config.video.steps }: DenoiseOptions,
  ): Promise<TimedTap> {
    const model = this.#model;
    const every = keyframeStep(model);
    const keys = Array.from({ length: this.positions / every }, (_, i) => every * (i + 1));
    const later = await this.#episodes.frames(c.item.index, keys);
    // The encoder has seen the first frame; it goes on from there in a memory of its own.
    const beside = new EpisodeMemory(model);
    try {
      const first = await this.#episodes.frames(c.item.index, [0]);
      const seen = await beside.begin(prepareFrames(first.bytes, first.shape, this.#preparation));
      const future = await beside.encode(
        prepareFrames(later.bytes, later.shape, this.#preparation),
        keys.length,
      );
      const { values } = joinedFrames(seen, future, model.latentShape[0]);
      const schedule = scheduleOf(steps, model.config.video.shift);
      const sigma = schedule.sigmas[step] ?? 0;
      const shape = [1, ...model.latentShape];
      const clean = createTensor(this.gpu, shape, values, "recorded future");
      const own = createTensor(this.gpu, shape, noise, "noise of the recorded future");
      // Frame zero is given, and stays.
      const noised = await record(this.gpu, "noised future", () =>
        axpy(clean, sigma, multiply(subtract(own, clean), movingFrames(model))),
      );
      await noised.run();
      const tap = await tapOf(c, noised.outputs, schedule.timesteps[step]);
      noised.dispose();
      for (const x of [clean, own]) releaseTensor(this.gpu, x);
      for (const old of this.#lastRecorded) releaseTensor(this.gpu, old);
      const N = model.tokens.video;
      this.#lastRecorded = [...tap, createTensor(this.gpu, [1, N], ones(N), "tokens that are seen")];
      return { tap: this.#lastRecorded, time: sigma };
    } finally {
      beside.dispose();
    }
  }
}

const ones = (length: number): Float32Array<ArrayBuffer> => new Float32Array(length).fill(1);

/** Keys and values of zero are still attended to; of another episode they are its own. */
function tapControls(gpu: LingbotModel["gpu"]): Readonly<Record<"zeroed" | "otherEpisode", Control>> {
  const copy = (from: Tap, into: Tap): void => into.forEach((x, i) => copyTensor(gpu, from[i], x));
  return {
    zeroed: {
      needsOther: false,
      write: (own, _other, into) => {
        into.slice(0, -1).forEach((x) => writeTensor(gpu, x, new Float32Array(x.size)));
        copyTensor(gpu, own.at(-1)!, into.at(-1)!);
      },
    },
    otherEpisode: { needsOther: true, write: (_own, other, into) => copy(other!, into) },
  };
}
