/** One of two runs side by side: its words and seed, and what it looks like at a step. */
import { chunksAt } from "./chunk.ts";
import { make, paintFrame } from "./dom.ts";
import { drawStrands, type Strand } from "./overlay.ts";
import type { CompareWish, ModelView, StateView } from "./protocol.ts";

export class Side {
  readonly prompt = make("input", { autocomplete: "off", spellcheck: false });
  readonly seed = make("input", { inputMode: "numeric", size: 4 });
  readonly #picture = make("canvas", { width: 32, height: 32 });
  readonly #overlay = make("canvas");
  readonly #caption = make("p", { className: "caption" });
  readonly element: HTMLElement;
  states: (StateView | undefined)[] = [];

  constructor(name: string, seed: number) {
    this.seed.value = String(seed);
    this.#picture.setAttribute("role", "img");
    this.#overlay.setAttribute("aria-hidden", "true");
    const stage = make("div", { className: "stage" }, this.#picture, this.#overlay, this.#caption);
    this.element = make(
      "fieldset",
      { className: "side" },
      make("legend", { textContent: name, className: "quiet" }),
      make("label", {}, "Prompt ", this.prompt),
      make("label", {}, "Video seed ", this.seed),
      stage,
    );
  }

  /** @param shown place among the probed steps. @param frame counted from the first the model sees */
  draw(model: ModelView, wish: CompareWish | undefined, shown: number, frame: number): void {
    const { episodes, contextFrames, frameSize } = model;
    const episode = episodes[wish?.episode ?? 0];
    const state = this.states[shown];
    const imagined = frame - contextFrames;
    if (state && imagined >= 0) paintFrame(this.#picture, state.frames, imagined, frameSize);
    else if (wish) paintFrame(this.#picture, episode.context, Math.min(frame, contextFrames - 1), frameSize);
    const M = wish?.settings.actionSteps ?? model.actionSteps;
    const end = (one: StateView): Float32Array => chunksAt(one, model, M, M)[0];
    const earlier = this.states.slice(0, shown).filter((one) => one !== undefined);
    const strands: Strand[] = [
      ...earlier.map((one): Strand => ({ chunk: end(one), look: "earlier" })),
      ...(state ? [{ chunk: end(state), look: "main" } as const] : []),
    ];
    const progress = state && imagined >= 0 ? (imagined + 1) / futureOf(model, state) : undefined;
    drawStrands(this.#overlay, model, episode, strands, progress);
    const words = state
      ? `step ${state.step} · ${imagined >= 0 ? "imagined" : "seen"}`
      : wish
        ? "waiting"
        : "";
    if (this.#caption.textContent !== words) this.#caption.textContent = words;
    this.#caption.hidden = words === "";
    const label = state
      ? `The future imagined at video step ${state.step}; the decoded action is a path over it`
      : "Nothing yet";
    if (this.#picture.getAttribute("aria-label") !== label) this.#picture.setAttribute("aria-label", label);
  }
}

/** Frames that were imagined. */
export const futureOf = ({ frameSize }: ModelView, state: StateView): number =>
  state.frames.length / (4 * frameSize[0] * frameSize[1]);
