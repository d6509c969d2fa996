/** What can be set of the digits: the number of calls, the class, the noise. */
import { make } from "../dom.ts";
import { CALLS, type DigitsSettings, isSeed } from "./settings.ts";

interface Wishes {
  readonly set: (changed: Partial<DigitsSettings>) => void;
  readonly play: () => void;
  readonly noise: () => void;
  /** what was typed cannot be used */
  readonly refuse: (message: string) => void;
}

const PLAY = '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="M3 1.5v9l7-4.5z"/></svg>';
const PAUSE =
  '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="M3.5 2v8M8.5 2v8" stroke-width="2.4"/></svg>';

export class Controls {
  readonly element: HTMLElement;
  readonly #play = make("button", { type: "button", className: "round", id: "digits-play" });
  readonly #calls = make("input", { type: "range", id: "digits-calls", min: "0", step: "1" });
  readonly #value = make("output", { id: "digits-calls-value" });
  readonly #class = make("select", { id: "digits-class" });
  readonly #classField = make("label", {}, "Class ", this.#class);
  readonly #seed = make("input", { id: "digits-seed", inputMode: "numeric", size: 6, autocomplete: "off" });
  readonly #seedField = make("label", {}, "Seed ", this.#seed);
  readonly #noise = make("button", { type: "button", id: "digits-noise", textContent: "New noise" });
  #fixed = false;

  constructor({ calls, seed }: DigitsSettings, { set, play, noise, refuse }: Wishes) {
    this.#calls.max = String(CALLS.length - 1);
    const ticks = make(
      "div",
      { className: "ticks" },
      ...CALLS.map((n) => make("span", { textContent: String(n) })),
    );
    ticks.setAttribute("aria-hidden", "true");
    const label = make("label", { htmlFor: "digits-calls" }, "Calls of the network ", this.#value);
    this.element = make(
      "div",
      { className: "controls" },
      this.#play,
      make("div", { className: "calls" }, label, this.#calls, ticks),
      make("div", { className: "set" }, this.#classField, this.#seedField, this.#noise),
    );
    this.playing = false;
    this.show({ calls, seed });
    this.#play.addEventListener("click", play);
    this.#calls.addEventListener("input", () => set({ calls: CALLS[this.#calls.valueAsNumber] }));
    this.#calls.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      if (!event.repeat) play();
    });
    this.#class.addEventListener("change", () => {
      const { value } = this.#class;
      set({ label: value === "all" ? undefined : Number(value) });
    });
    this.#seed.addEventListener("change", () => {
      const text = this.#seed.value.trim();
      if (isSeed(text)) set({ seed: Number(text) });
      else refuse(`the seed “${text.slice(0, 40)}” is no whole number up to nine digits`);
    });
    this.#noise.addEventListener("click", noise);
  }

  set playing(now: boolean) {
    this.#play.innerHTML = now ? PAUSE : PLAY;
    this.#play.setAttribute(
      "aria-label",
      now ? "Stop at this number of calls" : "Play through the numbers of calls",
    );
  }

  /** @param together whether all classes may be shown at once */
  open(classes: number, together: boolean): void {
    this.#classField.hidden = classes === 0;
    const one = Array.from({ length: classes }, (_, c) =>
      make("option", { value: String(c), textContent: String(c) }),
    );
    const all = together ? [make("option", { value: "all", textContent: "all" })] : [];
    this.#class.replaceChildren(...all, ...one);
  }

  /** A recording has its own noise, and few of it. */
  recorded(): void {
    this.#fixed = true;
    this.#seedField.hidden = true;
  }

  show({ label, calls, seed }: DigitsSettings): void {
    this.#calls.value = String(CALLS.indexOf(calls));
    this.#value.textContent = String(calls);
    this.#calls.setAttribute("aria-valuetext", `${calls} ${calls === 1 ? "call" : "calls"}`);
    this.#class.value = label === undefined ? "all" : String(label);
    this.#seed.value = String(seed);
    // One class is shown with all the noise that was recorded.
    this.#noise.hidden = this.#fixed && label !== undefined;
  }
}
