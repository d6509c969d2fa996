/**
 * Episodes in turn. The control with another episode's context takes the last tap of the episode before, and the first takes that of
 * the last. So the last one is measured first, and its own control when the one before it has been; of an episode only its last taps
 * are kept, and only while they are needed.
 */
import { NonFiniteError } from "../../errors.ts";
import { Pace } from "../../gpu/pace.ts";
import { copyTensor, releaseTensor } from "../../tensor/tensor.ts";
import type { Held, Item, Noise, Reading, State, Subject, Tap, TimedTap } from "../subject.ts";
import { checkEpisode } from "./checks.ts";
import { Draft, type Read } from "./draft.ts";
import { type EpisodeMeasurement, type FullSettings, type ProbeHooks, readSeeds } from "./measurement.ts";
import { batchSize, heldTap, TapReader } from "./reader.ts";

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
  /** position → its last taps, one for each batch of trajectories, as long as they are needed */
  readonly #lastTaps = new Map<number, readonly TimedTap[]>();
  #reader: TapReader<C> | undefined;
  #done = 0;
  #total: number;

  /** @param stored indices of episodes that are known already */
  constructor(subject: Subject<C>, settings: FullSettings, hooks: ProbeHooks, stored: ReadonlySet<number>) {
    this.#subject = subject;
    this.#settings = settings;
    this.#hooks = hooks;
    this.#batches = chunks(settings.videoSeeds, subject.mostCopies);
    const open = settings.episodes.flatMap((e, at) => (stored.has(e) ? [] : [at]));
    const last = settings.episodes.length - 1;
    this.#open = open.includes(last) ? [last, ...open.filter((at) => at !== last)] : open;
    this.#waiting = last > 0 && open.includes(last) && open.includes(last - 1) ? last : undefined;
    const followed = new Set(this.#open.flatMap((at) => [at, this.#before(at)]));
    const steps = (last: number) => last + 1;
    this.#total =
      this.#batches.length *
      (followed.size * steps(this.#lastStep) +
        this.#open.length * this.#shorter.reduce((sum, budget) => sum + steps(budget), 0));
  }

  /** Measures what is not known yet; yields positions with their measurements as they are finished. */
  async *all(): AsyncGenerator<readonly [number, EpisodeMeasurement]> {
    let waiting: Draft | undefined;
    for (const at of this.#open) {
      const before = this.#before(at);
      const waits = at === this.#waiting;
      if (before !== at && !waits && !this.#lastTaps.has(before)) await this.#follow(before);
      const item = await this.#subject.items.read(this.#settings.episodes[at]);
      const draft = await this.#explained(item, () => this.#measure(at, item));
      if (waits) waiting = draft;
      else yield [at, this.#checked(draft)];
      if (before !== at && before !== this.#waiting) this.#forget(before);
    }
    if (!waiting) return;
    const [at, draft] = [this.#waiting!, waiting];
    yield [at, this.#checked(await this.#explained(draft.item, () => this.#otherControl(at, draft)))];
  }

  release(): void {
    this.#reader?.release();
    this.#reader = undefined;
    for (const at of [...this.#lastTaps.keys()]) this.#forget(at);
  }

  /** Everything of one episode; the control with another's context only if that is at hand. */
  async #measure(at: number, item: Item): Promise<Draft> {
    const { probeSteps, oracle, budgets } = this.#settings;
    const subject = this.#subject;
    const draft = new Draft(subject, this.#settings, item, this.#before(at) !== at);
    const others = this.#lastTaps.get(this.#before(at));
    const kept: TimedTap[] = [];
    await this.#eachBatch(item, async (batch) => {
      const { encoded, seeds, noise } = batch;
      const reader = this.#readerFor(batch, item);
      const put = (name: Read, point: number) => (readings: readonly Reading[]) =>
        draft.put(name, point, seeds, readings);
      for await (const state of this.#states(batch)) {
        const k = probeSteps.indexOf(state.step);
        if (k < 0) continue;
        const tap = await state.tap(subject.tapKinds[0]);
        await reader.take(tap, state.time, (readings) => {
          put("actions", k)(readings);
          // The end of the longest schedule is a budget too.
          if (budgets && state.step === this.#lastStep) put("budgets", budgets.length - 1)(readings);
        });
        await this.#hooks.onState?.({ item, state, tap, encoded });
        if (state.step < this.#lastStep) continue;
        await this.#readControls(reader, draft, batch, { tap, time: state.time }, others?.[batch.index]);
        if (this.#isNeeded(at)) kept.push({ tap: this.#copy(tap), time: state.time });
      }
      for (const [b, budget] of this.#shorter.entries()) {
        for await (const state of this.#states(batch, budget)) {
          if (state.step < budget) continue;
          await reader.take(await state.tap(subject.tapKinds[0]), state.time, put("budgets", b));
        }
      }
      await reader.flush();
      if (!oracle || !subject.oracle) return;
      for (const [k, step] of probeSteps.entries()) {
        const { tap, time } = await subject.oracle(encoded, step, noise, this.#denoising);
        await reader.take(tap, time, put("oracle", k));
      }
      await reader.flush();
    });
    if (kept.length > 0) this.#lastTaps.set(at, kept);
    return draft;
  }

  /** The control that had to wait for the last taps of another episode. */
  async #otherControl(at: number, draft: Draft): Promise<Draft> {
    const [own, others] = [this.#lastTaps.get(at)!, this.#lastTaps.get(this.#before(at))!];
    await this.#eachBatch(draft.item, async (batch) => {
      const reader = this.#readerFor(batch, draft.item);
      await this.#readControls(reader, draft, batch, own[batch.index], others[batch.index], true);
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
      await reader.make(own.tap, own.time, write, (readings) => draft.putControl(name, seeds, readings));
    }
  }

  /** Follows an episode for its last taps alone: a control needs them, and it was measured in an earlier run. */
  async #follow(at: number): Promise<void> {
    const item = await this.#subject.items.read(this.#settings.episodes[at]);
    const kept: TimedTap[] = [];
    await this.#eachBatch(item, async (batch) => {
      for await (const state of this.#states(batch)) {
        if (state.step < this.#lastStep) continue;
        kept.push({ tap: this.#copy(await state.tap(this.#subject.tapKinds[0])), time: state.time });
      }
    });
    this.#lastTaps.set(at, kept);
  }

  /** The states of a trajectory, or of one along a whole schedule of other length, each finished on the GPU before the next but one: progress is honest and an interrupt prompt. */
  async *#states({ encoded, noise }: Batch<C>, budget?: number): AsyncGenerator<State> {
    const options =
      budget === undefined ? this.#denoising : { ...this.#denoising, steps: budget, last: budget };
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

  async #eachBatch(item: Item, body: (batch: Batch<C>) => Promise<void>): Promise<void> {
    for (const [index, seeds] of this.#batches.entries()) {
      const encoded = await this.#subject.encode(item, seeds.length);
      try {
        await body({ encoded, seeds, index, noise: seeds.map((seed) => this.#subject.noise(item, seed)) });
      } finally {
        encoded.dispose();
      }
    }
  }

  #readerFor({ encoded, seeds }: Batch<C>, item: Item): TapReader<C> {
    const subject = this.#subject;
    const { actionSteps, actionSeeds, probeSteps } = this.#settings;
    if (!this.#reader) {
      const rows = probeSteps.length + Object.keys(subject.controls).length + this.#shorter.length;
      const batch = batchSize(rows, subject.readBudget, subject.bytes(encoded));
      this.#reader = new TapReader(subject, batch);
      const reads = this.#open.length * this.#batches.length * Math.ceil(rows / batch);
      this.#total += reads * readSeeds(this.#settings) * actionSteps;
    }
    const noises =
      actionSeeds === "same"
        ? [seeds.map((seed) => subject.readNoise(item, seed))]
        : actionSeeds.map((seed) => seeds.map(() => subject.readNoise(item, seed)));
    const { signal } = this.#hooks;
    this.#reader.begin(encoded, noises, actionSteps || undefined, { signal, onStep: () => this.#step() });
    return this.#reader;
  }

  #copy(tap: Tap): Tap {
    const held = heldTap(this.#subject, tap);
    tap.forEach((x, i) => copyTensor(this.#subject.gpu, x, held[i]));
    return held;
  }

  #forget(at: number): void {
    for (const { tap } of this.#lastTaps.get(at) ?? [])
      for (const x of tap) releaseTensor(this.#subject.gpu, x);
    this.#lastTaps.delete(at);
  }

  #step(): void {
    this.#done++;
    const done = Math.min(this.#done, this.#total);
    this.#hooks.onProgress?.({ phase: "probing", done, total: this.#total, unit: "steps" });
  }

  #checked({ measurement }: Draft): EpisodeMeasurement {
    const { videoSeeds, actionSeeds, probeSteps, actionSteps, budgets } = this.#settings;
    const { positions, dimensions } = this.#subject;
    const sizes = { positions, dimensions: dimensions.names.length, probeSteps: probeSteps.length };
    checkEpisode({ videoSeeds, actionSeeds, actionSteps, budgets: budgets?.length, ...sizes }, measurement);
    return measurement;
  }

  /** A value that is not finite: the work is repeated with every tensor looked at, so that the error names the first. */
  async #explained(item: Item, work: () => Promise<Draft>): Promise<Draft> {
    const draft = await work();
    if (draft.isFinite) return draft;
    const { gpu } = this.#subject;
    this.#reader?.release();
    this.#reader = undefined;
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

/** Consecutive parts of at most `most`. */
function chunks<T>(values: readonly T[], most: number): T[][] {
  const size = Math.min(values.length, most);
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) =>
    values.slice(i * size, (i + 1) * size),
  );
}
