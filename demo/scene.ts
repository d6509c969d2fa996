/**
 * What is looked at: one episode, one of its probed steps, one step of the decode there, drawn on every clock tick. Frames run by the
 * clock; the steps of a finished run can play too, from noise to the end and again.
 */
import { chunksAt } from "./chunk.ts";
import { Clock } from "./clock.ts";
import { byId, paintFrame, prefersStill } from "./dom.ts";
import { makeLanes } from "./lanes.ts";
import { drawStrands, type Strand } from "./overlay.ts";
import type { EpisodeView, ModelView, StateView } from "./protocol.ts";
import { Strip } from "./strip.ts";
import { Tour } from "./tour.ts";

/** What is told of what is looked at. */
export interface Looks {
  /** which steps are shown, when that changes */
  readonly onLook: (step: number | undefined, actionStep: number | undefined) => void;
  /** a person went to this step */
  readonly onChoose: (step: number) => void;
}

const icon = (path: string): string =>
  `<svg viewBox="0 0 12 12" aria-hidden="true"><path d="${path}" /></svg>`;
const PAUSE = icon("M3 2v8M3.8 2v8M8.2 2v8M9 2v8");
const PLAY = icon("M3 2l7 4-7 4z");

function show(button: HTMLElement, playing: boolean, label: string): void {
  button.innerHTML = playing ? PAUSE : PLAY;
  button.setAttribute("aria-label", label);
}

/** Seconds in which a newly shown decode settles from noise. */
const SETTLE = 0.9;

/** The run whose states are shown. */
export interface ShownRun {
  readonly steps: readonly number[];
  readonly videoSteps: number;
  /** M */
  readonly actionSteps: number;
  /** an episode whose prompt was edited: the recorded actions belong to other words */
  readonly edited?: { readonly episode: number; readonly text: string };
}

export class Scene {
  readonly #picture = byId<HTMLCanvasElement>("picture");
  readonly #overlay = byId<HTMLCanvasElement>("overlay");
  readonly #caption = byId("caption");
  readonly #videoStep = byId<HTMLInputElement>("video-step");
  readonly #actionStep = byId<HTMLInputElement>("action-step");
  readonly #strip: Strip;
  readonly #clock: Clock;
  readonly #onLook: Looks["onLook"];
  readonly #onChoose: Looks["onChoose"];
  readonly #tourButton = byId<HTMLButtonElement>("tour");
  readonly #tour = new Tour();
  #lanes: ((strands: readonly Strand[]) => void) | undefined;
  #model: ModelView | undefined;
  #run: ShownRun | undefined;
  #episode = 0;
  /** episode → a state for each probed step, as they arrive */
  #states = new Map<number, (StateView | undefined)[]>();
  /** index into the probed steps; the newest until a person chooses one */
  #selected = 0;
  #follows = true;
  /** a step that is to be stayed at when it is reached */
  #wished: number | undefined;
  #settlingSince: number | undefined;
  #drawn = "";

