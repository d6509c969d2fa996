/** An episode while it is measured: readings come tap by tap and find their place in its arrays. */
import type { Held, Item, Reading, Subject } from "../subject.ts";
import { ALONG, type Kept } from "./along.ts";
import { type EpisodeMeasurement, type FullSettings, readSeeds } from "./measurement.ts";

/** What can be read at several points. */
export type Read = "actions" | "oracle" | "budgets" | "rules";

export class Draft {
  readonly item: Item;
  readonly measurement: EpisodeMeasurement;
  readonly #subject: Pick<Subject<Held>, "toData">;
  readonly #videoSeeds: readonly number[];
  /** K, B or R·B */
  readonly #points: Readonly<Record<Read, number>>;

  /**
   * @param settings of which `videoSeeds` are those that are measured
   * @param hasOther whether there is another episode to take the context of
   */
  constructor(subject: Subject<Held>, settings: FullSettings, item: Item, hasOther: boolean) {
    const { videoSeeds, probeSteps, actionSteps: M, oracle, budgets, rules = [] } = settings;
    const size = subject.positions * subject.dimensions.names.length;
    const runs = videoSeeds.length * readSeeds(settings);
    const decodes = runs * probeSteps.length * size;
    this.item = item;
    this.#subject = subject;
    this.#videoSeeds = videoSeeds;
    const [K, B] = [probeSteps.length, budgets?.length ?? 0];
    this.#points = { actions: K, oracle: K, budgets: B, rules: rules.length * B };
    const { population } = subject;
    this.measurement = {
      ...{ episode: item.index, id: item.id, prompt: item.prompt, labels: item.labels },
      ...{ truth: item.truth, truthPositions: item.truthPositions, dataTruth: item.dataTruth },
      holdStill: subject.floors(item).holdStill,
      actions: new Float32Array(decodes),
      dataActions: new Float32Array(decodes),
      iterates: new Float32Array(decodes * (M + 1)),
      oneJump: new Float32Array(decodes * M),
      oracle: oracle && subject.oracle ? new Float32Array(decodes) : undefined,
      dataOracle: oracle && subject.oracle ? new Float32Array(decodes) : undefined,
      budgetActions: budgets && new Float32Array(runs * budgets.length * size),
      dataBudgetActions: budgets && new Float32Array(runs * budgets.length * size),
      ruleActions: rules.length > 0 ? new Float32Array(runs * rules.length * B * size) : undefined,
      samples: population && new Float32Array(runs * (K + (1 + rules.length) * B) * population.features),
      zeroedContext: new Float32Array("zeroed" in subject.controls ? runs * size : 0),
      otherContext: new Float32Array(hasOther && "otherEpisode" in subject.controls ? runs * size : 0),
    };
  }

  /**
   * Readings of one point, one for each action seed, each of the trajectories with these video seeds.
   * @param point k of the probe steps, b of the budgets, r·B + b of the other rules' budgets
   */
  put(name: Read, point: number, seeds: readonly number[], readings: readonly Reading[]): void {
    const { actions, dataActions, iterates, oneJump, oracle, dataOracle, budgetActions, dataBudgetActions } =
      this.measurement;
    const { ruleActions, samples } = this.measurement;
    const points = this.#points[name];
    const own = { actions, oracle: oracle!, budgets: budgetActions!, rules: ruleActions! }[name];
    const inData = { actions: dataActions, oracle: dataOracle, budgets: dataBudgetActions, rules: undefined }[
      name
    ];
    this.#each(seeds, readings, (run, reading, values) => {
      const store = (into: Float32Array, all: Float32Array): void =>
        into.set(all, (run * points + point) * all.length);
      store(own, values);
      if (inData) store(inData, this.#subject.toData(values, this.item));
      if (samples && reading.sample && name !== "oracle") {
        const { actions: K, budgets: B, rules: RB } = this.#points;
        const before = { actions: 0, budgets: K, rules: K + B }[name];
        samples.set(reading.sample, (run * (K + B + RB) + before + point) * reading.sample.length);
      }
      if (name !== "actions") return;
      store(iterates, reading.iterates ?? values);
      if (reading.oneJump) store(oneJump, reading.oneJump);
    });
  }

  /** Readings of a control; that of shuffled frames has its place once it has been read. */
  putControl(name: string, seeds: readonly number[], readings: readonly Reading[]): void {
    const { measurement } = this;
    if (name === "framesShuffled")
      measurement.shuffledContext ??= new Float32Array(
        this.#videoSeeds.length * readings.length * (readings[0].values.length / seeds.length),
      );
    const { zeroedContext, otherContext, shuffledContext } = measurement;
    const into = { zeroed: zeroedContext, otherEpisode: otherContext, framesShuffled: shuffledContext }[name];
    if (into) this.#each(seeds, readings, (run, _, own) => into.set(own, run * own.length));
  }

  /** What was kept along the trajectories with these video seeds. */
  putAlong(seeds: readonly number[], { tapSample, ...kept }: Kept): void {
    const { measurement } = this;
    if (tapSample) measurement.tapSample = tapSample;
    for (const name of ALONG) {
      const values = kept[name];
      if (!values) continue;
      const each = values.length / seeds.length;
      const all = (measurement[name] ??= new Float32Array(each * this.#videoSeeds.length));
      seeds.forEach((seed, copy) =>
        all.set(values.subarray(copy * each, (copy + 1) * each), this.#videoSeeds.indexOf(seed) * each),
      );
    }
  }

  get isFinite(): boolean {
    const { actions, iterates, zeroedContext, otherContext, budgetActions = [] } = this.measurement;
    const { shuffledContext = [], ruleActions = [], samples = [] } = this.measurement;
    const all = [
      ...[actions, iterates, zeroedContext, otherContext, budgetActions, shuffledContext],
      ...[ruleActions, samples],
    ];
    return all.every((values) => values.every(Number.isFinite));
  }

  /** Each trajectory of each reading, with its place among all (video seed, action seed) runs. */
  #each(
    seeds: readonly number[],
    readings: readonly Reading[],
    body: (run: number, reading: Reading, values: Float32Array) => void,
  ): void {
    const V = seeds.length;
    seeds.forEach((seed, copy) => {
      const part = (all: Float32Array): Float32Array =>
        all.subarray((copy * all.length) / V, ((copy + 1) * all.length) / V);
      readings.forEach(({ values, iterates, oneJump, sample }, s) => {
        const own = part(values);
        const reading = {
          values: own,
          iterates: iterates && part(iterates),
          oneJump: oneJump && part(oneJump),
          sample: sample && part(sample),
        };
        body(this.#videoSeeds.indexOf(seed) * readings.length + s, reading, own);
      });
    });
  }
}
