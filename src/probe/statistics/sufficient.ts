/**
 * The sufficient step: the smallest probed k that is shown to be *not worse* than the last, N. Non-inferiority: the upper
 * end of the two-sided 95 % interval of MSE(k) − MSE(N), both to the truth and paired by episode, is at most the margin, and so is that of
 * every later probed step. Stepping back from the last and stopping at the first failure needs no correction for the
 * number of steps. A step that is better than the last is not worse; a rule with two sides would refuse it.
 *
 * Steps that are *better* or *worse* are a separate statement, corrected for their number (Holm), and so are *equivalent* ones, whose interval lies
 * within ± the margin.
 */
import type { ClusterBootstrap, Interval } from "./bootstrap.ts";
import type { Curve } from "./curve.ts";
import { type Floor, type Margin, marginOf } from "./margin.ts";
import { bestStep, type Regret, regretOf } from "./regret.ts";

/** Fewest independent episodes that give a verdict. */
export const FEWEST_EPISODES = 8;

/** A truth whose size is this many times that of what was decoded is not in the model's units. */
const LARGEST_SCALE = 100;

/** What the verdict is drawn from. */
export interface Evidence {
  /** (K) probed steps, ascending; the last is N. */
  steps: readonly number[];
  /** Errors to the truth at each of them; null where there is no truth. */
  toTruth: Pick<Curve, "perEpisode"> | null;
  /** Root mean square of the truth over that of the last decodes; null where there is no truth. */
  truthScale: number | null;
  /** Known floors, in the order in which they give the margin. */
  floors: readonly Floor[];
  /** Margin that was asked for, squared normalised units. */
  margin?: number;
  bootstrap: ClusterBootstrap;
  /** Whether single read-outs are not what judges, but all of them together (population.ts). */
  judgedTogether?: boolean;
  /** Fewest independent episodes for a verdict; default FEWEST_EPISODES. */
  fewest?: number;
}

/** Why there is no verdict. */
export type Doubt =
  | { kind: "no truth" }
  | { kind: "judged together" }
  | { kind: "truth out of scale"; times: number }
  | { kind: "one step" }
  | { kind: "few episodes"; independent: number; episodes: number }
  | { kind: "no margin" }
  | { kind: "useless margin"; margin: Margin }
  | { kind: "not better than floor"; error: number; floor: Floor };

/** The answer and what it rests on. Steps are steps of the schedule, not places among the probed ones. */
export interface Verdict {
  /** Null where it is undetermined; N where no earlier probed step is shown to be not worse. */
  step: number | null;
  /** Why it is undetermined; empty where it is not. */
  doubts: Doubt[];
  margin: Margin | null;
  /** Clusters of episodes that are no copies of one another. */
  independentEpisodes: number;
  /** (K) mean of MSE(k) − MSE(N); null without a truth. */
  difference: number[] | null;
  /** (K) its interval; null without a truth or with one independent episode. */
  interval: Interval[] | null;
  /** Earlier probed steps that are better than the last, corrected for their number. Empty under a doubt, as the next three. */
  better: number[];
  /** Those that are worse, corrected alike. */
  worse: number[];
  /** Earlier probed steps whose interval lies within ± the margin. */
  equivalent: number[];
  /** The probed step with the smallest error; null under a doubt, as the next. */
  best: number | null;
  /** Regret of stopping at the last and at the sufficient step. */
  regret: { last: Regret; step: Regret } | null;
}

