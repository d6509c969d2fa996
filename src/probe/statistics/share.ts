/**
 * Intervals of a share: k of n trials that went one way (Wilson 1927, without continuity correction).
 *
 *   (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n),   p = k/n, z the normal quantile
 *
 * It stays inside 0…1 and has a width where all trials agree, which intervals around a mean do not.
 */
import { UsageError } from "../../errors.ts";
import type { Interval } from "./bootstrap.ts";

/** The two-sided 95 % quantile of the standard normal. */
const Z = 1.959963984540054;

/** The name of the method, for the result. */
export const SHARE_METHOD = "Wilson score";

/**
 * The 95 % interval of a share.
 * @throws UsageError unless 0 ≤ k ≤ n, whole numbers, n at least 1
 */
export function shareInterval(k: number, n: number): Interval {
  if (!Number.isInteger(k) || !Number.isInteger(n) || k < 0 || n < 1 || k > n)
    throw new UsageError(`${k} of ${n} trials: whole numbers are needed, and at least one trial.`);
  const p = k / n;
  const middle = p + Z ** 2 / (2 * n);
  const half = Z * Math.sqrt((p * (1 - p)) / n + Z ** 2 / (4 * n * n));
  const scale = 1 + Z ** 2 / n;
  // At the ends the formula gives 0 and 1 but for rounding.
  return {
    low: k === 0 ? 0 : (middle - half) / scale,
    high: k === n ? 1 : (middle + half) / scale,
  };
}
