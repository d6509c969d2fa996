/**
 * Between a wish to open something and opening it while something is measured: first it is looked at beside the measurement, which goes on; what
 * cannot be opened says why and touches nothing; what can asks before the measurement ends.
 */
import type { Request, Wanted } from "./protocol.ts";
import { ask } from "./sheet.ts";

export class Guard {
  readonly #isBusy: () => boolean;
  readonly #request: (request: Request) => void;
  #waiting: ((could: boolean) => void) | undefined;

  /** @param isBusy whether something is being measured that would end */
  constructor(isBusy: () => boolean, request: (request: Request) => void) {
    this.#isBusy = isBusy;
    this.#request = request;
  }

  /** @returns whether to go on and open it */
  async passes(wanted: Wanted): Promise<boolean> {
    if (!this.#isBusy()) return true;
    // Only the newest wish counts.
    this.#waiting?.(false);
    const could = await new Promise<boolean>((answered) => {
      this.#waiting = answered;
      this.#request({ type: "check", wanted });
    });
    if (!could || !this.#isBusy()) return could;
    const what = wanted.model ? "another model" : "other data";
    return ask(
      `Opening ${what} ends the measurement that is going on.`,
      "End it and open",
      "Go on measuring",
    );
  }

  /** The worker has looked. @param could whether it can be opened; if not, it has said why */
  answered(could: boolean): void {
    this.#waiting?.(could);
    this.#waiting = undefined;
  }
}
