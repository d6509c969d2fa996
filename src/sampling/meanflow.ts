/**
 * The average velocity u(z, r, t) over an interval r ≤ t, in both conventions; here, and only here, one becomes the other.
 *
 *   state at t   time 0 is data, 1 noise (the paper's)    v = noise − data   z_r = z_t − (t − r)·u(z_t, r, t)
 *   state at r   time 0 is noise, 1 data                  v = data − noise   z_t = z_r + (t − r)·u(z_r, r, t)
 *
 * Both are z_end = z + (end − now)·u with `now` the time of the state, so a scheduler over the network's own times (`meanFlow`, and `euler`
 * for the same network at r = t) needs to know neither. One is the other's mirror: u(z, r, t) = −u'(z, r', t') with r' = 1 − t, t' = 1 − r.
 *
 * A third thing exists that looks like the second: the loss of kylevedder/DenoisingZoo has time 0 at the noise and the state at t. What it
 * learns is the way from data to noise, z_r = z_t − (t − r)·u(z_t, r, t), and noise + u(noise, 0, 1) is not a sample: of Gaussian data
 * N(m, σ²) it makes N(m/σ, (2 − 1/σ)²).
 */
import { UsageError } from "../errors.ts";
import { linspace } from "./grid.ts";
import type { Call, Scheduler } from "./scheduler.ts";

/** At which end of the interval the state stands; with it goes which time is noise. */
export type StateTime = "r" | "t";

export interface Interval {
  readonly r: number;
  readonly t: number;
}

/**
 * What a network is told at a call of a scheduler over its own times: the state's time and where the step ends, or r = t.
 * @throws UsageError when the step leads from data to noise
 */
export function interval({ at, until = at }: Call, stateTime: StateTime): Interval {
  const told = stateTime === "r" ? { r: at, t: until } : { r: until, t: at };
  if (told.r > told.t)
    throw new UsageError(
      `a step from time ${at} to ${until} with the state at ${stateTime}: times ${stateTime === "r" ? "rise from 0 to 1" : "fall from 1 to 0"}, from noise to data`,
    );
  return told;
}

/** The same interval in the other convention, where the network's output has the other sign. */
export const mirrored = ({ r, t }: Interval): Interval => ({ r: 1 - t, t: 1 - r });

/** How much of a state at an own time is noise: 1 noise, 0 data. It is its own inverse, the own time of a noise level. */
export const noiseLevel = (time: number, stateTime: StateTime): number =>
  stateTime === "t" ? time : 1 - time;

/** `calls` steps of equal length from noise to data, in own times. @throws UsageError unless `calls` is a positive whole number */
export const uniformTimes = (calls: number, stateTime: StateTime): number[] =>
  stateTime === "t" ? linspace(1, 0, calls) : linspace(0, 1, calls);

/**
 * The solver of kylevedder/DenoisingZoo, to be recognised and not to be used: N + 1 updates of length 1/N at times 0, 1/N … 1, so that it ends
 * at 1 + 1/N, and the network is told (time, 1) where its training calls the velocity (time, time).
 * @throws UsageError unless `steps` is a positive whole number
 */
export function seedEuler(steps: number): Scheduler {
  if (!Number.isInteger(steps) || steps < 1)
    throw new UsageError(`${steps} steps: at least 1 is needed, and a whole number`);
  const times = Array.from({ length: steps + 2 }, (_, k) => k / steps);
  return {
    ...{ name: "seed-euler", times, states: times.map((_, k) => k), history: { of: "f", length: 0 } },
    call: (i) => ({ at: times[i], until: Math.max(1, times[i]) }),
    step: () => ({ predict: { x: 1, f: 1 / steps } }),
  };
}
