/** In the worker: seconds a step, without the time that showing it took. */
import type { Gpu } from "../src/gpu/gpu.ts";
import type { CostView } from "./protocol.ts";

export class Stopwatch {
  readonly #gpu: Gpu;
  #last: number | undefined;
  #done = 0;
  #seconds: number[] = [];
  #cost: { videoStep?: number; actionStep?: number } = {};

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Called after each step with their number so far. */
  step(done: number): void {
    const now = performance.now();
    if (this.#last !== undefined && done === this.#done + 1) this.#seconds.push((now - this.#last) / 1000);
    this.#last = now;
    this.#done = done;
  }

  /** Not counted from here… */
  pause(): void {
    this.#last = undefined;
  }

  /** …to here. */
  resume(): void {
    this.#last = performance.now();
  }

  /** Median of the steps since the last call, under the name of what they were. */
  cost(kind: "videoStep" | "actionStep"): CostView {
    const sorted = this.#seconds.sort((a, b) => a - b);
    if (sorted.length > 0) this.#cost[kind] = sorted[Math.floor(sorted.length / 2)];
    this.#seconds = [];
    const { held, peak } = this.#gpu.memory.usage;
    return { ...this.#cost, heldBytes: held, peakBytes: peak };
  }
}
