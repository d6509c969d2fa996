/** From a state of a trajectory to where it would end: what can be read of a sample before it is finished. */
import { record, type Replay } from "../../gpu/recording.ts";
import { combine } from "../../kernels/combine.ts";
import type { Denoiser } from "../../sampling/denoiser.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";
import { meanFlowDenoiser } from "./denoiser.ts";
import type { MeanFlowModel, Rule } from "./model.ts";

/** The sample that one more call would jump to: by the average velocity over the rest, or along the instantaneous one. */
export class Jump {
  readonly #model: MeanFlowModel;
  readonly #rule: Rule;
  readonly #denoiser: Denoiser;
  /** of state and velocity */
  readonly #coefficients: Tensor;
  #replay: Replay<Tensor> | undefined;

  constructor(model: MeanFlowModel, rule: Rule, copies: number, labels: readonly number[] | undefined) {
    this.#model = model;
    this.#rule = rule;
    this.#denoiser = meanFlowDenoiser(model.gpu, model.network, copies, model.conditions(copies, { labels }));
    this.#coefficients = createTensor(model.gpu, [2], undefined, "jump");
  }

  /** x (V, …state) at own time `now` → the same shape; valid until the next. */
  async from(x: Tensor, now: number, end: number): Promise<Tensor> {
    const { gpu } = this.#model;
    const replay = (this.#replay ??= await record(gpu, "one jump", () =>
      combine([x, this.#denoiser.evaluate(x, "all").output!], this.#coefficients),
    ));
    this.#denoiser.setCall(this.#rule === "average" ? { at: now, until: end } : { at: now });
    writeTensor(gpu, this.#coefficients, Float32Array.of(1, end - now));
    await replay.run();
    return replay.outputs;
  }

  dispose(): void {
    this.#replay?.dispose();
    this.#denoiser.dispose?.();
    releaseTensor(this.#model.gpu, this.#coefficients);
  }
}
