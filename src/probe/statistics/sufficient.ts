/**
 * The sufficient step: the smallest probe step k whose 95 % interval of MSE(k) − MSE(N), both against the truth and
 * paired by episode, lies within ±5 % of the hold-still error. The scale is the hold-still error, because "90 %
 * converged" means nothing without something that cannot act.
 */
import type { Interval } from "./bootstrap.ts";
import { type Curve, meanOf } from "./curve.ts";

/** Half-width of the equivalence region, as a fraction of the hold-still error. */
export const TOLERANCE_FRACTION = 0.05;

/** The answer, and what it rests on. */
export interface SufficientStep {
  /** The video step, or null when the data cannot say. */
  step: number | null;
  /** Why `step` is null; otherwise what the reader must know beside it. */
  reason: string;
  /** 5 % of the hold-still error, squared normalised action units; null without a hold-still chunk or a truth. */
  tolerance: number | null;
  /** (K) mean of MSE(k) − MSE(N); null without a truth. */
  difference: number[] | null;
  /** (K) its interval; null without a truth or with one episode. */
  interval: Interval[] | null;
  /** Probe steps after `step` whose interval leaves the region again: the curve is not monotone. */
  leavesAgain: number[];
  /** Probe steps whose error is below the last step's, interval and all. */
  betterThanLast: number[];
}

/**
 * @param steps (K) probe steps, ascending, the last is N.
 * @param toTruth error against the truth at each of them, or null when there is no truth.
 * @param holdStill hold-still error against the truth, or null when there is none.
 * @param bootstrap interval of a mean over episodes; null with one episode.
 */
export function sufficientStep(
  steps: readonly number[],
  toTruth: Pick<Curve, "perEpisode"> | null,
  holdStill: number | null,
  bootstrap: (perEpisode: ArrayLike<number>) => Interval | null,
): SufficientStep {
  const unknown = (reason: string, rest: Partial<SufficientStep> = {}): SufficientStep => ({
    step: null,
    reason,
    tolerance: null,
    difference: null,
    interval: null,
    leavesAgain: [],
    betterThanLast: [],
    ...rest,
  });
  if (!toTruth) return unknown("The true actions are not known.");

  const last = steps.length - 1;
  const perStep = steps.map((_, k) => toTruth.perEpisode.map((row) => row[k] - row[last]));
  const difference = perStep.map(meanOf);
  const intervals = perStep.map(bootstrap);
  if (intervals.includes(null))
    return unknown("One episode gives no interval; measure at least two.", {
      difference,
      tolerance: holdStill === null ? null : TOLERANCE_FRACTION * holdStill,
    });
  const interval = intervals as Interval[];
  if (holdStill === null)
    return unknown("The data define no hold-still chunk, so there is no scale.", { difference, interval });
  if (steps.length < 2) return unknown("Only the last step was probed.", { difference, interval });

  const tolerance = TOLERANCE_FRACTION * holdStill;
  const within = interval.map(({ low, high }) => low >= -tolerance && high <= tolerance);
  const first = within.indexOf(true);
  const leavesAgain = steps.filter((_, k) => k > first && !within[k]);
  const betterThanLast = steps.filter((_, k) => interval[k].high < 0);
  const reason = explain(steps, first, leavesAgain, betterThanLast);
  return { step: steps[first], reason, tolerance, difference, interval, leavesAgain, betterThanLast };
}

// The last step differs from itself by nothing, so `first` always exists; reaching only it answers nothing.
function explain(
  steps: readonly number[],
  first: number,
  leavesAgain: readonly number[],
  better: readonly number[],
): string {
  const N = steps[steps.length - 1];
  const list = (found: readonly number[]) => `${found.length === 1 ? "step" : "steps"} ${found.join(", ")}`;
  const parts: string[] = [];
  if (first === steps.length - 1)
    parts.push(
      "No earlier probed step is shown to match the last; more episodes would narrow the intervals.",
    );
  else if (leavesAgain.length > 0)
    parts.push(`The curve is not monotone: at ${list(leavesAgain)} the interval leaves the region again.`);
  else parts.push(`Every probed step from ${steps[first]} to ${N} matches the last.`);
  if (better.length > 0) parts.push(`The error at ${list(better)} is lower than at the last.`);
  if (first > 0 && first < steps.length - 1 && steps[first] - steps[first - 1] > 1)
    parts.push(`Between ${steps[first - 1]} and ${steps[first]} nothing was probed.`);
  return parts.join(" ");
}
