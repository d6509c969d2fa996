/**
 * Whether more steps help each run by itself. A mean over episodes may fall while the curves it is made of go up and down; a curve is not
 * monotone where some later probed step is worse than an earlier one:
 *
 *   rise(c) = max over i < j of c_j − c_i
 */
import type { ClusterBootstrap } from "./bootstrap.ts";
import { meanOf } from "./curve.ts";
import { type Estimate, estimateOf } from "./estimate.ts";

/** Shares of curves in 0..1, one for each episode and pair of seeds; episodes weigh alike. */
export interface NonMonotone {
  /** those that rise at all */
  any: Estimate;
  /** those that rise by more than the tolerance; null where there is none */
  beyond: Estimate | null;
}

/** Largest rise of a curve, 0 where it never rises. */
export function rise(curve: readonly number[]): number {
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (const value of curve) {
    most = Math.max(most, value - least);
    least = Math.min(least, value);
  }
  return most;
}

/**
 * @param errors (E, runs, K)
 * @param tolerance rise that counts as none, in the unit of the errors; null: not asked
 */
export function nonMonotone(
  errors: readonly (readonly (readonly number[])[])[],
  tolerance: number | null,
  bootstrap: ClusterBootstrap,
): NonMonotone {
  const share = (limit: number): Estimate =>
    estimateOf(
      errors.map((runs) => meanOf(runs.map((curve) => Number(rise(curve) > limit)))),
      bootstrap,
      { least: 0, most: 1 },
    );
  return { any: share(0), beyond: tolerance === null ? null : share(tolerance) };
}
