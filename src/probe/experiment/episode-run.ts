/**
 * Episodes in turn. The control with another episode's context takes the last tap of the episode before, and the first takes that of
 * the last. So the last one is measured first, and its own control at the very end, by itself; of an episode only its last taps
 * are kept, and only while they are needed. An episode that is not measured here, because it is known already or another machine's, is followed for its
 * last taps where a control needs them. The last one's control is read by itself in every case, so that resumed and split runs read the same batches.
 */
import { NonFiniteError } from "../../errors.ts";
import { Pace } from "../../gpu/pace.ts";
import { copyTensor, releaseTensor } from "../../tensor/tensor.ts";
import type { Held, Item, Noise, Reading, State, Subject, Tap, TimedTap } from "../subject.ts";
import { Along } from "./along.ts";
import { checkEpisode } from "./checks.ts";
import { Cost, type CostPart } from "./cost.ts";
import { Draft, type Read } from "./draft.ts";
import {
  type EpisodeMeasurement,
  type FlopCounts,
  type FullSettings,
  type ProbeHooks,
  readSeeds,
} from "./measurement.ts";
import { batchSize, heldTap, TapReader } from "./reader.ts";
import { seedBatches, type Share } from "./share.ts";

/** Trajectories that are followed together, and what they start from. */
interface Batch<C> {
  readonly encoded: C;
  readonly seeds: readonly number[];
  readonly noise: readonly Noise[];
  /** number of the batch within the episode */
  readonly index: number;
}

export class EpisodeRun<C extends Held> {
  readonly #subject: Subject<C>;
  readonly #settings: FullSettings;
  readonly #hooks: ProbeHooks;
  /** positions in the list of episodes that are to be measured, in this order */
  readonly #open: readonly number[];
  /** the position whose control waits for an episode that is measured later */
  readonly #waiting: number | undefined;
  readonly #batches: readonly (readonly number[])[];
  /** position → which of its batches are measured */
  readonly #measured: ReadonlyMap<number, readonly number[]>;
  /** position → batch of trajectories → its last tap, as long as it is needed */
  readonly #lastTaps = new Map<number, Map<number, TimedTap>>();
  /** by the number of trajectories in a batch, which decides how many taps are read together */
  readonly #readers = new Map<number, TapReader<C>>();
  /** by the number of trajectories in a batch */
  readonly #alongs = new Map<number, Along>();
  readonly cost: Cost;
  #done = 0;
  #total: number;

