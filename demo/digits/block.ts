/** One of the two sides: pictures by one rule, a canvas each, and what was measured of such pictures. */
import { make } from "../dom.ts";
import { type Figures, figuresOf, percent, rounded } from "./figures.ts";
import type { DrawnView, RuleView } from "./protocol.ts";

const TITLES = {
  average: ["MeanFlow", "average velocity"],
  instant: ["Euler", "instantaneous velocity"],
} as const;

interface Pictures {
  readonly count: number;
  readonly columns: number;
  /** (C, H, W) */
  readonly shape: readonly [number, number, number];
  /** what they are, for those who do not see them */
  readonly words: string;
}

export class Block {
  readonly element: HTMLElement;
  readonly #grid = make("div", { className: "pictures" });
  readonly #step = make("output", {});
  readonly #figures = make("dl", { className: "figures" });
  readonly #refused = make("p", { className: "quiet", hidden: true });
  readonly #title: string;
  #canvases: readonly HTMLCanvasElement[] = [];
  #pictures: Pictures | undefined;

  constructor(rule: RuleView["name"]) {
    const [title, words] = TITLES[rule];
    this.#title = title;
    this.#grid.setAttribute("role", "img");
    this.element = make(
      "figure",
      { className: `side ${rule}` },
      make(
        "figcaption",
        {},
        make("b", { textContent: title }),
        make("small", { textContent: words }),
        this.#step,
      ),
      this.#grid,
      this.#refused,
      this.#figures,
    );
  }

  /** @param why no picture comes out by this rule; undefined: they do */
  refuse(why: string | undefined): void {
    this.#refused.hidden = why === undefined;
    this.#grid.hidden = this.#step.hidden = why !== undefined;
    this.#refused.textContent = why ?? "";
  }

  /** Makes room. Pictures of before stay until others come, where they are as many. */
  begin(pictures: Pictures): void {
    const before = this.#pictures;
    const [, H, W] = pictures.shape;
    this.#pictures = pictures;
    this.#step.textContent = "drawing…";
    this.#grid.style.setProperty("--columns", String(pictures.columns));
    this.#grid.style.setProperty("--pixels", String(W));
    this.#grid.setAttribute("aria-label", `${pictures.words} by ${this.#title}`);
    if (before?.count === pictures.count && String(before.shape) === String(pictures.shape)) return;
    this.#canvases = Array.from({ length: pictures.count }, () => make("canvas", { width: W, height: H }));
    this.#grid.replaceChildren(...this.#canvases);
  }

  paint({ step, steps, bytes }: DrawnView): void {
    const { shape, words } = this.#pictures!;
    const [C, H, W] = shape;
    const area = H * W;
    this.#step.textContent = step === 0 ? "noise" : `call ${step} of ${steps}`;
    this.#grid.setAttribute("aria-label", `${words} by ${this.#title} after ${step} of ${steps} calls`);
    this.#canvases.forEach((canvas, b) => {
      const image = new ImageData(W, H);
      for (let i = 0; i < area; i++) {
        for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[(b * C + (c % C)) * area + i];
        image.data[4 * i + 3] = 255;
      }
      canvas.getContext("2d")!.putImageData(image, 0, 0);
    });
  }

  /** @param all undefined: nothing is known of these pictures */
  figures(all: Figures | undefined, calls: number): void {
    const rule = this.element.classList.contains("average") ? "average" : "instant";
    this.#figures.hidden = all === undefined;
    if (!all) return;
    const { frechet_pca20, within_class_variance_ratio, accuracy } = figuresOf(all, rule, calls);
    const facts = [
      ["distance from real digits", rounded(frechet_pca20)],
      ["variety within a class", percent(within_class_variance_ratio)],
      ["a classifier agrees", percent(accuracy)],
    ];
    this.#figures.replaceChildren(
      ...facts.map(([term, value]) =>
        make("div", {}, make("dt", { textContent: term }), make("dd", { textContent: value })),
      ),
    );
  }
}
