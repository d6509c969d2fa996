/** The small plot beside the pictures. */
import { make } from "../dom.ts";
import { distancesInWords, drawDistances, VIEW_BOX } from "./distances.ts";
import type { Figures } from "./figures.ts";

const SVG = "http://www.w3.org/2000/svg";

export class DistancePlot {
  readonly element: HTMLElement;
  readonly #svg = document.createElementNS(SVG, "svg");
  readonly #about = make("small", {});

  constructor() {
    this.#svg.setAttribute("viewBox", VIEW_BOX);
    this.#svg.setAttribute("role", "img");
    const title = make("b", { textContent: "Distance from real digits" });
    this.element = make(
      "figure",
      { className: "distances" },
      make("figcaption", {}, title, this.#about),
      this.#svg,
    );
  }

  show(figures: Figures, calls: number): void {
    this.#about.textContent = `Fréchet, of 1000 samples from ${figures.heldout_images} held-out images`;
    this.#svg.setAttribute("aria-label", distancesInWords(figures));
    this.#svg.innerHTML = drawDistances(figures, calls);
  }
}
