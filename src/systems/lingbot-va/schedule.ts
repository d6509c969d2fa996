/**
 * LingBot-VA's times, in the release's float32: σ from 1 down in equal steps, bent by a shift s, and a last 0.
 *
 *   σ_j ← s·σ / (1 + (s − 1)·σ),  σ = 1 − j/N,  j = 0 … N − 1;  σ_N = 0;  the network is told t = 1000·σ
 *
 * Which calls of the video are made is the policy's `video_exec_step`. All of them: N steps, and a call at t = 0 that only leaves keys and
 * values. The first e: e steps, and what is left is of the state before the last of them. A call at t = 0 that is one of the first e makes
 * a step too, and as the release looks for the nearest time that has one, it is the last step's once more.
 */
import { UsageError } from "../../errors.ts";
import { linspace } from "../../sampling/grid.ts";
import type { Scheduler } from "../../sampling/scheduler.ts";

const f32 = Math.fround;

export interface Schedule {
  /** N of them, without the last 0 */
  readonly sigmas: readonly number[];
  /** N + 1, the last 0: what the network is told at every call */
  readonly timesteps: readonly number[];
  /** N + 1: what a call's velocity is multiplied with and added; of the last call, where it makes a step at all */
  readonly increments: readonly number[];
}

/** @throws UsageError unless `steps` is a positive whole number and the shift positive */
export function scheduleOf(steps: number, shift: number): Schedule {
  if (!(shift > 0)) throw new UsageError(`a schedule's shift is ${shift}; it must be positive`);
  // Numbers meet float32 tensors as float32.
  const [by, more] = [f32(shift), f32(shift - 1)];
  const sigmas = linspace(1, 0, steps)
    .slice(0, steps)
    .map((sigma) => f32(f32(by * sigma) / f32(1 + f32(more * sigma))));
  const increments = sigmas.map((sigma, j) => f32((sigmas[j + 1] ?? 0) - sigma));
  return {
    sigmas,
    timesteps: [...sigmas.map((sigma) => f32(sigma * 1000)), 0],
    increments: [...increments, increments[steps - 1]],
  };
}

/** What `video_exec_step` comes to. */
export interface VideoCalls {
  /** how many of the N + 1 calls are made, the first ones */
  readonly calls: number;
  /** steps of the state: one for each call, but for that at t = 0 of the whole loop */
  readonly steps: number;
}

/** @param exec −1: all; e: the first e; other negative numbers leave out as many at the end, as a slice in Python does */
export function videoCalls(exec: number, steps: number): VideoCalls {
  if (!Number.isInteger(exec)) throw new UsageError(`video_exec_step is ${exec}, expected a whole number`);
  if (exec === -1) return { calls: steps + 1, steps };
  const calls = exec < 0 ? Math.max(0, steps + 1 + exec) : Math.min(exec, steps + 1);
  return { calls, steps: calls };
}

/**
 * The schedule as a sampler follows it; times of states are σ.
 * @param last whether a step is made behind the last call too
 */
export function schedulerOf({ sigmas, timesteps, increments }: Schedule, last = false): Scheduler {
  const times = [...sigmas, 0, ...(last ? [0] : [])];
  return {
    ...{ name: "euler", times, states: times.map((_, k) => k), history: { of: "f", length: 0 } },
    call: (i) => ({ at: timesteps[Math.min(i, sigmas.length)] }),
    step: (i) => ({ predict: { x: 1, f: increments[i] } }),
  };
}
