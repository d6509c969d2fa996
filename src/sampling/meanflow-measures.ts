/**
 * What a network of the average velocity is measured by, in float64 on the host: the states and velocities of its training, the identity that u, v
 * and du obey, its residual, and the loss. Rows are items: B of them, a batch's values behind one another.
 *
 *   state at t   u = v − (t − r)·du, du along (v, 0, 1)        state at r   u = v + (t − r)·du, du along (v, 1, 0)
 *
 * from (t − r)·u = ∫ v over the interval, differentiated by the time of the state (Geng et al. 2025, equation 6, and its mirror). Nothing here learns:
 * gradients are not needed.
 */
import { UsageError } from "../errors.ts";
import type { StateTime } from "./meanflow.ts";

/** Values of B items, float32 or float64. */
export type Values = ArrayLike<number>;

/** r and t of B items. */
export interface Intervals {
  readonly r: Values;
  readonly t: Values;
}

/**
 * What the times mean. With the state at t time 1 is noise, with the state at r time 0 is; the loss of kylevedder/DenoisingZoo has noise at 0 and the state
 * at t, which is neither (meanflow.ts).
 */
export interface Convention {
  readonly stateTime: StateTime;
  readonly noiseAt: 0 | 1;
}

/** The convention in which sampling is done. */
export const ownConvention = (stateTime: StateTime): Convention => ({
  stateTime,
  noiseAt: stateTime === "t" ? 1 : 0,
});

/** The times of the states, B of them. */
export const stateTimes = ({ r, t }: Intervals, stateTime: StateTime): number[] =>
  Array.from(stateTime === "t" ? t : r);

/** How fast r and t move along the path of the state: (ṙ, ṫ), B each. */
export function ratesAlong(
  stateTime: StateTime,
  batch: number,
): { readonly r: number[]; readonly t: number[] } {
  const all = (rate: number): number[] => new Array<number>(batch).fill(rate);
  return stateTime === "t" ? { r: all(0), t: all(1) } : { r: all(1), t: all(0) };
}

/** Values of an item. @throws UsageError unless all are values of `batch` items of one size */
function rowSize(batch: number, ...all: readonly Values[]): number {
  const size = all[0].length / batch;
  if (!Number.isInteger(size) || all.some(({ length }) => length !== all[0].length))
    throw new UsageError(
      `${all.map(({ length }) => length).join(" and ")} values for ${batch} items; as many of each are needed`,
    );
  return size;
}

/**
 * Of pairs of data and noise the states z at times s, and the velocity v of the straight path between them by which time moves:
 * z = (1 − s)·x₀ + s·x₁ and v = x₁ − x₀, x₀ and x₁ what stands at times 0 and 1.
 * @throws UsageError when sizes differ
 */
export function pathStates(
  data: Values,
  noise: Values,
  times: Values,
  noiseAt: 0 | 1,
): { readonly z: Float64Array; readonly v: Float64Array } {
  const size = rowSize(times.length, data, noise);
  const [start, end] = noiseAt === 0 ? [noise, data] : [data, noise];
  const z = Float64Array.from({ length: data.length }, (_, i) => {
    const s = times[Math.floor(i / size)];
    return (1 - s) * start[i] + s * end[i];
  });
  return { z, v: Float64Array.from({ length: data.length }, (_, i) => end[i] - start[i]) };
}

/**
 * What u is by the identity: v − (t − r)·du, or v + (t − r)·du where the state stands at r.
 * @throws UsageError when sizes differ
 */
export function identityTarget(
  v: Values,
  du: Values,
  { r, t }: Intervals,
  stateTime: StateTime,
): Float64Array {
  const size = rowSize(t.length, v, du);
  const sign = stateTime === "t" ? -1 : 1;
  return Float64Array.from({ length: v.length }, (_, i) => {
    const b = Math.floor(i / size);
    return v[i] + sign * (t[b] - r[b]) * du[i];
  });
}

/** Σ (a − b)² over the values of each of `batch` items; without b, Σ a². @throws UsageError when sizes differ */
export function squaredDistances(batch: number, a: Values, b?: Values): Float64Array {
  const size = b ? rowSize(batch, a, b) : rowSize(batch, a);
  const sums = new Float64Array(batch);
  for (let i = 0; i < a.length; i++) sums[Math.floor(i / size)] += (a[i] - (b?.[i] ?? 0)) ** 2;
  return sums;
}

