/**
 * One step of an ordinary differential equation dx/dτ = v(x, τ). A solver is a value: where inside a step it evaluates
 * the velocity, and how it records the new state. The velocity at the beginning of the step is always given: it comes
 * from the evaluation whose hidden states are tapped.
 */
import { add, affine, multiply } from "../kernels/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface Solver {
  readonly name: string;
  /** further evaluations, as fractions of the step (0 is its beginning, 1 its end) */
  readonly further: readonly number[];
  /**
   * Records the state after the step. `dt` (1) is the signed length of the step; `velocity(x, i)` records evaluation
   * `further[i]` at state x.
   */
  advance(x: Tensor, first: Tensor, dt: Tensor, velocity: (x: Tensor, i: number) => Tensor): Tensor;
}

const along = (x: Tensor, dt: Tensor, v: Tensor): Tensor => add(x, multiply(v, dt));

/** x + dt·v(x, τ): the reference's solver */
export const euler: Solver = {
  name: "euler",
  further: [],
  advance: (x, first, dt) => along(x, dt, first),
};

/** Euler to the middle, then the whole step with the velocity found there */
export const midpoint: Solver = {
  name: "midpoint",
  further: [0.5],
  advance: (x, first, dt, velocity) => {
    const half = along(x, affine(dt, 0.5), first);
    return along(x, dt, velocity(half, 0));
  },
};

/** the mean of the velocities at both ends of an Euler step */
export const heun: Solver = {
  name: "heun",
  further: [1],
  advance: (x, first, dt, velocity) => {
    const last = velocity(along(x, dt, first), 0);
    return along(x, dt, affine(add(first, last), 0.5));
  },
};

export const SOLVERS: Readonly<Record<string, Solver>> = { euler, midpoint, heun };
