/** Which episode is watched: its picture among the others, its words, where its robot is. */
import { byId, make, paintFrame } from "./dom.ts";
import type { ModelView } from "./protocol.ts";

export class EpisodeForm {
  readonly #tiles = byId("episodes");
  readonly #prompt = byId<HTMLInputElement>("prompt");
  readonly #onChoose: (episode: number) => void;
  #model: ModelView | undefined;

  /** @param onPrompt told when a person has changed the words */
  constructor(onChoose: (episode: number) => void, onPrompt: () => void) {
    this.#onChoose = onChoose;
    this.#prompt.addEventListener("change", onPrompt);
  }

  open(model: ModelView): void {
    this.#model = model;
    const tiles = model.episodes.map(({ index, id, prompt, context }) => {
      const radio = make("input", { type: "radio", name: "episode", value: String(index) });
      radio.setAttribute("aria-label", `Episode ${index}: ${prompt || id}`);
      radio.addEventListener("change", () => this.#onChoose(index));
      const canvas = make("canvas");
      paintFrame(canvas, context, model.contextFrames - 1, model.frameSize);
      return make("label", { title: prompt || id }, radio, canvas);
    });
    this.#tiles.replaceChildren(...tiles);
    const prompts = new Set(model.episodes.map(({ prompt }) => prompt));
    byId("prompts").replaceChildren(...[...prompts].map((value) => make("option", { value })));
  }

  /** Says on an episode's picture how far it is: what is being measured may be another one than what is looked at. */
  mark(index: number, mark: "measuring" | "measured"): void {
    const radio = this.#tiles.querySelector<HTMLInputElement>(`input[value="${index}"]`);
    if (!radio) return;
    if (mark === "measuring") this.#unmark("measuring");
    radio.parentElement!.dataset.mark = mark;
    const { prompt, id } = this.#model!.episodes[index];
    const words = mark === "measuring" ? "being measured" : "measured";
    radio.setAttribute("aria-label", `Episode ${index}: ${prompt || id}, ${words}`);
  }

  /** Nothing is being measured any more, or nothing was. */
  unmark(all: boolean): void {
    this.#unmark("measuring");
    if (all) this.#unmark("measured");
  }

  #unmark(mark: string): void {
    for (const label of this.#tiles.querySelectorAll<HTMLElement>(`[data-mark="${mark}"]`)) {
      delete label.dataset.mark;
      const radio = label.querySelector("input")!;
      radio.setAttribute("aria-label", radio.getAttribute("aria-label")!.replace(/, (being )?measured$/, ""));
    }
  }

  /** @param words other than the recorded ones */
  show(index: number, words?: string): void {
    const { prompt, jointState } = this.#model!.episodes[index];
    this.#prompt.value = words ?? prompt;
    // A policy that only sees listens to no words.
    this.#prompt.disabled = this.#model!.plan !== undefined;
    const radio = this.#tiles.querySelector<HTMLInputElement>(`input[value="${index}"]`);
    if (radio) radio.checked = true;
    const state = Array.from(jointState.subarray(0, 8), (value) => value.toFixed(2)).join(", ");
    byId("state").textContent = `Robot state now: ${state}${jointState.length > 8 ? ", …" : ""}`;
  }

  /** The words in the field where they are not those recorded with the episode. */
  editedPrompt(index: number): string | undefined {
    const text = this.#prompt.value.trim();
    return text === this.#model?.episodes[index].prompt ? undefined : text;
  }
}