  constructor({ onLook, onChoose }: Looks) {
    this.#onLook = onLook;
    this.#onChoose = onChoose;
    this.#strip = new Strip(byId("strip"), (index) => this.#choose(index));
    this.#videoStep.addEventListener("input", () => this.#choose(Number(this.#videoStep.value)));
    this.#actionStep.addEventListener("input", () => (this.#settlingSince = undefined));
    this.#clock = new Clock((now) => this.#draw(now));
    byId("play").addEventListener("click", () => {
      this.#clock.toggle();
      this.#showButtons();
    });
    this.#tourButton.addEventListener("click", () => (this.#tour.playing ? this.pause() : this.play()));
    // Space is free on a slider, and where a film is looked at it plays.
    this.#videoStep.addEventListener("keydown", (event) => {
      if (event.key !== " " || this.#videoStep.disabled) return;
      event.preventDefault();
      this.#tourButton.click();
    });
    this.#showButtons();
    addEventListener("resize", () => (this.#drawn = ""));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.#drawn = ""));
  }

  get episode(): number {
    return this.#episode;
  }

  /** All states of the watched episode, in the order of the probed steps. */
  get states(): readonly (StateView | undefined)[] {
    return this.#states.get(this.#episode) ?? [];
  }

  open(model: ModelView): void {
    this.#model = model;
    this.#lanes = makeLanes(byId("lanes"), model);
    this.#episode = 0;
  }

  /** The step that is shown, once it was chosen or was the last word of a run. */
  get step(): number | undefined {
    return this.states[this.#selected]?.step;
  }

  /** Whether a step is among those that are shown, or will be. */
  hasStep(step: number): boolean {
    return this.#run?.steps.includes(step) ?? false;
  }

  /** Goes to a probed step as soon as it is there, and stays. */
  stayAt(step: number | undefined): void {
    this.#wished = step;
    const index = this.#run?.steps.indexOf(step ?? Number.NaN) ?? -1;
    if (index >= 0 && this.states[index]) this.#stay(index);
  }

  /** Plays the steps of the watched episode from the one that is shown, or from the first. */
  play(): void {
    if (this.states.length === 0 || !this.states.every(Boolean)) return;
    if (!this.#clock.playing) this.#clock.toggle();
    this.#follows = false;
    if (this.#selected === this.states.length - 1) this.#select(0);
    this.#tour.start();
    this.#showButtons();
  }

  /** Plays the steps from the first, where motion is wanted; else the last one stays. */
  playFromStart(): void {
    if (!this.#clock.playing) return;
    this.#select(0);
    this.play();
  }

  /** Steps and frames stand still. */
  pause(): void {
    this.#tour.stop();
    if (this.#clock.playing) this.#clock.toggle();
    this.#showButtons();
  }

  /** Empty tiles and sliders for a run that begins, or is only thought of. */
  begin(run: ShownRun): void {
    this.#run = run;
    this.#states = new Map();
    this.#follows = true;
    this.#tour.stop();
    this.#showButtons();
    this.#selected = 0;
    this.#strip.reset(run.steps, run.videoSteps, !this.#model?.plan);
    this.#videoStep.max = String(run.steps.length - 1);
    this.#actionStep.max = this.#actionStep.value = String(run.actionSteps);
    this.#videoStep.value = "0";
    this.#drawn = "";
  }

  watch(episode: number): void {
    if (episode === this.#episode) return;
    this.#episode = episode;
    this.#tour.stop();
    // Where nobody chose a step it is the newest, of this episode too.
    if (this.#follows) this.#select(Math.max(0, this.states.map(Boolean).lastIndexOf(true)));
    this.#settlingSince = performance.now();
    this.#clock.restart();
    this.#showButtons();
  }

  add(state: StateView): void {
    const index = this.#run?.steps.indexOf(state.step) ?? -1;
    if (index < 0) return;
    const list: (StateView | undefined)[] =
      this.#states.get(state.episode) ?? this.#run!.steps.map(() => undefined);
    list[index] = state;
    this.#states.set(state.episode, list);
    if (state.episode !== this.#episode) return;
    if (state.step === this.#wished) this.#stay(index);
    else if (this.#follows) this.#select(index);
    this.#showButtons();
  }

  /** Every strand to draw: the truth, the ends of earlier steps, all seeds of the selected step, the first on top. */
  strands(n: number): Strand[] {
    const [model, run] = [this.#model, this.#run];
    if (!model) return [];
    const { truth } = this.#shownEpisode;
    const known: Strand[] =
      truth && run?.edited?.episode !== this.#episode ? [{ chunk: truth, look: "truth" }] : [];
    const state = this.states[this.#selected];
    if (!state || !run) return known;
    const earlier = this.states.slice(0, this.#selected).filter((s) => s !== undefined);
    const [main, ...seeds] = chunksAt(state, model, run.actionSteps, n);
    return [
      ...earlier.map((s): Strand => ({
        chunk: chunksAt(s, model, run.actionSteps, run.actionSteps)[0],
        look: "earlier",
      })),
      ...known,
      ...seeds.map((chunk): Strand => ({ chunk, look: "seed" })),
      { chunk: main, look: "main" },
    ];
  }

  get #shownEpisode(): EpisodeView {
    return this.#model!.episodes[this.#episode];
  }

  #choose(index: number): void {
    const { step } = this.states[index] ?? {};
    this.#stay(index);
    if (step !== undefined) this.#onChoose(step);
  }

  #stay(index: number): void {
    this.#follows = false;
    this.#wished = undefined;
    this.#tour.stop();
    this.#select(index);
    this.#showButtons();
  }

  #showButtons(): void {
    const { playing } = this.#clock;
    const touring = this.#tour.playing;
    show(byId("play"), playing, playing ? "Pause the frames" : "Play the frames");
    show(this.#tourButton, touring, touring ? "Pause the steps" : "Play the steps");
    this.#tourButton.disabled = this.states.length < 2 || !this.states.every(Boolean);
  }

  #select(index: number): void {
    if (!this.states[index]) {
      // Only what has been reached can be looked at.
      this.#videoStep.value = String(this.#selected);
      return;
    }
    this.#selected = index;
    this.#videoStep.value = String(index);
    this.#settlingSince = performance.now();
  }

  /** The first step of a tour settles from noise, the others are shown as decoded. */
  #tourOn(now: number): void {
    const next = this.#tour.due(now, this.#selected, this.states.length);
    if (next === undefined) return;
    this.#select(next);
    if (next > 0) this.#settle();
  }

  #settle(): void {
    this.#settlingSince = undefined;
    this.#actionStep.value = this.#actionStep.max;
  }

  #draw(now: number): void {
    const [model, run] = [this.#model, this.#run];
    if (!model || !run) return;
    this.#tourOn(now);
    const state = this.states[this.#selected];
    const { frameSize, contextFrames } = model;
    const perFrame = frameSize[0] * frameSize[1] * 4;
    const future = state ? state.frames.length / perFrame : 0;
    this.#clock.length = contextFrames + future;
    if (this.#settlingSince !== undefined) {
      const share = prefersStill() ? 1 : Math.min(1, (now - this.#settlingSince) / 1000 / SETTLE);
      this.#actionStep.value = String(Math.round(Math.max(0, share) * run.actionSteps));
      if (share === 1) this.#settlingSince = undefined;
    }
    const n = Number(this.#actionStep.value);
    const { frame } = this.#clock;
    const reached = this.states.filter(Boolean).length;
    const key = [this.#episode, this.#selected, n, frame, future, reached, this.#overlay.clientWidth].join();
    if (key === this.#drawn) return;
    this.#drawn = key;

    const imagined = frame - contextFrames;
    if (state && imagined >= 0) paintFrame(this.#picture, state.frames, imagined, frameSize);
    else paintFrame(this.#picture, this.#shownEpisode.context, Math.min(frame, contextFrames - 1), frameSize);
    const strands = this.strands(n);
    const progress = imagined >= 0 ? (imagined + 1) / future : undefined;
    drawStrands(this.#overlay, model, this.#shownEpisode, strands, progress);
    this.#lanes?.(strands);
    this.#strip.paint(this.states, this.#selected, Math.max(0, Math.min(imagined, future - 1)), frameSize);
    this.#caption.textContent =
      state && imagined >= 0
        ? `imagined at step ${state.step} · frame ${imagined + 1} of ${future}`
        : `seen · frame ${Math.min(frame, contextFrames - 1) + 1} of ${contextFrames}`;
    this.#showSteps(state, n);
  }

  #showSteps(state: StateView | undefined, n: number): void {
    const { steps, videoSteps, actionSteps } = this.#run!;
    const imagines = !this.#model!.plan;
    const what =
      state && imagines
        ? `The scene from above: context, then the future imagined at video step ${state.step} of ${videoSteps}; the decoded action is a path over it`
        : "The scene from above: the context frames";
    if (this.#picture.getAttribute("aria-label") !== what) this.#picture.setAttribute("aria-label", what);
    const words = state ? `${state.step} of ${videoSteps}` : "–";
    byId("video-step-value").textContent = words;
    byId("action-step-value").textContent = state ? `${n} of ${actionSteps}` : "–";
    this.#videoStep.setAttribute("aria-valuetext", state ? `step ${words}` : "nothing yet");
    this.#actionStep.setAttribute("aria-valuetext", state ? `step ${n} of ${actionSteps}` : "nothing yet");
    this.#videoStep.disabled = !state;
    this.#actionStep.disabled = !state || actionSteps === 0;
    this.#onLook(state && steps[this.#selected], state && actionSteps > 0 ? n : undefined);
  }
}
