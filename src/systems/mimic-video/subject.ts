/**
 * The probe's question asked of a mimic-video model: futures imagined behind context frames, the action chunk decoded from the hidden
 * states tapped at any step.
 *
 * Axes: V trajectories in one batch, S action noises, R taps, N video tokens of width D, M action steps, n actions of width A.
 */
import { Pace } from "../../gpu/pace.ts";
import type {
  Control,
  DenoiseOptions,
  Item,
  Noise,
  Part,
  Reading,
  ReadOptions,
  State,
  StraightnessMeter,
  Subject,
  Tap,
  TimedTap,
} from "../../probe/subject.ts";
import { linspace, videoGrid } from "../../sampling/grid.ts";
import { copyTensor, sizeOf } from "../../tensor/tensor.ts";
import { joined, repeated } from "../arrays.ts";
import { contextControls } from "../controls.ts";
import type { TensorSource } from "../../weights/source.ts";
import { ActionSampler, type ActionSamples, type FlowStraightness } from "./action-sampler.ts";
import type { ModelDescription } from "./description.ts";
import { type Episode, type EpisodeData, GivenNoise } from "./episodes.ts";
import { actionNoise, imagine, shufflesFrames, VIDEO_STEPS, videoNoise } from "./imagine.ts";
import type { MimicVideo, Prepared } from "./model.ts";

/** An episode's prompt and context, encoded for V trajectories. */
export interface Encoded extends Prepared {
  readonly episode: Episode;
  /** V */
  readonly copies: number;
}

/** Where episodes come from: a folder, or a folder with other words. */
export type Episodes = Pick<EpisodeData, "count" | "read" | "close">;

/** Held taps and their reading may take so much; the toy's R is bound by the number of taps, not by this. */
const READ_BUDGET = 2 ** 30;

