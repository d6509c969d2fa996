/** The imagined futures of the probed steps side by side; a tile is a button that selects its step. */
import { make, paintFrame, prefersStill } from "./dom.ts";
import type { StateView } from "./protocol.ts";

/** Tiles that stand side by side in full width. */
const MOST = 8;

interface Tile {
  readonly button: HTMLButtonElement;
  readonly canvas: HTMLCanvasElement;
}

export class Strip {
  readonly #list: HTMLElement;
  readonly #onSelect: (index: number) => void;
  #tiles: Tile[] = [];
  #painted = "";
  #inView = 0;

  constructor(list: HTMLElement, onSelect: (index: number) => void) {
    this.#list = list;
    this.#onSelect = onSelect;
  }

  /**
   * Empty tiles for the steps that will be probed, so that nothing moves when they arrive.
   * @param pictures whether there will be frames to show; without them a tile is its words
   */
  reset(steps: readonly number[], videoSteps: number, pictures: boolean): void {
    this.#painted = "";
    this.#inView = -1;
    this.#list.style.setProperty("--tiles", String(steps.length));
    this.#list.style.setProperty("--fit", String(Math.max(MOST, steps.length)));
    // Two or three at both ends of a row would look lost.
    this.#list.classList.toggle("few", steps.length <= MOST / 2);
    this.#tiles = steps.map((step, index) => {
      const canvas = make("canvas", { width: 1, height: 1 });
      const tau = make("small", { textContent: `τ = ${Number((1 - step / videoSteps).toFixed(3))}` });
      const content = pictures ? [canvas, `step ${step}`, tau] : [`step ${step}`];
      const button = make("button", { type: "button", disabled: true }, ...content);
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => this.#onSelect(index));
      return { button, canvas };
    });
    this.#list.replaceChildren(...this.#tiles.map(({ button }) => make("li", {}, button)));
  }

  /** @param future frame of the imagined future that is shown now */
  paint(
    states: readonly (StateView | undefined)[],
    selected: number,
    future: number,
    size: readonly [number, number],
  ): void {
    const key = [future, selected, ...states.map((s) => (s ? `${s.episode}/${s.step}` : "-"))].join();
    if (key === this.#painted) return;
    this.#painted = key;
    this.#tiles.forEach(({ button, canvas }, i) => {
      const state = states[i];
      button.disabled = !state;
      button.setAttribute("aria-pressed", String(i === selected && state !== undefined));
      if (state && state.frames.length > 0) paintFrame(canvas, state.frames, future, size);
      else canvas.width = 1;
    });
    if (selected !== this.#inView) this.#bringIntoView(selected);
  }

  /** Where the tiles have no room side by side they scroll, without the page around them. */
  #bringIntoView(selected: number): void {
    this.#inView = selected;
    const { clientWidth, scrollWidth } = this.#list;
    if (scrollWidth <= clientWidth) return;
    const { offsetLeft, offsetWidth } = this.#tiles[selected].button;
    const left = offsetLeft - this.#list.offsetLeft - (clientWidth - offsetWidth) / 2;
    this.#list.scrollTo({ left, behavior: prefersStill() ? "auto" : "smooth" });
  }
}
