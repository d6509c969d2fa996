/**
 * Two runs from one scene, side by side: other noise, or other words. Both are shown at the same denoising step, with the distance between
 * their actions at every step. Loaded when the section is opened.
 */
import { UsageError } from "../src/errors.ts";
import { chunksAt, meanError } from "./chunk.ts";
import { Clock } from "./clock.ts";
import { make } from "./dom.ts";
import { Plot } from "./plot.ts";
import type { CurveView, LevelView, Panel } from "./panels.ts";
import type { CompareWish, ModelView, RunSettings, StateView } from "./protocol.ts";
import { apartSentence, distances } from "./distances.ts";
import { futureOf, Side } from "./side.ts";
import "./comparison.css";

/** What the page gives. */
export interface ComparisonPage {
  readonly model: () => ModelView | undefined;
  readonly episode: () => number;
  /** @throws UsageError for settings that cannot be read */
  readonly settings: () => RunSettings;
  readonly start: (wish: CompareWish) => void;
  readonly stop: () => void;
  readonly refuse: (error: Error) => void;
}

const NAMES = ["left", "right"] as const;

export class Comparison {
  readonly #page: ComparisonPage;
  readonly #sides = [new Side("Left", 0), new Side("Right", 1)] as const;
  readonly #go = make("button", { type: "submit", textContent: "Compare" });
  readonly #pause = make("button", { type: "button", textContent: "Pause the frames" });
  readonly #step = make("input", {
    type: "range",
    min: "0",
    max: "0",
    value: "0",
    disabled: true,
    id: "compare-step",
  });
  readonly #stepValue = make("output", { textContent: "–" });
  readonly #words = make("p", { className: "words" });
  readonly #plot: Plot;
  readonly #clock: Clock;
  #wish: CompareWish | undefined;
  /** the step stays where a person has put it */
  #follows = true;
  #active = false;
  #drawn = "";

  constructor(parent: HTMLElement, page: ComparisonPage) {
    this.#page = page;
    this.#words.setAttribute("role", "status");
    const label = make("label", { htmlFor: "compare-step" }, "Video step of both ", this.#stepValue);
    const target = make("div", { className: "plot" });
    const legend = make("ul", { className: "legend" });
    legend.setAttribute("aria-label", "Curves of the comparison");
    const figure = make("figure", {}, target, legend);
    const form = make(
      "form",
      { className: "comparison" },
      ...this.#sides.map(({ element }) => element),
      make(
        "div",
        { className: "both" },
        make("p", { className: "actions" }, this.#go, this.#pause),
        label,
        this.#step,
        this.#words,
        figure,
      ),
    );
    parent.append(form);
    this.#plot = new Plot(target, legend, "Distance between both actions by video step");
    this.#clock = new Clock(() => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.#drawn = ""));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#active) this.#page.stop();
      else this.#begin();
    });
    this.#pause.addEventListener("click", () => {
      this.#clock.toggle();
      this.#pause.textContent = this.#clock.playing ? "Pause the frames" : "Play the frames";
    });
    if (!this.#clock.playing) this.#pause.textContent = "Play the frames";
    this.#step.addEventListener("input", () => {
      this.#follows = false;
      this.#show();
    });
    this.open();
  }

  /** Whether it is being computed. */
  get active(): boolean {
    return this.#active;
  }

  set enabled(enabled: boolean) {
    this.#go.disabled = !enabled;
  }

  /** Another scene is looked at: its own words; what was compared stays. */
  open(): void {
    const model = this.#page.model();
    if (!model || this.#active) return;
    const { prompt } = model.episodes[this.#page.episode()];
    for (const side of this.#sides) side.prompt.value = prompt;
  }

  /** Everything that was shown belonged to another model. */
  clear(): void {
    this.#wish = undefined;
    for (const side of this.#sides) side.states = [];
    this.#plot.show(undefined);
    this.#step.disabled = true;
    this.#stepValue.textContent = "–";
    this.#words.textContent = "";
    this.ended();
    this.open();
  }

  add(side: 0 | 1, state: StateView): void {
    const index = this.#wish?.settings.probeSteps.indexOf(state.step) ?? -1;
    if (index < 0) return;
    this.#sides[side].states[index] = state;
    if (this.#follows) this.#step.value = String(index);
    this.#show();
  }

  /** It is done, or was cancelled: what was reached stays. */
  ended(): void {
    this.#active = false;
    this.#go.textContent = "Compare";
  }

  #begin(): void {
    const model = this.#page.model();
    if (!model) return;
    let settings: RunSettings;
    let seeds: number[];
    try {
      settings = this.#page.settings();
      seeds = this.#sides.map(({ seed }, i) => seedOf(seed.value, NAMES[i]));
    } catch (error) {
      return this.#page.refuse(error as Error);
    }
    const [left, right] = this.#sides.map(({ prompt }, i) => ({
      prompt: prompt.value.trim(),
      seed: seeds[i],
    }));
    this.#wish = { episode: this.#page.episode(), sides: [left, right], settings };
    for (const side of this.#sides) side.states = settings.probeSteps.map(() => undefined);
    this.#follows = true;
    this.#step.max = String(settings.probeSteps.length - 1);
    this.#step.value = "0";
    this.#active = true;
    this.#go.textContent = "Cancel";
    this.#words.textContent = `Episode ${this.#wish.episode}: the left run comes first, then the right one.`;
    this.#plot.show(undefined);
    this.#page.start(this.#wish);
  }

  /** The chosen step, the distances known so far, and what they say. */
  #show(): void {
    const [model, wish] = [this.#page.model(), this.#wish];
    if (!model || !wish) return;
    const { probeSteps, videoSteps, actionSteps = model.actionSteps } = wish.settings;
    const shown = Number(this.#step.value);
    const step = probeSteps[shown];
    const reached = this.#sides.some(({ states }) => states[shown]);
    this.#step.disabled = !this.#sides.some(({ states }) => states.some(Boolean));
    this.#stepValue.textContent = reached
      ? `${step} of ${videoSteps}`
      : `${step} of ${videoSteps}, not reached`;
    this.#step.setAttribute("aria-valuetext", `step ${this.#stepValue.textContent}`);
    const decodes = this.#sides.map(({ states }) =>
      states.map((state) => state && chunksAt(state, model, actionSteps, actionSteps)[0]),
    );
    const found = distances(probeSteps, decodes[0], decodes[1]);
    const still = model.episodes[wish.episode].holdStill;
    const ends = decodes.map((list) => list.at(-1)).filter((chunk) => chunk !== undefined);
    const scale = still && ends.length === 2 ? meanError(ends, [still]) : undefined;
    this.#plot.show(distancePanel(videoSteps, found, scale));
    this.#plot.mark(step);
    if (found.length === 0) return;
    this.#words.textContent = `Episode ${wish.episode}: ${apartSentence(found, step, videoSteps, scale)}`;
  }

  #draw(): void {
    const model = this.#page.model();
    if (!model) return;
    const any = this.#sides.flatMap(({ states }) => states).find((state) => state !== undefined);
    this.#clock.length = model.contextFrames + (any ? futureOf(model, any) : 0);
    const { frame } = this.#clock;
    const reached = this.#sides.map(({ states }) => states.filter(Boolean).length);
    const { clientWidth } = this.#sides[0].element;
    const key = [frame, this.#step.value, reached, this.#wish?.episode, clientWidth, devicePixelRatio].join();
    if (key === this.#drawn || clientWidth === 0) return;
    this.#drawn = key;
    for (const side of this.#sides) side.draw(model, this.#wish, Number(this.#step.value), frame);
  }
}

function distancePanel(
  videoSteps: number,
  found: readonly { step: number; distance: number }[],
  still: number | undefined,
): Panel {
  const curve: CurveView = {
    name: "between both actions",
    about:
      "Mean squared distance between the left and the right action, both decoded in full at that step, from the same action noise.",
    ...{ steps: found.map(({ step }) => step), values: found.map(({ distance }) => distance) },
    ...{ colour: "model", mark: "disc" },
  };
  const level: LevelView = {
    name: "standing still",
    about: "how far both last actions are from a robot that does not move, in the mean.",
    ...{ value: still ?? 0, colour: "null", dash: "dash" },
  };
  const levels = still === undefined || still <= 0 ? [] : [level];
  return { steps: videoSteps, step: "video step", curves: found.length > 0 ? [curve] : [], levels };
}

function seedOf(text: string, side: string): number {
  const value = Number(text.trim());
  if (text.trim() !== "" && Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  throw new UsageError(`the video seed of the ${side} side is "${text}"; a whole number from 0 on is needed`);
}
