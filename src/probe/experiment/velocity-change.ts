/**
 * How much the way of a trajectory turns between probed steps. From the state x_j at time τ_j to the next probed one the mean velocity is
 *
 *   u_k = (x_k − x_j) / (τ_k − τ_j)
 *
 * and what is kept is ‖u_k − u_j‖ / ‖u_k‖, on latents that are scaled to lie on (1 − τ)·clean + τ·noise (`State.scale`), so that a straight flow has 0.
 * What the network says at single steps between them is not seen.
 *
 * Axes: K probed steps, V trajectories.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { changes } from "../../kernels/changes.ts";
import { combine } from "../../kernels/combine.ts";
import { assign, concat } from "../../kernels/copy.ts";
import {
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  type Tensor,
  writeTensor,
} from "../../tensor/tensor.ts";
import type { State } from "../subject.ts";

/** Records once for one shape of latents; free it with `release`. */
export class VelocityChange {
  readonly #gpu: Gpu;
  readonly #here: Tensor;
  readonly #before: Tensor;
  readonly #velocity: Tensor;
  /** (2): of the state and of the one before */
  readonly #coefficients: Tensor;
  /** (K, V, 2) */
  readonly #found: Tensor;
  #turn!: Replay<Tensor>;
  /** time and scale of the state before */
  #last: { readonly time: number; readonly scale: number } | undefined;
  readonly #isKnown: boolean[];

  private constructor(gpu: Gpu, latents: Tensor, steps: number) {
    const like = (label: string): Tensor => createTensor(gpu, latents.shape, undefined, label);
    this.#gpu = gpu;
    [this.#here, this.#before, this.#velocity] = [
      like("state"),
      like("state before"),
      like("velocity before"),
    ];
    this.#coefficients = createTensor(gpu, [2], undefined, "velocity coefficients");
    this.#found = createTensor(gpu, [steps, latents.dim(0), 2], undefined, "velocity changes");
    this.#isKnown = new Array<boolean>(steps).fill(false);
  }

  /** @param latents of a state, (V, …) */
  static async create(gpu: Gpu, latents: Tensor, steps: number): Promise<VelocityChange> {
    const made = new VelocityChange(gpu, latents, steps);
    const V = latents.dim(0);
    made.#turn = await record(gpu, "turn of the velocity", () => {
      const velocity = combine([made.#here, made.#before], made.#coefficients);
      const found = changes(concat([made.#velocity, velocity], 0).reshape(2, V, latents.size / V));
      assign(made.#velocity, velocity);
      assign(made.#before, made.#here);
      return found;
    });
    return made;
  }

  /** The state at the k-th probed step. */
  async take(
    k: number,
    { latents, time, scale = 1 }: Pick<State, "latents" | "time" | "scale">,
  ): Promise<void> {
    const gpu = this.#gpu;
    const last = k === 0 ? undefined : this.#last;
    this.#last = { time, scale };
    const span = last ? time - last.time : 0;
    this.#isKnown[k] = k > 1 && span !== 0;
    copyTensor(gpu, latents, this.#here);
    if (!last || span === 0) return copyTensor(gpu, latents, this.#before);
    writeTensor(gpu, this.#coefficients, Float32Array.of(scale / span, -last.scale / span));
    await this.#turn.run();
    const each = this.#found.size / this.#found.dim(0);
    copyTensor(gpu, this.#turn.outputs, this.#found, { from: each, to: k * each, count: each });
  }

  /** (V, K); infinite where nothing is known. */
  async finish(): Promise<Float32Array> {
    const [K, V] = this.#found.shape;
    const numbers = await readTensor(this.#gpu, this.#found);
    return Float32Array.from({ length: V * K }, (_, i) => {
      const [v, k] = [Math.floor(i / K), i % K];
      const [change, own] = numbers.subarray(2 * (k * V + v));
      return this.#isKnown[k] && own > 0 ? Math.sqrt(change / own) : Infinity;
    });
  }

  release(): void {
    this.#turn.dispose();
    for (const x of [this.#here, this.#before, this.#velocity, this.#coefficients, this.#found])
      releaseTensor(this.#gpu, x);
  }
}
