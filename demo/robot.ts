/** A robot that acts at the chosen depth: the film of the toy's world, as it is made. */
import { byId, paintFrame, prefersStill } from "./dom.ts";
import type { ActView, ActWish } from "./protocol.ts";

/** Milliseconds a picture is shown. */
const PACE = 160;

export class Robot {
  readonly #canvas = byId<HTMLCanvasElement>("robot");
  readonly #button = byId<HTMLButtonElement>("robot-go");
  readonly #depth = byId<HTMLInputElement>("robot-depth");
  readonly #words = byId("robot-words");
  readonly #shown: { view: ActView; frame: number }[] = [];
  #scene = 0;
  #acting = false;

  /** @param start asks for a film. @param stop ends the one that is being made */
  constructor(start: (wish: ActWish) => void, stop: () => void) {
    const showDepth = (): void => void (byId("robot-depth-value").textContent = this.#depth.value);
    this.#depth.addEventListener("input", showDepth);
    showDepth();
    this.#button.addEventListener("click", () => {
      if (this.#acting) return stop();
      this.#acting = true;
      this.#button.textContent = "Stop";
      this.#words.textContent = "It looks…";
      this.#shown.length = 0;
      start({ stop: Number(this.#depth.value), scene: this.#scene++ });
    });
    setInterval(() => this.#tick(), PACE);
  }

  get acting(): boolean {
    return this.#acting;
  }

  set enabled(enabled: boolean) {
    this.#button.disabled = !enabled;
  }

  /** A chunk was carried out. */
  show(view: ActView): void {
    const count = view.frames.length / (4 * view.size[0] * view.size[1]);
    // Without motion the place it has reached is enough.
    const first = prefersStill() ? count - 1 : 0;
    for (let frame = first; frame < count; frame++) this.#shown.push({ view, frame });
  }

  /** The film is over, or was stopped. */
  end(): void {
    this.#acting = false;
    this.#button.textContent = "Start";
  }

  #tick(): void {
    const next = this.#shown.shift();
    if (!next) return;
    const { view, frame } = next;
    paintFrame(this.#canvas, view.frames, frame, view.size);
    const { prompt, query, queries, success, distance } = view;
    const far = success ? "it is where it was to go" : `${distance.toFixed(2)} of the table to go`;
    this.#words.textContent = `“${prompt}” · look ${query} of ${queries} · ${far}`;
  }
}
