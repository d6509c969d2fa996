/**
 * The probe's question asked of a MeanFlow network: after how many calls does the sample stop changing? An item is a class, and a seed a noise.
 *
 *   stop axis     after k of N calls, the sample that one more call would jump to: x + (end − now)·u(x, now, end)
 *   budget axis   whole schedules of N calls, by the average velocity (MeanFlow) and by the instantaneous one (Euler), from the same noise
 *
 * A sample is read by a classifier where one lies beside the weights, else as it is. The truth is what that classifier says of held-out pictures of the class
 * in the mean; a sample of a class is right whatever variety there is, so what judges are populations (population.ts).
 *
 * Axes: V samples of a class in a batch; T = 1 position of D = classes logits, or the T rows of a sample.
 */
import type {
  Axis,
  Control,
  DenoiseOptions,
  Item,
  Noise,
  Part,
  Population,
  Reading,
  State,
  StraightnessMeter,
  Subject,
  TimedTap,
} from "../../probe/subject.ts";
import { MeanFlowEvaluator } from "../../networks/meanflow/evaluator.ts";
import { copyTensor, readTensor, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { joined } from "../arrays.ts";
import type { NoiseRows } from "../sampler.ts";
import { givenNoise, rowsOfClass } from "./given-noise.ts";
import type { Judged } from "./judge.ts";
import { Jump } from "./jump.ts";
import { type MeanFlowModel, type Rule, RULES } from "./model.ts";
import { asRows, ClassReader, layoutOfSamples } from "./read-out.ts";
import { ruleNamed } from "./sampler.ts";
import { straightnessAlong } from "./straightness.ts";

/** A class, for V samples. */
export interface Asked {
  /** undefined: the network knows none */
  readonly label: number | undefined;
  /** V */
  readonly copies: number;
  dispose(): void;
}

/** N of the longest schedule, and the others that are compared with it. */
const CALLS = 32;
const BUDGETS = [1, 2, 4, 8, CALLS];
/** Samples of a class in a run that says nothing: with ten classes 320, enough for a Fréchet distance in 32 dimensions. */
const SEEDS = 32;
/** Samples of a class that are looked at as they are. */
const FEW_SEEDS = 8;
/** Taps are small samples. */
const READ_BUDGET = 2 ** 26;

export class MeanFlowSubject implements Subject<Asked> {
  readonly gpu;
  readonly items: Subject["items"];
  readonly axes: Subject["axes"];
  readonly defaults;
  readonly positions: number;
  readonly dimensions: { readonly names: readonly string[]; readonly units: readonly string[] };
  readonly parts: readonly Part[];
  readonly tapKinds = ["one-jump"];
  readonly words;
  /** A read-out draws nothing. */
  readonly pairsSeeds = true;
  readonly mostCopies: number;
  readonly readBudget = READ_BUDGET;
  readonly controls: Readonly<Record<string, Control>>;
  readonly population?: Population;
  readonly dataFiles: readonly string[];
  readonly #model: MeanFlowModel;
  readonly #judged: Judged | undefined;
  readonly #noise: NoiseRows | undefined;
  /** by the number of samples in a batch */
  readonly #readers = new Map<number, ClassReader>();

  /**
   * @param together samples of one batch
   * @param dataFiles whose bytes judge, for the provenance
   */
  constructor(
    model: MeanFlowModel,
    together: number,
    { judged, noise, dataFiles }: { judged?: Judged; noise?: NoiseRows; dataFiles: readonly string[] },
  ) {
    const { gpu, classes, shape } = model;
    this.gpu = gpu;
    this.#model = model;
    this.#judged = judged;
    this.#noise = noise;
    this.dataFiles = dataFiles;
    this.mostCopies = together;
    const count = Math.max(1, classes);
    this.items = {
      count,
      read: async (index): Promise<Item> => {
        const truth = judged?.truths[index];
        return {
          index,
          id: classes > 0 ? `class ${index}` : "samples",
          prompt: classes > 0 ? `class ${index}` : "",
          ...(truth && { truth, dataTruth: truth }),
        };
      },
    };
    this.axes = {
      stop: (steps) => this.#axis(steps),
      budget: BUDGETS,
      rules: model.rules.map((name) => ({ name, words: RULES[name].words })),
    };
    const given =
      noise &&
      Array.from({ length: count }, (_, label) => rowsOfClass(noise, classes > 0 ? label : undefined).length);
    const seeds = Math.min(judged ? SEEDS : FEW_SEEDS, ...(given ?? []));
    this.defaults = {
      episodes: count,
      probeSteps: [0, 1, 2, 4, 8, 16, CALLS].map((step) => step / CALLS),
      videoSeeds: Array.from({ length: seeds }, (_, seed) => seed),
      budgets: BUDGETS,
    };
    const rows = layoutOfSamples(shape);
    this.positions = judged ? 1 : rows.positions;
    const names = judged
      ? Array.from({ length: classes }, (_, label) => `class ${label}`)
      : Array.from({ length: rows.dimensions }, (_, d) => `column ${d}`);
    this.dimensions = { names, units: names.map(() => "") };
    this.words = {
      what: model.description.contents === "pictures" ? "image" : "sample",
      read: judged ? "the classifier's logits" : "the sample",
      truth: "real pictures of the class",
    };
    this.parts = judged ? [{ name: "class", from: 0, to: classes, kind: "logits", units: "" }] : [];
    if (judged) this.population = judged.population;
    this.controls =
      count > 1
        ? {
            // What the network makes of another class.
            otherEpisode: {
              needsOther: true,
              write: (_own, other, into) => into.forEach((x, i) => copyTensor(gpu, other![i], x)),
            },
          }
        : {};
  }

  /** State k is read by one call more, the last one as it is. */
  #axis(steps = CALLS): Axis {
    const times = this.#model.times(steps).map((time) => this.#model.noiseLevel(time));
    return { steps, times, calls: times.map((_, k) => Math.min(k + 1, steps)) };
  }

  noise({ index }: Item, seed: number): Noise {
    const label = this.#model.classes > 0 ? index : undefined;
    return [
      this.#noise ? givenNoise(this.#noise, this.#model.shape, label, seed) : this.#model.noise(label, seed),
    ];
  }

  readNoise(): Noise {
    return [];
  }

  async encode({ index }: Item, copies: number): Promise<Asked> {
    return { label: this.#model.classes > 0 ? index : undefined, copies, dispose: () => undefined };
  }

  async *denoise(
    { label, copies }: Asked,
    noise: readonly Noise[],
    { steps = CALLS, last, rule: named, signal }: DenoiseOptions,
  ): AsyncGenerator<State> {
    const model = this.#model;
    const rule: Rule = named === undefined ? model.rules[0] : ruleNamed(named);
    const labels = label === undefined ? undefined : new Array<number>(copies).fill(label);
    const jump = new Jump(model, rule, copies, labels);
    try {
      const options = { labels, noise: joined(noise.map(([own]) => own)), calls: steps, rule, last, signal };
      for await (const { step, time, latents } of model.walk(options))
        yield {
          ...{ step, time: model.noiseLevel(time), latents },
          tap: async () => [
            step === steps ? latents : await jump.from(latents, time, model.times(steps)[steps]),
          ],
        };
    } finally {
      await this.gpu.idle();
      jump.dispose();
    }
  }

  /** Of the way by the average velocity, over what is left of it; a network that was not trained for that has none. */
  get straightness(): StraightnessMeter<Asked> | undefined {
    const model = this.#model;
    if (!model.rules.includes("average")) return undefined;
    return {
      of: "the network's flow",
      times: ({ stop }) => model.times(stop).slice(0, -1),
      measure: async ({ label, copies }, _last, noise, _readNoise, { stop }, { signal }) => {
        const labels = label === undefined ? undefined : new Array<number>(copies).fill(label);
        const conditions = model.conditions(copies, { labels });
        const anywhere = new Array<number>(copies).fill(0);
        const told = { r: anywhere, t: anywhere, ...conditions };
        const evaluator = new MeanFlowEvaluator(this.gpu, model.network, told);
        try {
          const begins = joined(noise.map(([own]) => own));
          return await straightnessAlong(evaluator, begins, model.times(stop), conditions, signal);
        } finally {
          evaluator.dispose();
        }
      },
    };
  }

  bytes({ copies }: Asked): { tap: number; readRow: number } {
    return { tap: 4 * copies * sizeOf(this.#model.shape), readRow: 0 };
  }

  /** Noises are none, and every reading is the same. */
  async read(
    taps: readonly TimedTap[],
    { copies }: Asked,
    noises: readonly (readonly Noise[])[],
  ): Promise<readonly Reading[]> {
    const readings: Reading[] = [];
    for (const { tap } of taps) {
      const reading = await this.#readOne(tap[0], copies);
      for (let s = 0; s < noises.length; s++) readings.push(reading);
    }
    return readings;
  }

  async #readOne(x: Tensor, copies: number): Promise<Reading> {
    if (!this.#judged) return { values: asRows(await readTensor(this.gpu, x), this.#model.shape) };
    let reader = this.#readers.get(copies);
    if (!reader) {
      reader = await ClassReader.record(this.gpu, this.#judged.evaluation, copies);
      this.#readers.set(copies, reader);
    }
    return reader.read(x);
  }

  floors(): Readonly<Record<string, Float32Array<ArrayBuffer>>> {
    return this.#judged ? { datasetMean: this.#judged.mean } : {};
  }

  toData(values: Float32Array): Float32Array {
    return values;
  }

  async close(): Promise<void> {
    for (const reader of this.#readers.values()) reader.dispose();
    this.#readers.clear();
    this.#judged?.evaluation.release();
  }
}
