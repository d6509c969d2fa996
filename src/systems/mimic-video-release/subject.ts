/**
 * The probe's question asked of the released mimic-video: after k of 35 video steps the hidden states behind L blocks are tapped, and a
 * chunk of actions is decoded from them.
 *
 * Axes: V trajectories in one batch, S action noises, R taps, N video tokens of width D, M action steps, HA actions of width A = 10.
 */
import { UsageError } from "../../errors.ts";
import { record } from "../../gpu/recording.ts";
import { combine } from "../../kernels/combine.ts";
import { videoTime } from "../../networks/world2action/times.ts";
import type {
  Control,
  DenoiseOptions,
  Item,
  Noise,
  Part,
  Reading,
  ReadOptions,
  State,
  Subject,
  TimedTap,
} from "../../probe/subject.ts";
import { RandomState } from "../../sampling/random-state.ts";
import { sample } from "../../sampling/sample.ts";
import { RECTIFIED_FLOW } from "../../sampling/schedulers.ts";
import { constant, copyTensor, createTensor, releaseTensor, sizeOf } from "../../tensor/tensor.ts";
import { joined } from "../arrays.ts";
import { contextControls, framesShuffled } from "../controls.ts";
import { bfloat16 } from "../../weights/rounded.ts";
import { ACTION_STEPS, actionScheduler } from "./action-denoiser.ts";
import { CONTEXT_LATENTS } from "./clip.ts";
import type { Episode, EpisodeSource } from "./episodes.ts";
import type { Prepared, ReleaseModel } from "./model.ts";
import { type MemoryPlan, readingBytes } from "./plan.ts";
import { readOut } from "./read-out.ts";
import type { Family } from "./statistics.ts";
import type { TextEmbeddings } from "./text-file.ts";
import { SIGMA_MAX, VIDEO_STEPS, VideoDenoiser, videoScheduler } from "./video-denoiser.ts";

/** An episode's frames and prompt, encoded for V trajectories. */
export interface Encoded extends Prepared {
  readonly episode: Episode;
  /** (L, d) of its prompt */
  readonly embedding: Float32Array;
  /** V */
  readonly copies: number;
}

/** Noise that was given: standard normal, for episode e and row s, of the video and of the actions. */
export interface Given {
  video(episode: number, row: number): Float32Array;
  action(episode: number, row: number): Float32Array;
}

export interface SubjectOptions {
  readonly embeddings: () => TextEmbeddings;
  readonly plan: MemoryPlan;
  readonly oracle: boolean;
  readonly noise?: Given;
}

const UNITS: Readonly<Record<Family, string>> = { bridge: "m", libero: "environment units" };
/** What the gripper says when it is closed and open, or open and closed. */
const GRIPPER: Readonly<Record<Family, readonly [number, number]>> = { bridge: [0, 1], libero: [-1, 1] };
/** Seconds between two actions: the robots are driven at 5 and at 20 Hz. */
const INTERVAL: Readonly<Record<Family, number>> = { bridge: 1 / 5, libero: 1 / 20 };
const ROWS = [1, 2].flatMap((row) => [1, 2, 3].map((column) => `r${row}${column}`));

export class ReleaseSubject implements Subject<Encoded> {
  readonly gpu;
  readonly items: { readonly count: number; read(index: number): Promise<Episode & Item> };
  readonly axes = {
    // After the last step there are no hidden states to read: the release would stop before it. No state is an end.
    stop: (steps = VIDEO_STEPS) => ({
      steps,
      openEnded: true,
      times: videoScheduler(steps).times.slice(0, steps).map(videoTime),
    }),
    inner: (steps = ACTION_STEPS) => ({ steps, times: actionScheduler(steps).times }),
  };
  readonly positions: number;
  readonly interval: number;
  readonly shufflesFrames = true;
  readonly dimensions: { readonly names: readonly string[]; readonly units: readonly string[] };
  readonly parts: readonly Part[];
  readonly tapKinds = ["hidden"];
  /** The release seeds video and actions alike. */
  readonly pairsSeeds = true;
  readonly mostCopies: number;
  readonly readBudget: number;
  readonly controls: Readonly<Record<string, Control>>;
  readonly oracle?: NonNullable<Subject<Encoded>["oracle"]>;
  readonly #model: ReleaseModel;
  readonly #episodes: EpisodeSource;
  readonly #options: SubjectOptions;

