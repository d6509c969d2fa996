/** The steps of a finished run as a film, from noise to the end and again: when which one is due. */

/** Seconds that a step stays: the first settles, the last is what they led to. */
const STAY = { first: 1.5, between: 0.85, last: 3.6 };

export class Tour {
  /** when the step that is shown was reached; undefined while nothing plays */
  #since: number | undefined;

  get playing(): boolean {
    return this.#since !== undefined;
  }

  start(): void {
    this.#since = performance.now();
  }

  stop(): void {
    this.#since = undefined;
  }

  /**
   * @param now in milliseconds, as the browser's frames have it
   * @param shown index of the step that is shown, of `count`
   * @returns index of the one to go to, when its time has come
   */
  due(now: number, shown: number, count: number): number | undefined {
    const stay = shown === 0 ? STAY.first : shown === count - 1 ? STAY.last : STAY.between;
    if (this.#since === undefined || now - this.#since < 1000 * stay) return undefined;
    this.#since = now;
    return (shown + 1) % count;
  }
}
