/** What is kept along a trajectory besides its read-outs: how alike its taps are, and how it turns. */
import type { Subject, State, Tap } from "../subject.ts";
import type { EpisodeMeasurement } from "./measurement.ts";
import { TapComparison } from "./tap-comparison.ts";
import { VelocityChange } from "./velocity-change.ts";

/** Of a batch, (V, …) each; see `EpisodeMeasurement`. */
export type Kept = Pick<EpisodeMeasurement, "tapSample" | (typeof ALONG)[number]>;

/** What has a place for each trajectory. */
export const ALONG = [
  ...(["tapCosine", "tapCosineNull", "tapCka", "tapCkaNull", "tapDrift", "velocityChange"] as const),
  ...(["flowResidual", "flowSpeed", "flowBend"] as const),
] as const;

const shapesOf = (tap: Tap): string => tap.map(({ shape }) => shape.join("×")).join();

/** Of batches of one size; recordings are kept as long as taps and states have the shapes of those before. */
export class Along {
  readonly #gpu: Subject["gpu"];
  readonly #steps: number;
  readonly #most: number;
  #shapes: string | undefined;
  #taps: TapComparison | undefined;
  #velocity: VelocityChange | undefined;
  #comparable = true;

  /**
   * @param steps K
   * @param most trajectories in any batch of the run
   */
  constructor({ gpu }: Pick<Subject, "gpu">, steps: number, most: number) {
    this.#gpu = gpu;
    this.#steps = steps;
    this.#most = most;
  }

  /** What stands at the k-th probed step of V trajectories. */
  async take(k: number, state: State, tap: Tap, copies: number): Promise<void> {
    const shapes = `${shapesOf([state.latents])} ${shapesOf(tap)}`;
    if (k === 0) {
      this.#comparable = true;
      if (shapes !== this.#shapes) await this.#record(state, tap, copies);
      this.#shapes = shapes;
    }
    // Taps whose shape changes on the way have no tokens in common.
    this.#comparable &&= shapes === this.#shapes;
    if (!this.#comparable) return;
    this.#taps?.take(k, tap);
    await this.#velocity?.take(k, state);
  }

  /** What was found, once the last step has been taken. */
  async finish(): Promise<Kept> {
    if (!this.#comparable) return {};
    const taps = await this.#taps?.finish();
    const velocityChange = await this.#velocity?.finish();
    return {
      ...(taps && {
        ...{
          tapCosine: taps.cosine,
          tapCosineNull: taps.cosineNull,
          tapCka: taps.cka,
          tapCkaNull: taps.ckaNull,
        },
        ...{ tapDrift: taps.drift, tapSample: taps.sample },
      }),
      ...(velocityChange && { velocityChange }),
    };
  }

  release(): void {
    this.#taps?.release();
    this.#velocity?.release();
    this.#taps = this.#velocity = undefined;
    this.#shapes = undefined;
  }

  async #record({ latents }: State, tap: Tap, copies: number): Promise<void> {
    this.release();
    if (TapComparison.canCompare(tap, copies))
      this.#taps = await TapComparison.create(this.#gpu, tap, this.#steps, this.#most);
    if (latents.shape[0] === copies && latents.dtype === "f32")
      this.#velocity = await VelocityChange.create(this.#gpu, latents, this.#steps);
  }
}