  /** @param share what is to be measured */
  constructor(subject: Subject<C>, settings: FullSettings, hooks: ProbeHooks, share: readonly Share[]) {
    this.#subject = subject;
    this.#settings = settings;
    this.#hooks = hooks;
    this.cost = new Cost(subject.gpu);
    this.#batches = seedBatches(settings, subject.mostCopies);
    this.#measured = new Map(share.map(({ at, batches }) => [at, batches]));
    const open = share.map(({ at }) => at);
    const last = settings.episodes.length - 1;
    this.#open = open.includes(last) ? [last, ...open.filter((at) => at !== last)] : open;
    this.#waiting = last > 0 && open.includes(last) ? last : undefined;
    const followed = share.flatMap(({ at, batches }) =>
      [at, this.#before(at)].flatMap((one) => batches.map((batch) => `${one} ${batch}`)),
    );
    const steps = (end: number) => end + 1;
    const measured = share.reduce((n, { batches }) => n + batches.length, 0);
    this.#total =
      new Set(followed).size * steps(this.#lastStep) +
      measured * this.#shorter.reduce((sum, budget) => sum + steps(budget), 0) +
      measured * this.#byRules.reduce((sum, { budget }) => sum + steps(budget), 0);
  }

  /** Measures what is not known yet; yields positions with their measurements as they are finished. */
  async *all(): AsyncGenerator<readonly [number, EpisodeMeasurement]> {
    let waiting: Draft | undefined;
    for (const at of this.#open) {
      const before = this.#before(at);
      const waits = at === this.#waiting;
      if (before !== at && !waits) await this.#follow(before, this.#batchesOf(at));
      const item = await this.#subject.items.read(this.#settings.episodes[at]);
      const draft = await this.#explained(item, () => this.#measure(at, item));
      if (waits) waiting = draft;
      else yield [at, this.#checked(at, draft)];
      if (before !== at && before !== this.#waiting) this.#forget(before);
    }
    if (!waiting) return;
    const [at, draft] = [this.#waiting!, waiting];
    await this.#follow(this.#before(at), this.#batchesOf(at));
    yield [at, this.#checked(at, await this.#explained(draft.item, () => this.#otherControl(at, draft)))];
  }

  release(): void {
    this.#releaseReaders();
    for (const at of [...this.#lastTaps.keys()]) this.#forget(at);
  }

  /** Everything of one episode; the control with another's context only if that is at hand. */
  async #measure(at: number, item: Item): Promise<Draft> {
    const { probeSteps, oracle, budgets } = this.#settings;
    const subject = this.#subject;
    const settings = { ...this.#settings, videoSeeds: this.#seedsOf(at) };
    const draft = new Draft(subject, settings, item, this.#before(at) !== at);
    // The last episode's control is read by itself, even where the tap is at hand.
    const others = at === this.#waiting ? undefined : this.#lastTaps.get(this.#before(at));
    const kept = new Map<number, TimedTap>();
    const { cost } = this;
    const before = this.#counted();
    await this.#eachBatch(item, this.#batchesOf(at), "trajectory", async (batch) => {
      const { encoded, seeds, noise } = batch;
      const reader = this.#readerFor(batch, item);
      const along = this.#alongOf(batch);
      const put = (name: Read, point: number) => (readings: readonly Reading[]) =>
        draft.put(name, point, seeds, readings);
      for await (const state of this.#states(batch)) {
        const k = probeSteps.indexOf(state.step);
        if (k < 0) continue;
        const tap = await state.tap(subject.tapKinds[0]);
        await cost.during("similarity", () => along.take(k, state, tap, seeds.length));
        await reader.take("read-out", tap, state.time, (readings) => {
          put("actions", k)(readings);
          // The end of the longest schedule is a budget too.
          if (budgets && state.step === this.#lastStep) put("budgets", budgets.length - 1)(readings);
        });
        await this.#hooks.onState?.({ item, state, tap, encoded });
        if (state.step < this.#lastStep) continue;
        if (this.#isNeeded(at)) kept.set(batch.index, { tap: this.#copy(tap), time: state.time });
        await this.#readControls(reader, draft, batch, { tap, time: state.time }, others?.get(batch.index));
        await this.#measureStraightness(draft, batch, item, { tap, time: state.time });
        // Last, because the tap that stands is written over.
        if (state.shuffled) await this.#readShuffled(reader, draft, batch, state);
      }
      if (this.#shorter.length + this.#byRules.length > 0) cost.enter("budgets");
      for (const [b, budget] of this.#shorter.entries()) {
        for await (const state of this.#states(batch, budget)) {
          if (state.step < budget) continue;
          await reader.take("budgets", await state.tap(subject.tapKinds[0]), state.time, put("budgets", b));
        }
      }
      for (const [point, { rule, budget }] of this.#byRules.entries()) {
        for await (const state of this.#states(batch, budget, rule)) {
          if (state.step < budget) continue;
          await reader.take("budgets", await state.tap(subject.tapKinds[0]), state.time, put("rules", point));
        }
      }
      await reader.flush();
      draft.putAlong(seeds, await cost.during("similarity", () => along.finish()));
      if (!oracle || !subject.oracle) return;
      cost.enter("oracle");
      for (const [k, step] of probeSteps.entries()) {
        const { tap, time } = await subject.oracle(encoded, step, noise, this.#denoising);
        await reader.take("oracle", tap, time, put("oracle", k));
      }
      await reader.flush();
    });
    const copies = settings.videoSeeds.length;
    const after = this.#counted();
    draft.measurement.flops = {
      encode: (after.encode - before.encode) / copies,
      trajectory: (after.trajectory - before.trajectory) / copies,
      readOut: (after.readOut - before.readOut) / (copies * readSeeds(settings) * probeSteps.length),
      similarity: (after.similarity - before.similarity) / copies,
    };
    if (kept.size > 0) this.#keep(at, kept);
    return draft;
  }

  /** The control that had to wait for the last taps of another episode. */
  async #otherControl(at: number, draft: Draft): Promise<Draft> {
    const [own, others] = [this.#lastTaps.get(at)!, this.#lastTaps.get(this.#before(at))!];
    await this.#eachBatch(draft.item, this.#batchesOf(at), "controls", async (batch) => {
      const reader = this.#readerFor(batch, draft.item);
      await this.#readControls(reader, draft, batch, own.get(batch.index)!, others.get(batch.index), true);
      await reader.flush();
    });
    return draft;
  }

  async #readControls(
    reader: TapReader<C>,
    draft: Draft,
    { seeds }: Batch<C>,
    own: TimedTap,
    other: TimedTap | undefined,
    onlyWithOther = false,
  ): Promise<void> {
    for (const [name, control] of Object.entries(this.#subject.controls)) {
      if (control.needsOther ? !other : onlyWithOther) continue;
      const write = (into: Tap): void => control.write(own.tap, other?.tap, into);
      await reader.make("controls", own.tap, own.time, write, (readings) =>
        draft.putControl(name, seeds, readings),
      );
    }
  }

  /** How straight the flow's own way is from the noise of the first read-out, where that was asked. */
  async #measureStraightness(
    draft: Draft,
    { encoded, seeds, noise }: Batch<C>,
    item: Item,
    last: TimedTap,
  ): Promise<void> {
    const { straightness: meter } = this.#subject;
    const { straightness: asked, actionSeeds, actionSteps: inner, videoSteps: stop } = this.#settings;
    if (!asked || !meter) return;
    const { signal } = this.#hooks;
    const seedOf = (seed: number): number => (actionSeeds === "same" ? seed : actionSeeds[0]);
    const readNoise = seeds.map((seed) => this.#subject.readNoise(item, seedOf(seed)));
    await this.cost.during("straightness", async () => {
      const found = await meter.measure(encoded, last, noise, readNoise, { inner, stop }, { signal });
      const { residual: flowResidual, speed: flowSpeed, bend: flowBend } = found;
      draft.putAlong(seeds, { flowResidual, flowSpeed, flowBend });
    });
  }

  /** The control with the item's own frames in another order, which the item's number decides. */
  async #readShuffled(reader: TapReader<C>, draft: Draft, { seeds }: Batch<C>, state: State): Promise<void> {
    await this.cost.during("controls", async () => {
      const tap = await state.shuffled!(draft.item.index);
      await reader.take("controls", tap, state.time, (readings) =>
        draft.putControl("framesShuffled", seeds, readings),
      );
    });
  }

  /** Follows an episode for those last taps of these batches that are not at hand. */
  async #follow(at: number, batches: readonly number[]): Promise<void> {
    const missing = batches.filter((batch) => !this.#lastTaps.get(at)?.has(batch));
    if (missing.length === 0) return;
    const item = await this.#subject.items.read(this.#settings.episodes[at]);
    const kept = new Map<number, TimedTap>();
    await this.#eachBatch(item, missing, "followed", async (batch) => {
      for await (const state of this.#states(batch)) {
        if (state.step < this.#lastStep) continue;
        const tap = await state.tap(this.#subject.tapKinds[0]);
        kept.set(batch.index, { tap: this.#copy(tap), time: state.time });
      }
    });
    this.#keep(at, kept);
  }

  #keep(at: number, taps: ReadonlyMap<number, TimedTap>): void {
    this.#lastTaps.set(at, new Map([...(this.#lastTaps.get(at) ?? []), ...taps]));
  }

  /** The states of a trajectory, or of one along a whole schedule of other length, each finished on the GPU before the next but one: progress is honest and an interrupt prompt. */
  async *#states({ encoded, noise }: Batch<C>, budget?: number, rule?: string): AsyncGenerator<State> {
    const options =
      budget === undefined ? this.#denoising : { ...this.#denoising, steps: budget, last: budget, rule };
    const pace = new Pace(this.#subject.gpu);
    for await (const state of this.#subject.denoise(encoded, noise, options)) {
      yield state;
      await pace.step();
      this.#step();
    }
    await pace.end();
  }

  get #denoising() {
    return { steps: this.#settings.videoSteps, last: this.#lastStep, signal: this.#hooks.signal };
  }

  /** Budgets that are not the end of the trajectory that is followed anyway. */
  get #shorter(): readonly number[] {
    return this.#settings.budgets?.slice(0, -1) ?? [];
  }

  /** Whole schedules by the other rules: none of them is followed anyway. */
  get #byRules(): readonly { readonly rule: string; readonly budget: number }[] {
    const { rules = [], budgets = [] } = this.#settings;
    return rules.flatMap((rule) => budgets.map((budget) => ({ rule, budget })));
  }

  get #lastStep(): number {
    return this.#settings.probeSteps.at(-1)!;
  }

  /** Position whose context serves as "another episode's" at this position. */
  #before(at: number): number {
    const { length } = this.#settings.episodes;
    return (at + length - 1) % length;
  }

  /** Whether a control that is still to be read takes this one's last taps. */
  #isNeeded(at: number): boolean {
    const next = (at + 1) % this.#settings.episodes.length;
    return next !== at && (this.#open.includes(next) || at === this.#waiting);
  }

  #batchesOf(at: number): readonly number[] {
    return this.#measured.get(at) ?? [];
  }

  #seedsOf(at: number): number[] {
    return this.#batchesOf(at).flatMap((batch) => this.#batches[batch]);
  }

  async #eachBatch(
    item: Item,
    batches: readonly number[],
    part: CostPart,
    body: (batch: Batch<C>) => Promise<void>,
  ): Promise<void> {
    for (const index of batches) {
      const seeds = this.#batches[index];
      const [own, noise] = [
        part === "trajectory" ? "encode" : part,
        () => seeds.map((seed) => this.#subject.noise(item, seed)),
      ] as const;
      const encoded = await this.cost.during(own, () => this.#subject.encode(item, seeds.length));
      try {
        await this.cost.during(part, () => body({ encoded, seeds, index, noise: noise() }));
      } finally {
        encoded.dispose();
      }
    }
  }

  #readerFor({ encoded, seeds }: Batch<C>, item: Item): TapReader<C> {
    const subject = this.#subject;
    const { actionSteps, actionSeeds, probeSteps } = this.#settings;
    let reader = this.#readers.get(seeds.length);
    if (!reader) {
      const shuffled = subject.shufflesFrames ? 1 : 0;
      const whole = this.#shorter.length + this.#byRules.length;
      const rows = probeSteps.length + Object.keys(subject.controls).length + shuffled + whole;
      const batch = batchSize(rows, subject.readBudget, subject.bytes(encoded));
      reader = new TapReader(subject, batch, (parts, body) => this.cost.during(parts, body));
      this.#readers.set(seeds.length, reader);
      const alike = [...this.#measured.values()]
        .flat()
        .filter((b) => this.#batches[b].length === seeds.length);
      this.#total += alike.length * Math.ceil(rows / batch) * readSeeds(this.#settings) * actionSteps;
    }
    const noises =
      actionSeeds === "same"
        ? [seeds.map((seed) => subject.readNoise(item, seed))]
        : actionSeeds.map((seed) => seeds.map(() => subject.readNoise(item, seed)));
    const { signal } = this.#hooks;
    reader.begin(encoded, noises, actionSteps || undefined, { signal, onStep: () => this.#step() });
    return reader;
  }

  #alongOf({ seeds }: Batch<C>): Along {
    let along = this.#alongs.get(seeds.length);
    if (!along) {
      along = new Along(this.#subject, this.#settings.probeSteps.length, this.#batches[0].length);
      this.#alongs.set(seeds.length, along);
    }
    return along;
  }

  /** Operations so far. */
  #counted(): FlopCounts {
    const { cost } = this;
    const [encode, trajectory] = [cost.flops("encode"), cost.flops("trajectory")];
    return { encode, trajectory, readOut: cost.flops("read-out"), similarity: cost.flops("similarity") };
  }

  #releaseReaders(): void {
    for (const held of [...this.#readers.values(), ...this.#alongs.values()]) held.release();
    this.#readers.clear();
    this.#alongs.clear();
  }

  #copy(tap: Tap): Tap {
    const held = heldTap(this.#subject, tap);
    tap.forEach((x, i) => copyTensor(this.#subject.gpu, x, held[i]));
    return held;
  }

  #forget(at: number): void {
    for (const { tap } of this.#lastTaps.get(at)?.values() ?? [])
      for (const x of tap) releaseTensor(this.#subject.gpu, x);
    this.#lastTaps.delete(at);
  }

  #step(): void {
    this.#done++;
    const done = Math.min(this.#done, this.#total);
    this.#hooks.onProgress?.({ phase: "probing", done, total: this.#total, unit: "steps" });
  }

  #checked(at: number, { measurement }: Draft): EpisodeMeasurement {
    const { actionSeeds, probeSteps, actionSteps, budgets, rules, videoSeeds: all } = this.#settings;
    const videoSeeds = this.#seedsOf(at);
    const { positions, dimensions, population } = this.#subject;
    const { straightness, actionSteps: inner, videoSteps: stop } = this.#settings;
    const flowTimes = straightness ? this.#subject.straightness?.times({ inner, stop }).length : undefined;
    const more = { rules: rules?.length, features: population?.features, flowTimes };
    const sizes = { ...more, positions, dimensions: dimensions.names.length, probeSteps: probeSteps.length };
    checkEpisode({ videoSeeds, actionSeeds, actionSteps, budgets: budgets?.length, ...sizes }, measurement);
    return videoSeeds.length === all.length ? measurement : { ...measurement, videoSeeds };
  }

  /** A value that is not finite: the work is repeated with every tensor looked at, so that the error names the first. */
  async #explained(item: Item, work: () => Promise<Draft>): Promise<Draft> {
    const draft = await work();
    if (draft.isFinite) return draft;
    const { gpu } = this.#subject;
    this.#releaseReaders();
    // New buffers are zero; reused ones would still hold what the failed run left in parts not yet written.
    gpu.memory.trim();
    gpu.checkFinite = true;
    try {
      await work();
    } finally {
      gpu.checkFinite = false;
    }
    throw new NonFiniteError(`the decoded actions of episode ${item.id} are not finite`);
  }
}
