/**
 * When the action of one scene stops moving, from its own decodes. With a_k the action decoded in full at probed step k, from the noise of one pair of
 * seeds, N the last step, and s the chunk of a robot that stands still:
 *
 *   moved(k) = ‖a_k − a_N‖² / ‖s − a_N‖²       a share of what the action does at all
 *
 * The action has settled at k when moved is below 5 % there and at every later probed step, in every pair of seeds. 5 % of standing still is
 * also the verdict's margin (src/probe/statistics/margin.ts), which asks another question: there it is the error to the truth, over episodes.
 *
 * Two comparisons say what that is worth. A straight path from a_0 to a_N has moved(k) = moved(0)·(1 − k/N)², whatever was learned: an action that
 * settles no earlier has shown nothing. And two seeds of one scene end apart: where that is more than what is left to move, the seed matters more.
 */
import { MARGIN_FRACTION } from "../src/probe/statistics/margin.ts";
import { meanError } from "./chunk.ts";

/** Share of the whole below which an action counts as settled. */
export const SETTLED = MARGIN_FRACTION;

export interface Settling {
  /** (K) probed steps */
  readonly steps: readonly number[];
  /** N, the last of them */
  readonly last: number;
  /** what the share is a share of */
  readonly against: "standing still" | "the mean action" | "its own size";
  /** (K, seeds) moved(k) of each pair of seeds */
  readonly moved: readonly (readonly number[])[];
  /** where it has settled in every pair; N where that is only at the end */
  readonly step: number;
  /** (seeds) the same of each pair by itself */
  readonly stepOfSeed: readonly number[];
  /** where a straight path from the first probed step would have; the smallest whole step */
  readonly straightStep: number;
  /** how far two pairs of seeds end apart, in the mean, as the same share; null with one pair */
  readonly apart: number | null;
}

/** What an action is measured against: the first that is known. */
export interface Rest {
  readonly holdStill?: Float32Array;
  readonly datasetMean?: Float32Array;
}

/**
 * @param decodes (K, seeds) of (T, D) chunks, in the order of the steps
 * @returns null where there is one step only, or an action that is what it is measured against
 */
export function settling(
  steps: readonly number[],
  decodes: readonly (readonly Float32Array[])[],
  { holdStill, datasetMean }: Rest,
): Settling | null {
  const K = steps.length;
  if (K < 2) return null;
  const ends = decodes[K - 1];
  const rest = holdStill ?? datasetMean ?? new Float32Array(ends[0].length);
  const against = holdStill ? "standing still" : datasetMean ? "the mean action" : "its own size";
  const whole = meanError(ends, [rest]);
  if (!(whole > 0)) return null;
  const moved = decodes.map((chunks) => chunks.map((chunk, run) => meanError([chunk], [ends[run]]) / whole));
  const settledAt = (of: (k: number) => number): number => {
    let k = K - 1;
    while (k > 0 && of(k - 1) < SETTLED) k--;
    return steps[k];
  };
  const pairs = ends.flatMap((a, i) => ends.slice(0, i).map((b) => meanError([a], [b]) / whole));
  const start = Math.max(...moved[0]);
  const last = steps[K - 1];
  return {
    ...{ steps, last, against, moved },
    step: settledAt((k) => Math.max(...moved[k])),
    stepOfSeed: ends.map((_, run) => settledAt((k) => moved[k][run])),
    straightStep: straightStep(start, steps[0], last),
    apart: pairs.length > 0 ? pairs.reduce((sum, one) => sum + one, 0) / pairs.length : null,
  };
}

/** The smallest whole step at which start·(1 − (k − first)/(last − first))² is below SETTLED. */
function straightStep(start: number, first: number, last: number): number {
  if (start < SETTLED) return first;
  const left = Math.sqrt(SETTLED / start);
  return Math.min(last, first + Math.floor((1 - left) * (last - first)) + 1);
}
