/** The playhead: which frame is shown, on the big picture and in the strip at once. */
import { prefersStill } from "./dom.ts";

const FRAMES_PER_SECOND = 7;
/** Frames the last picture stays before the loop begins again. */
const REST = 6;

export class Clock {
  /** frame now shown, 0 to `length` − 1 */
  frame = 0;
  #length = 1;
  #playing = !prefersStill();
  #started = performance.now();
  readonly #onTick: (now: number) => void;

  /** @param onTick called before every paint */
  constructor(onTick: (now: number) => void) {
    this.#onTick = onTick;
    const tick = (now: number): void => {
      if (this.#playing) {
        const at = Math.floor(((now - this.#started) / 1000) * FRAMES_PER_SECOND) % (this.#length + REST);
        this.frame = Math.min(Math.max(at, 0), this.#length - 1);
      }
      this.#onTick(now);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  get playing(): boolean {
    return this.#playing;
  }

  /** Frames in the loop. A still clock shows the last of them. */
  set length(frames: number) {
    if (frames === this.#length) return;
    this.#length = frames;
    if (!this.#playing) this.frame = frames - 1;
  }

  toggle(): void {
    this.#playing = !this.#playing;
    this.#started = performance.now() - (this.frame / FRAMES_PER_SECOND) * 1000;
  }

  restart(): void {
    this.#started = performance.now();
    if (this.#playing) this.frame = 0;
  }
}
