/** Where the seconds go, and the operations: what runs belongs to the part that was entered last. */
import type { Gpu } from "../../gpu/gpu.ts";

/** What an episode is made of. `followed`: another episode's trajectory, for a control alone; `padding`: what fills a batch of readings. */
export const PARTS = [
  ...(["encode", "trajectory", "followed", "read-out", "controls", "budgets", "oracle"] as const),
  ...(["similarity", "straightness", "padding", "other"] as const),
] as const;
export type CostPart = (typeof PARTS)[number];

export class Cost {
  readonly #gpu: Gpu;
  readonly #seconds = new Map<CostPart, number>();
  readonly #flops = new Map<CostPart, number>();
  #parts: readonly CostPart[] = ["other"];
  #since = performance.now();
  #counted: number;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#counted = gpu.counters.flops;
  }

  /** What `body` does belongs to `part`, or to several in equal shares; what it enters itself does not. */
  async during<T>(part: CostPart | readonly CostPart[], body: () => Promise<T>): Promise<T> {
    const outer = this.#enter(typeof part === "string" ? [part] : part);
    try {
      return await body();
    } finally {
      this.#enter(outer);
    }
  }

  /** What comes from now on, until the part that is entered around it ends. */
  enter(part: CostPart): void {
    this.#enter([part]);
  }

  flops(part: CostPart): number {
    this.#enter(this.#parts);
    return this.#flops.get(part) ?? 0;
  }

  /** Seconds of every part that took any. */
  get seconds(): { name: string; seconds: number }[] {
    this.#enter(this.#parts);
    return PARTS.flatMap((name) => {
      const seconds = this.#seconds.get(name);
      return seconds === undefined ? [] : [{ name, seconds }];
    });
  }

  #enter(parts: readonly CostPart[]): readonly CostPart[] {
    const [now, counted] = [performance.now(), this.#gpu.counters.flops];
    const outer = this.#parts;
    for (const part of outer) {
      const add = (to: Map<CostPart, number>, value: number): void =>
        void to.set(part, (to.get(part) ?? 0) + value / outer.length);
      add(this.#seconds, (now - this.#since) / 1000);
      add(this.#flops, counted - this.#counted);
    }
    [this.#parts, this.#since, this.#counted] = [parts, now, counted];
    return outer;
  }
}