export class MimicVideoSubject implements Subject<Encoded> {
  readonly gpu;
  readonly items: { readonly count: number; read(index: number): Promise<Episode> };
  readonly axes = {
    stop: (steps = VIDEO_STEPS) => ({ steps, times: videoGrid(steps) }),
    budget: [1, 2, 5, 10, 50],
    inner: (steps = this.#model.description.actionSteps) => ({ steps, times: linspace(0, 1, steps) }),
  };
  // Enough independent episodes for an interval that holds what it says, within two minutes on two cores without a GPU.
  readonly defaults = { episodes: 24, probeSteps: [0, 0.1, 0.4, 1], videoSeeds: [0] };
  readonly positions: number;
  readonly dimensions: { readonly names: readonly string[]; readonly units: readonly string[] };
  readonly parts: readonly Part[];
  readonly tapKinds = ["hidden"];
  readonly pairsSeeds = false;
  readonly mostCopies = Number.POSITIVE_INFINITY;
  readonly readBudget = READ_BUDGET;
  readonly controls: Readonly<Record<string, Control>>;
  readonly shufflesFrames: boolean;
  readonly #model: MimicVideo;
  readonly #data: Episodes;
  readonly #noise: GivenNoise | undefined;
  /** by batch size and action steps: a run needs two sizes at most */
  readonly #samplers = new Map<string, ActionSampler>();

  private constructor(model: MimicVideo, data: Episodes, noise: GivenNoise | undefined) {
    const { names, units } = model.description.action;
    this.gpu = model.gpu;
    this.#model = model;
    this.#data = data;
    this.#noise = noise;
    this.items = {
      count: data.count,
      read: async (index) => {
        const episode = await data.read(index);
        const { truth } = episode;
        return { ...episode, dataTruth: truth, truth: truth && model.actionDecoder.toModel(truth) };
      },
    };
    this.positions = model.chunkShape[0];
    this.dimensions = { names, units };
    this.parts = partsOf(model.description);
    this.controls = contextControls(model.gpu);
    this.shufflesFrames = shufflesFrames(model);
  }

  /**
   * @param noise `video_noise` and `action_noise` to be used instead of noise drawn from seeds, which then number its rows
   * @throws FormatError when the noise does not fit
   */
  static async bind(model: MimicVideo, data: Episodes, noise?: TensorSource): Promise<MimicVideoSubject> {
    const given = noise && (await GivenNoise.read(noise, data.count, model.futureShape, model.chunkShape));
    return new MimicVideoSubject(model, data, given);
  }

  noise(item: Item, seed: number): Noise {
    if (this.#noise) return [Float32Array.from(this.#noise.video(item.index, seed))];
    return [videoNoise(this.#model, item, seed)];
  }

  readNoise(item: Item, seed: number): Noise {
    if (this.#noise) return [Float32Array.from(this.#noise.action(item.index, seed))];
    return [actionNoise(this.#model, item, seed)];
  }

  async encode(item: Item, copies: number): Promise<Encoded> {
    const episode = item as Episode;
    const prepared = await this.#model.prepare(episode.prompt, episode.context, copies);
    return { ...prepared, episode, copies };
  }

  denoise(c: Encoded, noise: readonly Noise[], options: DenoiseOptions): AsyncGenerator<State> {
    return imagine(this.#model, c, joined(noise.flat()), options);
  }

  bytes({ context }: Encoded): { tap: number; readRow: number } {
    const { tower, actionDecoder } = this.#model;
    const { futureLatents } = this.#model.description;
    const [V, , T, H, W] = context.shape;
    const [, ph, pw] = tower.transformer.config.patchSize;
    const tokens = ((T + futureLatents) * H * W) / (ph * pw);
    const { videoDim, depth, headDim } = actionDecoder.config;
    const layers = new Set(tower.config.extractLayers).size;
    const tap = 4 * V * tokens * videoDim * layers;
    // The sampler's copy, and keys and values of two heads in every layer.
    return { tap, readRow: tap + 4 * V * tokens * depth * 4 * headDim };
  }

  async read(
    taps: readonly TimedTap[],
    { copies: V, episode }: Encoded,
    noises: readonly (readonly Noise[])[],
    innerSteps: number | undefined,
    { signal, onStep }: ReadOptions,
  ): Promise<readonly Reading[]> {
    const { gpu, description } = this.#model;
    const R = taps.length;
    const sampler = await this.#sampler(R, V, taps[0].tap, innerSteps ?? description.actionSteps);
    taps.forEach(({ tap }, r) =>
      tap.forEach((x, i) => copyTensor(gpu, x, sampler.videoHiddens[i], { to: r * x.size })),
    );
    const runs: ActionSamples[] = [];
    const { attended } = this.#model;
    const contextMask = attended && repeated(Float32Array.from(attended), R * V);
    const pace = new Pace(gpu);
    for (const perCopy of noises) {
      const run = await sampler.run(
        {
          noise: repeated(joined(perCopy.flat()), R),
          jointState: repeated(episode.jointState, R * V),
          contextMask,
          videoTimes: Array.from({ length: R * V }, (_, b) => taps[Math.floor(b / V)].time),
        },
        {
          signal,
          sameVideo: runs.length > 0,
          onStep: async () => {
            await pace.step();
            onStep?.();
          },
        },
      );
      runs.push(run);
    }
    const size = sizeOf(this.#model.chunkShape);
    return taps.flatMap((_, r) =>
      runs.map(({ iterates, oneJump, steps: M }) => {
        // Samples come as (states, R·V, n, A); a reading is (V, states, n, A).
        const ofTap = (values: Float32Array, states: number): Float32Array => {
          const out = new Float32Array(V * states * size);
          for (let v = 0; v < V; v++) {
            for (let state = 0; state < states; state++) {
              const from = ((state * R + r) * V + v) * size;
              out.set(values.subarray(from, from + size), (v * states + state) * size);
            }
          }
          return out;
        };
        const lastState = iterates.subarray(M * R * V * size);
        return { values: ofTap(lastState, 1), iterates: ofTap(iterates, M + 1), oneJump: ofTap(oneJump, M) };
      }),
    );
  }

  /** The action decoder's, from noise to clean, in the states from which it takes its steps; not where they remember one another. */
  get straightness(): StraightnessMeter<Encoded> | undefined {
    const { description, actionDecoder } = this.#model;
    const { samplerMemory = actionDecoder.edition.cachedSteps === "all" } = description;
    if (samplerMemory === true || Number(samplerMemory) > 1) return undefined;
    return {
      of: "the action decoder's flow",
      times: ({ inner }: { readonly inner: number }) => linspace(0, 1, inner).slice(0, -1),
      measure: async (
        { copies: V, episode }: Encoded,
        { tap, time }: TimedTap,
        _: readonly Noise[],
        readNoise: readonly Noise[],
        { inner }: { readonly inner: number },
        { signal }: ReadOptions,
      ) => {
        const sampler = await this.#sampler(1, V, tap, inner, true);
        tap.forEach((x, i) => copyTensor(this.gpu, x, sampler.videoHiddens[i]));
        const { attended } = this.#model;
        const { straightness } = await sampler.run(
          {
            noise: joined(readNoise.flat()),
            jointState: repeated(episode.jointState, V),
            contextMask: attended && repeated(Float32Array.from(attended), V),
            videoTimes: new Array<number>(V).fill(time),
          },
          { signal },
        );
        // (P, V) → (V, P)
        const turned = (of: (at: FlowStraightness) => Float64Array): Float32Array =>
          Float32Array.from(
            { length: V * inner },
            (__, i) => of(straightness![i % inner])[Math.floor(i / inner)],
          );
        return { residual: turned(({ residual }) => residual), speed: turned(({ speed }) => speed) };
      },
    };
  }

  floors(item: Item): Readonly<Record<string, Float32Array<ArrayBuffer>>> {
    const { description, actionDecoder } = this.#model;
    const { mean } = description.action;
    const still = holdStill(description, this.positions, item as Episode);
    return {
      ...(still ? { holdStill: actionDecoder.toModel(still) } : {}),
      ...(mean ? { datasetMean: actionDecoder.toModel(mean) } : {}),
    };
  }

  toData(values: Float32Array): Float32Array {
    return this.#model.actionDecoder.toData(values);
  }

  async close(): Promise<void> {
    for (const sampler of this.#samplers.values()) sampler.dispose();
    this.#samplers.clear();
    await this.#data.close();
  }

  async #sampler(
    rows: number,
    copies: number,
    tap: Tap,
    steps: number,
    straightness = false,
  ): Promise<ActionSampler> {
    const key = `${rows}×${copies}, ${steps}${straightness ? ", straightness" : ""}`;
    const known = this.#samplers.get(key);
    if (known) return known;
    const { gpu, actionDecoder, description } = this.#model;
    const sampler = await ActionSampler.create(gpu, actionDecoder, {
      ...{ batch: rows * copies, steps, memory: description.samplerMemory, straightness },
      ...{ videoTokens: tap.map((x) => x.dim(1)), distinctVideoTimes: rows },
      masked: this.#model.attended !== undefined,
    });
    this.#samplers.set(key, sampler);
    return sampler;
  }
}

/** Every dimension by itself; one that counts as open or closed is an event. */
function partsOf({ action: { names, units, events = {} } }: ModelDescription): Part[] {
  return names.map((name, d): Part => {
    const part = { name, from: d, to: d + 1, units: units[d] };
    return name in events ? { ...part, kind: "event", states: events[name] } : { ...part, kind: "squared" };
  });
}

/** The chunk of a robot that does not move, in the data's units, where the model says what that is. */
export function holdStill(
  { action }: ModelDescription,
  positions: number,
  { jointState }: Pick<Episode, "jointState">,
): Float32Array<ArrayBuffer> | undefined {
  const still = action.holdStill?.map((value) =>
    typeof value === "number" ? value : jointState[value.state],
  );
  if (!still) return undefined;
  return Float32Array.from({ length: positions * still.length }, (_, i) => still[i % still.length]);
}
