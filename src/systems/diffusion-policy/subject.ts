/**
 * The probe's question asked of a Diffusion Policy: after n of N evaluations, which actions would be carried out? There is no video: the
 * plan itself is what is denoised, and reading it out is taking the clean estimate that the last evaluation gave.
 *
 * Two curves: the clean estimate (`values`), and the iterate itself (`iterates`), whose distance to the end follows the noise schedule
 * whatever was learned; that is the axis' null curve. The last evaluation's estimate is the last iterate, so both end in one point.
 *
 * Axes: V plans of one window in a batch, H positions of a plan, T that are carried out, A = D values of an action.
 */
import type {
  Axis,
  Control,
  DenoiseOptions,
  Item,
  Noise,
  Part,
  Reading,
  State,
  Subject,
  TimedTap,
} from "../../probe/subject.ts";
import { flowTime, noiseLevels } from "../../sampling/diffusion.ts";
import { copyTensor, readTensor, sizeOf } from "../../tensor/tensor.ts";
import { joined } from "../arrays.ts";
import type { GivenNoise } from "./given-noise.ts";
import type { DiffusionPolicyModel, Prepared } from "./model.ts";
import { normalised, type Observed } from "./observed.ts";
import { normalise, type PolicyStatistics, type Scale, toData } from "./statistics.ts";
import { carriedOut, planNoise, walkPlan } from "./walk-plan.ts";
import type { Windows } from "./windows.ts";

/** A window's observations, encoded for V plans. */
export interface Encoded extends Prepared {
  /** V */
  readonly copies: number;
}

export interface PlanItem extends Item {
  /** in the data's units */
  readonly observed: Observed;
}

/** Taps are plans: a few hundred bytes. */
const READ_BUDGET = 2 ** 24;
/** Plans of one batch; each takes a few megabytes of activations in the published network. */
const MOST_COPIES = 64;
const BUDGETS = [1, 2, 5, 10, 25, 50];

export class DiffusionPolicySubject implements Subject<Encoded> {
  readonly gpu;
  readonly items: { readonly count: number; read(index: number): Promise<PlanItem> };
  readonly axes: Subject["axes"];
  readonly defaults;
  readonly positions: number;
  readonly dimensions: { readonly names: readonly string[]; readonly units: readonly string[] };
  readonly parts: readonly Part[];
  readonly tapKinds = ["one-jump"];
  /** A read-out draws nothing. */
  readonly pairsSeeds = true;
  readonly mostCopies = MOST_COPIES;
  readonly readBudget = READ_BUDGET;
  readonly controls: Readonly<Record<string, Control>>;
  readonly dataFiles: readonly string[];
  readonly #model: DiffusionPolicyModel;
  readonly #windows: Windows;
  readonly #statistics: PolicyStatistics;
  readonly #noise: GivenNoise | undefined;

