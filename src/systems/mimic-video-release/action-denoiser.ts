/**
 * The World2Action decoder as what a sampler follows. The state is the interpolant x = (1 − t)·x₀ + t·ε; only what the network sees
 * of it is scaled to unit variance.
 *
 * Axes: B batch, HA actions of width A.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { slice } from "../../kernels/copy.ts";
import { OBSERVATION_TOKENS } from "../../networks/world2action/config.ts";
import type { ActionContext, World2ActionDecoder } from "../../networks/world2action/decoder.ts";
import { stepTimes, type TimeTable } from "../../networks/world2action/times.ts";
import type { Denoiser, Evaluation } from "../../sampling/denoiser.ts";
import type { Call, Scheduler } from "../../sampling/scheduler.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const f32 = Math.fround;

/** Steps of the released sampler. */
export const ACTION_STEPS = 10;

/**
 * Euler from noise, t = 1, to clean, t = 0, in equal steps. Like the release it keeps t in float32 from step to step, so that its last time
 * is not quite 0; a time one unit off can turn a rounding of the sinusoids.
 */
export function actionScheduler(steps: number = ACTION_STEPS): Scheduler {
  const delta = 1 / steps;
  const times = [1];
  for (let k = 0; k < steps; k++) times.push(f32(times[k] - delta));
  return {
    ...{ name: "euler", times, states: times.map((_, k) => k), history: { of: "f", length: 0 } },
    call: (i) => ({ at: times[i] }),
    input: (i) => 1 / Math.hypot(1 - times[i], times[i]),
    clean: (i) => ({ x: 1, f: -times[i] }),
    step: () => ({ predict: { x: 1, f: -delta } }),
  };
}

export interface ActionDenoiserOptions {
  /** (B, 1, J), normalised */
  readonly state: Tensor;
  /** kept from before, or recorded anew in every evaluation */
  readonly context: ActionContext | (() => ActionContext);
  /** (B) video times σ/(1 + σ) */
  readonly videoTimes: readonly number[];
}

/** Free it with `dispose`; the state and the context stay the caller's. */
export class ActionDenoiser implements Denoiser {
  readonly #decoder: World2ActionDecoder;
  readonly #options: ActionDenoiserOptions;
  readonly #times: TimeTable;

  constructor(gpu: Gpu, decoder: World2ActionDecoder, options: ActionDenoiserOptions) {
    this.#decoder = decoder;
    this.#options = options;
    this.#times = decoder.createTimes(gpu, options.state.dim(0));
  }

  /** Records: scaled actions (B, HA, A) → their velocity, which is the tap too. */
  evaluate(actions: Tensor): Evaluation {
    const { state, context: given } = this.#options;
    const context = typeof given === "function" ? given() : given;
    const velocity = this.#decoder.forward({ state, actions, times: this.#times, context }); // (B, 1 + HA, A)
    const output = slice(velocity, 1, OBSERVATION_TOKENS, velocity.dim(1));
    return { output, tapped: [output] };
  }

  setCall({ at }: Call): void {
    const { videoTimes } = this.#options;
    const { tokens } = this.#decoder.config;
    const action = videoTimes.map(() => at);
    this.#times.write(stepTimes(action, videoTimes, OBSERVATION_TOKENS, tokens));
  }

  dispose(): void {
    this.#times.release();
  }
}
