/**
 * The iterate of a trajectory beside what is read of it, where the read-out is of the same kind: a plan of actions that is denoised
 * itself, read out as the clean estimate. The iterate's way to its end follows the noise that the schedule leaves in it, whatever was learned:
 *
 *   to the last    null(k) = c_k / c_0 · MSE_0                          c_k the noise that is left at probe step k, as the axis says it
 *   to the truth   null(k) = MSE_N + c_k / c_0 · (MSE_0 − MSE_N)        0 the first probed step, N the last
 *
 * An iterate that follows its null shows the arithmetic of the sampler; the clean estimate is what says when the actions are known.
 */
import type { Curve } from "./curve.ts";

export interface IterateAxis {
  /** K points */
  toLast: Curve;
  toTruth: Curve | null;
  /** (K) */
  nullToLast: number[];
  nullToTruth: number[] | null;
}

/** @param noise c, (K); the last is what is left at the last probed step */
export function iterateAxis(toLast: Curve, toTruth: Curve | null, noise: readonly number[]): IterateAxis {
  const fraction = noise.map((c) => (noise[0] > 0 ? c / noise[0] : 0));
  const between = ({ mean }: Curve): number[] => {
    const [first, last] = [mean[0], mean[mean.length - 1]];
    return fraction.map((f) => last + f * (first - last));
  };
  return { toLast, toTruth, nullToLast: between(toLast), nullToTruth: toTruth && between(toTruth) };
}
