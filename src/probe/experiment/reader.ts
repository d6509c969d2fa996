/**
 * The read-out streams: a tap is read where it stands, or a few are held and read in one batch, as many as a byte budget allows. Nothing
 * holds all probed steps of a trajectory.
 */
import { copyTensor, createTensor, releaseTensor } from "../../tensor/tensor.ts";
import type { Held, Noise, Reading, ReadOptions, Subject, Tap } from "../subject.ts";
import type { CostPart } from "./cost.ts";

/** More in one batch brings nothing even on small models, and memory grows with it. */
const MOST_HELD = 8;

/** What is done with the readings of a tap, one for each noise. */
export type Receive = (readings: readonly Reading[]) => void;

/** Does what `body` says, on account of parts of the experiment, one for each tap. */
export type Account = <T>(parts: readonly CostPart[], body: () => Promise<T>) => Promise<T>;

interface Waiting {
  readonly part: CostPart;
  readonly tap: Tap;
  readonly time: number;
  readonly receive: Receive;
}

/** R: how many of `rows` taps are read in one batch, so that batches are equal and held taps fit the budget. */
export function batchSize(
  rows: number,
  budget: number,
  { tap, readRow }: { tap: number; readRow: number },
): number {
  const fitting = Math.max(1, Math.min(MOST_HELD, Math.floor(budget / (tap + readRow))));
  return Math.ceil(rows / Math.ceil(rows / fitting));
}

/** Taps of one encoded item on their way to be read. */
export class TapReader<C extends Held> {
  readonly #subject: Subject<C>;
  readonly #batch: number;
  readonly #slots: Tap[] = [];
  #waiting: Waiting[] = [];
  #read: (taps: readonly Waiting[]) => Promise<readonly Reading[]> = () => Promise.resolve([]);
  readonly #account: Account;
  #noises = 0;

  /** @param batch R */
  constructor(subject: Subject<C>, batch: number, account: Account) {
    this.#subject = subject;
    this.#batch = batch;
    this.#account = account;
  }

  /** From now on taps belong to this item; `noises` is (S, V). */
  begin(
    encoded: C,
    noises: readonly (readonly Noise[])[],
    innerSteps: number | undefined,
    options: ReadOptions,
  ): void {
    this.#noises = noises.length;
    this.#read = async (taps) => {
      // What was begun before is over, so that a reading's seconds are its own.
      await this.#subject.gpu.idle();
      const parts = taps.map(({ part }) => part);
      return this.#account(parts, () => this.#subject.read(taps, encoded, noises, innerSteps, options));
    };
  }

  /** Takes a tap, which is read before the next state if nothing may be held. */
  async take(part: CostPart, tap: Tap, time: number, receive: Receive): Promise<void> {
    if (this.#batch === 1) return receive(await this.#read([{ part, tap, time, receive }]));
    const slot = this.#slot(tap);
    tap.forEach((x, i) => copyTensor(this.#subject.gpu, x, slot[i]));
    await this.#add({ part, tap: slot, time, receive });
  }

  /** The same for a tap that `write` makes, shaped as `like`. */
  async make(
    part: CostPart,
    like: Tap,
    time: number,
    write: (into: Tap) => void,
    receive: Receive,
  ): Promise<void> {
    const slot = this.#slot(like);
    write(slot);
    await this.#add({ part, tap: slot, time, receive });
  }

  /** Reads what still waits. A last batch is filled up, so that one recording serves all; a single tap has its own. */
  async flush(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const filled = [...waiting];
    while (filled.length > 1 && filled.length < this.#batch)
      filled.push({ ...waiting[waiting.length - 1], part: "padding" });
    const readings = await this.#read(filled);
    waiting.forEach(({ receive }, r) => receive(readings.slice(r * this.#noises, (r + 1) * this.#noises)));
  }

  release(): void {
    for (const slot of this.#slots) for (const x of slot) releaseTensor(this.#subject.gpu, x);
    this.#slots.length = 0;
    this.#waiting = [];
  }

  async #add(waiting: Waiting): Promise<void> {
    this.#waiting.push(waiting);
    if (this.#waiting.length === this.#batch) await this.flush();
  }

  #slot(like: Tap): Tap {
    const at = this.#waiting.length;
    return (this.#slots[at] ??= heldTap(this.#subject, like));
  }
}

/** Space for a tap like this one. */
export function heldTap({ gpu }: Pick<Subject, "gpu">, like: Tap): Tap {
  return like.map((x) => createTensor(gpu, x.shape, undefined, "held tap"));
}