/** @returns the verdict; what cannot be said is null or empty, with the doubts. */
export function sufficientStep(evidence: Evidence): Verdict {
  const { steps, toTruth, floors, bootstrap } = evidence;
  const last = steps.length - 1;
  const margin = marginOf(evidence.margin, floors);
  const rows = toTruth && steps.map((_, k) => toTruth.perEpisode.map((row) => row[k] - row[last]));
  const intervals = rows?.map(bootstrap) ?? [null];
  const verdict: Verdict = {
    ...{ step: null, doubts: doubtsOf(evidence, margin), margin },
    independentEpisodes: bootstrap.clusters,
    difference: rows && rows.map(bootstrap.mean),
    interval: intervals.includes(null) ? null : (intervals as Interval[]),
    ...{ better: [], worse: [], equivalent: [], best: null, regret: null },
  };
  const { interval } = verdict;
  if (verdict.doubts.length > 0 || !rows || !interval || !toTruth || !margin) return verdict;

  const sufficient = walkBack(last, margin, (k) => interval[k]);
  const earlier = rows.slice(0, last);
  const named = (found: (k: number) => boolean) => steps.slice(0, last).filter((_, k) => found(k));
  const better = holm(earlier.map(bootstrap.pBelow), bootstrap.tail);
  const worse = holm(
    earlier.map((row) => bootstrap.pBelow(row.map((value) => -value))),
    bootstrap.tail,
  );
  return {
    ...verdict,
    step: steps[sufficient],
    better: named((k) => better[k]),
    worse: named((k) => worse[k]),
    equivalent: named((k) => Math.max(-interval[k].low, interval[k].high) <= margin.value),
    best: steps[bestStep(toTruth.perEpisode, bootstrap)],
    regret: {
      last: regretOf(toTruth.perEpisode, last, bootstrap),
      step: regretOf(toTruth.perEpisode, sufficient, bootstrap),
    },
  };
}

/** The step of `sufficientStep` alone, which costs a fraction of the whole verdict. */
export function determinedStep(evidence: Evidence): number | null {
  const { steps, toTruth, floors, bootstrap } = evidence;
  const margin = marginOf(evidence.margin, floors);
  if (doubtsOf(evidence, margin).length > 0 || !toTruth || !margin) return null;
  const last = steps.length - 1;
  const rowOf = (k: number) => toTruth.perEpisode.map((row) => row[k] - row[last]);
  return steps[walkBack(last, margin, (k) => bootstrap(rowOf(k)))];
}

/** Back from the last, as long as the step before is not worse. */
function walkBack(last: number, margin: Margin, interval: (k: number) => Interval | null): number {
  const isWorse = (k: number) => !((interval(k)?.high ?? Number.POSITIVE_INFINITY) <= margin.value);
  let sufficient = last;
  while (sufficient > 0 && !isWorse(sufficient - 1)) sufficient--;
  return sufficient;
}

function doubtsOf(
  { steps, toTruth, truthScale, floors, bootstrap, judgedTogether, fewest = FEWEST_EPISODES }: Evidence,
  margin: Margin | null,
): Doubt[] {
  if (judgedTogether) return [{ kind: "judged together" }];
  if (!toTruth) return [{ kind: "no truth" }];
  const doubts: Doubt[] = [];
  if (truthScale !== null && !(truthScale <= LARGEST_SCALE))
    doubts.push({ kind: "truth out of scale", times: truthScale });
  if (steps.length < 2) doubts.push({ kind: "one step" });
  if (bootstrap.clusters < fewest)
    doubts.push({
      kind: "few episodes",
      independent: bootstrap.clusters,
      episodes: bootstrap.weights.length,
    });
  if (!margin) doubts.push({ kind: "no margin" });
  else if (!(margin.value > 0 && Number.isFinite(margin.value)))
    doubts.push({ kind: "useless margin", margin });
  const error = bootstrap.mean(toTruth.perEpisode.map((row) => row[steps.length - 1]));
  const floor = floors.at(0);
  if (floor && !(error < floor.error)) doubts.push({ kind: "not better than floor", error, floor });
  return doubts;
}

/**
 * Holm's step-down test: the smallest of m p values is held against α/m, the next against α/(m − 1), until one fails.
 *
 * @param p one-sided p values.
 * @param alpha chance of any false name among all.
 * @returns which are named.
 */
export function holm(p: readonly number[], alpha: number): boolean[] {
  const named = p.map(() => false);
  const order = p.map((_, i) => i).sort((a, b) => p[a] - p[b]);
  for (const [rank, i] of order.entries()) {
    if (p[i] > alpha / (p.length - rank)) break;
    named[i] = true;
  }
  return named;
}
