/**
 * LingBot-VA's actions as what a sampler follows. Channels that are no actions, and in the first chunk the actions of the frame that is seen,
 * are zero and stay so.
 *
 * Axes: B items, F frames of a chunk, n actions of a frame, A numbers of an action token.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { concat, slice } from "../../kernels/copy.ts";
import { axpy, multiply, subtract } from "../../kernels/elementwise.ts";
import type { Workspace } from "../../networks/lingbot/cache.ts";
import type { TextContext } from "../../networks/lingbot/transformer.ts";
import type { Denoiser, Evaluation } from "../../sampling/denoiser.ts";
import type { Call } from "../../sampling/scheduler.ts";
import { constant, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import type { LingbotModel } from "./model.ts";

export interface ActionDenoiserOptions {
  /** what B items see, of each branch one behind the other */
  readonly workspace: Workspace;
  readonly text: TextContext;
  readonly start: number;
}

/** Items of an action call for each item of the state: two where actions are guided. */
export const actionBranches = ({ config }: LingbotModel): 1 | 2 => (config.action.guidance > 1 ? 2 : 1);

/** Which numbers of a chunk's actions are denoised, (F·n, A): 1 or 0. */
export function movingActions(
  { actionShape, config }: LingbotModel,
  start: number,
): Float32Array<ArrayBuffer> {
  const [A, F, n] = actionShape;
  const used = new Set(config.usedChannels);
  return Float32Array.from({ length: F * n * A }, (_, i) => {
    const frame = Math.floor(i / (n * A));
    return used.has(i % A) && !(start === 0 && frame === 0) ? 1 : 0;
  });
}

/** Free it with `dispose`; workspace and text stay the caller's. */
export class ActionDenoiser implements Denoiser {
  readonly #gpu: Gpu;
  readonly #model: LingbotModel;
  readonly #options: ActionDenoiserOptions;
  readonly #times: Tensor;

  constructor(model: LingbotModel, options: ActionDenoiserOptions) {
    this.#gpu = model.gpu;
    this.#model = model;
    this.#options = options;
    this.#times = model.createTimes();
  }

  /** x (B, F·n, A) → its velocity, which is the tap too. */
  evaluate(x: Tensor): Evaluation {
    const { workspace, text, start } = this.#options;
    const model = this.#model;
    const { guidance } = model.config.action;
    const B = x.dim(0);
    const two = actionBranches(model) === 2;
    const velocities = model.actionVelocity(two ? concat([x, x], 0) : x, {
      ...{ text, workspace, start, times: this.#times, cleanFrames: start === 0 ? 1 : 0 },
    });
    const prompt = two ? slice(velocities, 0, 0, B) : velocities;
    const empty = two ? slice(velocities, 0, B, 2 * B) : prompt;
    const guided = two ? axpy(empty, guidance, subtract(prompt, empty)) : prompt;
    const moving = movingActions(model, start);
    const output = multiply(guided, constant([moving.length], moving, "actions that move"));
    return { output, tapped: [output] };
  }

  setCall({ at }: Call): void {
    this.#model.writeTime(this.#times, at);
  }

  dispose(): void {
    releaseTensor(this.#gpu, this.#times);
  }
}