  constructor(
    model: DiffusionPolicyModel,
    windows: Windows,
    statistics: PolicyStatistics,
    noise?: GivenNoise,
  ) {
    const { gpu, config, plans } = model;
    const width = config.action.shape[0];
    const { actionNames = [], actionUnit = "" } = windows;
    this.gpu = gpu;
    this.#model = model;
    this.#windows = windows;
    this.#statistics = statistics;
    this.#noise = noise;
    this.dataFiles = windows.files;
    this.items = {
      count: windows.count,
      read: async (index) => {
        const { id, prompt, labels, observed, actions } = await windows.read(index);
        const truth = actions && normalise(actions, this.#actions);
        return {
          index,
          id,
          prompt,
          ...(labels && { labels }),
          observed,
          ...(truth && { truth, dataTruth: actions }),
        };
      },
    };
    this.axes = {
      stop: (steps) => this.#axis(steps),
      budget: [...BUDGETS.filter((n) => n < plans.evaluations), plans.evaluations],
    };
    this.defaults = {
      episodes: 24,
      // Evaluations 1, 10, 20 … 100 of the published policy.
      probeSteps: [0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
      videoSeeds: noise ? Array.from({ length: noise.seeds }, (_, seed) => seed) : [0, 1],
    };
    this.positions = config.actionSteps;
    const names = Array.from({ length: width }, (_, d) => actionNames[d] ?? `${config.action.key} ${d}`);
    this.dimensions = { names, units: names.map(() => actionUnit) };
    this.parts = names.map((name, d) => ({ name, from: d, to: d + 1, kind: "squared", units: actionUnit }));
    this.controls = {
      // The plan of another window is what the network says with another's context.
      otherEpisode: {
        needsOther: true,
        write: (_own, other, into) => into.forEach((x, i) => copyTensor(gpu, other![i], x)),
      },
    };
  }

  get #actions(): Scale {
    return this.#statistics.normalise.get(this.#model.config.action.key)!;
  }

  /** State n costs n evaluations: what the last of them said is what is read. */
  #axis(steps = this.#model.plans.evaluations): Axis {
    const levels = noiseLevels(this.#model.plans.schedule, steps);
    return {
      steps,
      times: levels.map(flowTime),
      calls: levels.map((_, n) => n),
      // The variance of the noise that is left, as a fraction of the first state's.
      nullCurve: levels.map(({ noise }) => (noise / levels[0].noise) ** 2),
    };
  }

  noise(item: Item, seed: number): Noise {
    return this.#noise?.of(item.index, seed) ?? planNoise(this.#model, item, seed);
  }

  readNoise(): Noise {
    return [];
  }

  async encode(item: Item, copies: number): Promise<Encoded> {
    const { observed } = item as PlanItem;
    const ready = normalised(observed, this.#model.config, this.#statistics);
    return { ...(await this.#model.prepare(ready, copies)), copies };
  }

  async *denoise(
    { condition }: Encoded,
    noise: readonly Noise[],
    options: DenoiseOptions,
  ): AsyncGenerator<State> {
    const { steps: evaluations, last, signal } = options;
    // One array a plan and draw → one a draw for all plans.
    const levels = noiseLevels(this.#model.plans.schedule, evaluations ?? this.#model.plans.evaluations);
    const draws = noise[0].map((_, i) => joined(noise.map((own) => own[i])));
    for await (const state of walkPlan(this.#model, condition, draws, { evaluations, last, signal })) {
      const { step, time, plans, clean } = state;
      const { data, noise: left } = levels[step];
      yield {
        step,
        time,
        latents: plans,
        scale: 1 / (data + left),
        tap: () => Promise.resolve([clean, plans]),
      };
    }
  }

  bytes({ copies }: Encoded): { tap: number; readRow: number } {
    return { tap: 2 * 4 * copies * sizeOf(this.#model.planShape), readRow: 0 };
  }

  /** Of every tap the clean estimate, and beside it the iterate; noises are none. */
  async read(
    taps: readonly TimedTap[],
    _c: Encoded,
    noises: readonly (readonly Noise[])[],
  ): Promise<readonly Reading[]> {
    const readings: Reading[] = [];
    for (const { tap } of taps) {
      const [values, iterates] = await Promise.all(
        tap.map(async (x) => carriedOut(this.#model, await readTensor(this.gpu, x))),
      );
      for (let s = 0; s < noises.length; s++) readings.push({ values, iterates });
    }
    return readings;
  }

  floors(item: Item): Readonly<Record<string, Float32Array<ArrayBuffer>>> {
    const { actionMean } = this.#statistics;
    const still = this.#holdStill((item as PlanItem).observed);
    return {
      ...(still && { holdStill: normalise(still, this.#actions) }),
      ...(actionMean && { datasetMean: normalise(this.#everywhere(actionMean), this.#actions) }),
    };
  }

  /**
   * Staying where one is, where actions are positions that the state has too: of as many values, over the same range to a quarter of it.
   * The configuration does not say what actions are.
   */
  #holdStill({ state: states }: Observed): Float32Array<ArrayBuffer> | undefined {
    const { config } = this.#model;
    const [state, action] = [config.state, config.action].map(({ key }) =>
      this.#statistics.normalise.get(key)!,
    );
    const ranges = [state, action].every(({ mode }) => mode === "MIN_MAX");
    const alike = (d: number): boolean => {
      const range = action.b[d] - action.a[d];
      return (
        Math.abs(state.a[d] - action.a[d]) <= range / 4 && Math.abs(state.b[d] - action.b[d]) <= range / 4
      );
    };
    if (!ranges || state.a.length !== action.a.length || !Array.from(action.a, (_, d) => d).every(alike))
      return undefined;
    return this.#everywhere(states.slice(-state.a.length));
  }

  #everywhere(action: Float32Array): Float32Array<ArrayBuffer> {
    return joined(Array.from({ length: this.positions }, () => action));
  }

  toData(values: Float32Array): Float32Array {
    return toData(values, this.#statistics.action);
  }

  close(): Promise<void> {
    return this.#windows.close();
  }
}