  constructor(model: ReleaseModel, episodes: EpisodeSource, options: SubjectOptions) {
    const { statistics, gpu } = model;
    const units = UNITS[statistics.family];
    this.gpu = gpu;
    this.#model = model;
    this.#episodes = episodes;
    this.#options = options;
    this.items = {
      count: episodes.count,
      read: async (index) => {
        const episode = await episodes.read(index, options.oracle);
        const { actions } = episode;
        return {
          ...episode,
          ...(actions && { truth: statistics.action.normalise(actions, false), dataTruth: actions }),
        };
      },
    };
    this.positions = model.decoder.chunkLength;
    this.dimensions = {
      names: ["x", "y", "z", ...ROWS, "gripper"],
      units: [units, units, units, ...ROWS.map(() => ""), ""],
    };
    this.parts = [
      { name: "position", from: 0, to: 3, kind: "squared", units },
      { name: "rotation", from: 3, to: 9, kind: "rotation6d", units: "rad" },
      { name: "gripper", from: 9, to: 10, kind: "event", units: "", states: GRIPPER[statistics.family] },
    ];
    this.interval = INTERVAL[statistics.family];
    this.mostCopies = options.plan.mostCopies;
    this.readBudget = options.plan.readBudget;
    this.controls = contextControls(gpu);
    if (options.oracle) this.oracle = (c, step, noise, asked) => this.#recordedFuture(c, step, noise, asked);
  }