/** ‖u − target‖ of each item: 0 where the identity holds. @throws UsageError when sizes differ */
export const identityResiduals = (u: Values, target: Values, batch: number): Float64Array =>
  squaredDistances(batch, u, target).map(Math.sqrt);

/** How squared errors become a loss. */
export interface LossForm {
  /** p of the adaptive weight; 0: none */
  readonly power: number;
  /** c of the adaptive weight, above 0 where p is */
  readonly constant: number;
  /** mean of q / (q + c)^p, or, as zhuyu-cs/MeanFlow has it, of q² / (q² + c)^p */
  readonly form: "sum" | "squared";
}

/** The loss of squared errors q, a number an item. @throws UsageError for no items */
export function meanFlowLoss(squaredErrors: Values, { power, constant, form }: LossForm): number {
  if (squaredErrors.length === 0) throw new UsageError("the loss of no items");
  let sum = 0;
  for (let b = 0; b < squaredErrors.length; b++) {
    const q = form === "squared" ? squaredErrors[b] ** 2 : squaredErrors[b];
    sum += q / (q + constant) ** power;
  }
  return sum / squaredErrors.length;
}

/** Guidance folded into a velocity: ω·v + κ·u(class) + (1 − ω − κ)·u(no class), while the state's time lies in the interval, ends included. */
export interface FoldedGuidance {
  readonly omega: number;
  readonly kappa: number;
  readonly interval: readonly [number, number];
}

/**
 * The velocity that a network with guidance folded in learns, and the one along which its derivative is taken; v outside of the interval, and of items that
 * lost their class in training.
 * @param conditional u(z, s, s | class); `unconditional` u(z, s, s | no class)
 * @throws UsageError when sizes differ
 */
export function guidedVelocity(
  v: Values,
  conditional: Values,
  unconditional: Values,
  times: Values,
  { omega, kappa, interval: [from, to] }: FoldedGuidance,
  dropped: readonly boolean[] = [],
): Float64Array {
  const size = rowSize(times.length, v, conditional, unconditional);
  return Float64Array.from({ length: v.length }, (_, i) => {
    const b = Math.floor(i / size);
    if (times[b] < from || times[b] > to || dropped[b]) return v[i];
    return omega * v[i] + kappa * conditional[i] + (1 - omega - kappa) * unconditional[i];
  });
}

/** How crooked the way is, of each item. */
export interface Straightness {
  /** ‖u − v + (t − r)·du‖ (or its mirror): what the identity leaves over; 0 for a network that obeys it */
  readonly residual: Float64Array;
  /** ‖u − v‖: what one step of the velocity alone would miss; 0 where the way is straight */
  readonly bend: Float64Array;
  /** ‖v‖, to which both are compared */
  readonly speed: Float64Array;
}

/**
 * Of an ordinary flow at one time of its way, what is left of the way being `remaining`: v stands for its own average, so that the identity leaves
 * over remaining·‖dv/dt‖, 0 where the way ahead is straight.
 * @param rate dv/dt along the way: the derivative of v along (v, 1)
 * @throws UsageError when sizes differ
 */
export function flowStraightness(
  v: Values,
  rate: Values,
  remaining: number,
  batch: number,
): Pick<Straightness, "residual" | "speed"> {
  rowSize(batch, v, rate);
  return {
    residual: squaredDistances(batch, rate).map((square) => Math.abs(remaining) * Math.sqrt(square)),
    speed: squaredDistances(batch, v).map(Math.sqrt),
  };
}

/** Straightness from u over the interval, du along (v, …), and the velocity v at the state. @throws UsageError when sizes differ */
export function straightnessOf(
  u: Values,
  du: Values,
  v: Values,
  told: Intervals,
  stateTime: StateTime,
): Straightness {
  const batch = told.t.length;
  return {
    residual: identityResiduals(u, identityTarget(v, du, told, stateTime), batch),
    bend: squaredDistances(batch, u, v).map(Math.sqrt),
    speed: squaredDistances(batch, v).map(Math.sqrt),
  };
}
