/**
 * Sampling along a flow, with a callback at every state. Step k stands before the state after k steps, at time
 * grid[k]: the model is evaluated there, which gives the velocity of the next step and the hidden states tapped for
 * this one, so a trajectory yields the features of every step and only the last state needs an evaluation of its own.
 *
 * Everything is recorded before the first step; a step only replays.
 */
import { type Replay, record } from "../gpu/recording.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assign } from "../kernels/copy.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../tensor/tensor.ts";
import { checkGrid } from "./grid.ts";
import { euler, type Solver } from "./solver.ts";

/** A velocity field that a sampler can follow. */
export interface FlowModel {
  /**
   * Records one evaluation at the state x. `slot` says which times it is for, see `setTime`; the velocity is omitted
   * where only the tapped hidden states are wanted.
   */
  evaluate(x: Tensor, slot: number, wantVelocity: boolean): { velocity?: Tensor; tapped: readonly Tensor[] };
  /** Writes what depends on the time of one slot; called between replays. */
  setTime(slot: number, time: number): void;
}

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
  readonly solver?: Solver;
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
  model: FlowModel,
  latents: Tensor,
  options: FlowOptions,
): Promise<number> {
  const { grid, solver = euler, onStep, signal, tapLast = true } = options;
  const steps = grid.length - 1;
  if (steps > 0) checkGrid(grid);
  const dt = createTensor(gpu, [1], undefined, "step length");
  const replays: Replay[] = [];
  const keep = async <T>(label: string, body: () => T): Promise<Replay<T>> => {
    const replay = await record(gpu, label, body);
    replays.push(replay);
    return replay;
  };
  try {
    const look =
      steps > 0 ? await keep("evaluate the flow", () => model.evaluate(latents, 0, true)) : undefined;
    const move =
      look &&
      (await keep("advance the flow", () => {
        const further = (x: Tensor, i: number): Tensor => model.evaluate(x, i + 1, true).velocity!;
        assign(latents, solver.advance(latents, look.outputs.velocity!, dt, further));
      }));
    const lastLook = tapLast
      ? await keep("evaluate the end of the flow", () => model.evaluate(latents, 0, false))
      : undefined;

    for (let step = 0; step <= steps; step++) {
      signal?.throwIfAborted();
      const current = step < steps ? look : lastLook;
      if (!current) return step;
      const [time, nextTime] = [grid[step], grid[step + 1]] as [number, number | undefined];
      model.setTime(0, time);
      await current.run();
      const { tapped } = current.outputs;
      if ((await onStep?.({ step, steps, time, nextTime, latents, tapped })) === false) return step;
      if (nextTime === undefined) return step;
      writeTensor(gpu, dt, Float32Array.of(nextTime - time));
      solver.further.forEach((fraction, i) => model.setTime(i + 1, time + fraction * (nextTime - time)));
      await move!.run();
    }
    return steps;
  } finally {
    for (const replay of replays) replay.dispose();
    releaseTensor(gpu, dt);
  }
}