  /** Standard normal numbers for all of a clip's latents, the given frames' too. */
  noise({ index }: Item, seed: number): Noise {
    const given = this.#options.noise?.video(index, seed);
    if (given) return [Float32Array.from(given)];
    return [new RandomState(seed).standardNormal(sizeOf(this.#model.latentShape))];
  }

  /** The release draws actions from the same seed anew, and keeps their noise in bfloat16. */
  readNoise({ index }: Item, seed: number): Noise {
    const given = this.#options.noise?.action(index, seed);
    if (given) return [Float32Array.from(given)];
    return [new RandomState(seed).standardNormal(sizeOf(this.#model.chunkShape)).map(bfloat16)];
  }

  async encode(item: Item, copies: number): Promise<Encoded> {
    const episode = item as Episode & Item;
    const text = this.#options.embeddings().get(episode.prompt);
    if (!text) throw new UsageError(`the prompt ${JSON.stringify(episode.prompt)} was not encoded`);
    const frames = this.#options.oracle ? episode.recorded! : episode.context;
    return { ...(await this.#model.prepare(frames, text, copies)), episode, embedding: text, copies };
  }

  async *denoise(c: Encoded, noise: readonly Noise[], options: DenoiseOptions): AsyncGenerator<State> {
    const { gpu, latentShape } = this.#model;
    const { steps = VIDEO_STEPS, last = steps - 1, signal } = options;
    const { times } = this.axes.stop(steps);
    const start = joined(noise.flat()).map((v) => v * SIGMA_MAX);
    const latents = createTensor(gpu, [c.copies, ...latentShape], start, "latents in noise");
    const denoiser = this.#denoiser(c);
    try {
      const scheduler = videoScheduler(steps);
      const constrain = denoiser.constrain.bind(denoiser);
      // The given frames stand for the first latents, whatever these hold.
      const frames = [
        { latents: c.latents, from: 0, to: CONTEXT_LATENTS },
        { latents, from: CONTEXT_LATENTS, to: latentShape[1] },
      ];
      for await (const state of sample(gpu, denoiser, latents, { scheduler, last, constrain, signal }))
        yield {
          ...{ step: state.step, time: times[state.step], latents, tap: () => state.tapped() },
          // x = v + σ·ε is the straight path's (1 − τ)·v + τ·ε times 1 + σ.
          scale: 1 - times[state.step],
          shuffled: (seed) => framesShuffled(gpu, frames, seed, () => state.again()),
        };
    } finally {
      denoiser.dispose();
      releaseTensor(gpu, latents);
    }
  }

  /**
   * The hidden states of what was really recorded, noised as at step k by the run's own noise: v + σ·ε. Here σ stays in float64 up to
   * the decoder's time.
   */
  async #recordedFuture(
    c: Encoded,
    step: number,
    noise: readonly Noise[],
    { steps = VIDEO_STEPS }: DenoiseOptions,
  ): Promise<TimedTap> {
    const { gpu, latentShape } = this.#model;
    const scheduler = videoScheduler(steps);
    const sigma = scheduler.times[step];
    const epsilon = createTensor(
      gpu,
      [c.copies, ...latentShape],
      joined(noise.flat()),
      "noise of the recording",
    );
    const denoiser = this.#denoiser(c);
    const scale = RECTIFIED_FLOW.in(sigma);
    try {
      denoiser.setCall(scheduler.call(step));
      const replay = await record(gpu, "look at the recorded future", () => {
        const coefficients = constant(
          [2],
          Float32Array.of(scale, scale * sigma),
          "scale of latents and noise",
        );
        return denoiser.evaluate(combine([c.latents, epsilon], coefficients), "taps").tapped;
      });
      await replay.run();
      const tap = replay.outputs.map((x) =>
        createTensor(gpu, x.shape, undefined, "tap of the recorded future"),
      );
      replay.outputs.forEach((x, i) => copyTensor(gpu, x, tap[i]));
      await gpu.idle();
      replay.dispose();
      this.#lastRecorded.forEach((x) => releaseTensor(gpu, x));
      this.#lastRecorded = tap;
      return { tap, time: sigma / (1 + sigma) };
    } finally {
      denoiser.dispose();
      releaseTensor(gpu, epsilon);
    }
  }

  /** valid until the next one */
  #lastRecorded: TimedTap["tap"] = [];

  bytes({ copies }: Encoded): { tap: number; readRow: number } {
    return readingBytes(this.#model, copies, this.#options.plan.contextStorage);
  }

  async read(
    taps: readonly TimedTap[],
    c: Encoded,
    noises: readonly (readonly Noise[])[],
    innerSteps: number | undefined,
    options: ReadOptions,
  ): Promise<readonly Reading[]> {
    const model = this.#model;
    const state = model.statistics.state.normalise(c.episode.state, true);
    const own = noises.map((perCopy) => perCopy.map(([noise]) => noise));
    const { contextStorage } = this.#options.plan;
    return readOut(model, taps, state, own, innerSteps ?? ACTION_STEPS, contextStorage, options);
  }

  floors(item: Item): Readonly<Record<string, Float32Array<ArrayBuffer>>> {
    const { action, family } = this.#model.statistics;
    const datasetMean = action.normalise(action.mean, false);
    const still = family === "bridge" ? holdStill(this.positions, (item as Episode & Item).state) : undefined;
    return { ...(still && { holdStill: action.normalise(still, false) }), datasetMean };
  }

  toData(values: Float32Array): Float32Array {
    return this.#model.statistics.action.toData(values);
  }

  async close(): Promise<void> {
    this.#lastRecorded.forEach((x) => releaseTensor(this.gpu, x));
    this.#lastRecorded = [];
    await this.#episodes.close();
  }

  #denoiser({ text, latents }: Encoded): VideoDenoiser {
    const { gpu, transformer, policy } = this.#model;
    return new VideoDenoiser(gpu, transformer, {
      ...{ text, given: latents, givenFrames: CONTEXT_LATENTS, layer: policy.layer },
    });
  }
}

/**
 * A Bridge chunk of a robot that stays: its poses are relative to the present one, so position 0 and no rotation; state and action count
 * the gripper alike, 0 closed and 1 open. LIBERO's data do not say it: its actions command the gripper, its states have only the fingers' distance.
 */
function holdStill(positions: number, state: Float32Array): Float32Array {
  const still = [0, 0, 0, 1, 0, 0, 0, 1, 0, state[9]];
  return Float32Array.from({ length: positions * still.length }, (_, i) => still[i % still.length]);
}
