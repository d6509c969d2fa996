/**
 * Sampling with a callback at every state: the library's face of the loop (sample.ts) for whoever wants to look at a flow on the way
 * and say when it is enough.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Denoiser } from "./denoiser.ts";
import { sample } from "./sample.ts";
import type { Scheduler } from "./scheduler.ts";
import { euler } from "./schedulers.ts";

/** What the callback sees at a state; tensors stay on the GPU and are overwritten by the next step. */
export interface FlowState {
  /** k, from 0 to `steps` */
  readonly step: number;
  readonly steps: number;
  readonly time: number;
  /** absent at the last state */
  readonly nextTime?: number;
  readonly latents: Tensor;
  readonly tapped: readonly Tensor[];
}

/** Returning false stops the loop. */
export type FlowCallback = (state: FlowState) => void | boolean | Promise<void | boolean>;

export interface FlowOptions {
  /** times of the states, first to last; see `videoGrid` */
  readonly grid: readonly number[];
  /** default Euler's */
  readonly solver?: (times: readonly number[]) => Scheduler;
  readonly onStep?: FlowCallback;
  readonly signal?: AbortSignal;
  /** whether the last state is evaluated too, for its hidden states; default true */
  readonly tapLast?: boolean;
}

/**
 * Moves `latents` in place along the grid. A grid of one time only evaluates there.
 * @returns the number of steps taken: fewer than asked when the callback stopped it
 * @throws the signal's reason when it is aborted; UsageError for a grid that turns back
 */
export async function sampleFlow(
  gpu: Gpu,
  model: Denoiser,
  latents: Tensor,
  options: FlowOptions,
): Promise<number> {
  const { grid, solver = euler, onStep, signal, tapLast = true } = options;
  const scheduler = solver(grid);
  for await (const state of sample(gpu, model, latents, { scheduler, signal })) {
    const { step, steps } = state;
    if (step === steps && !tapLast) break;
    if ((await onStep?.({ ...state, tapped: await state.tapped() })) === false) return step;
  }
  return grid.length - 1;
}
