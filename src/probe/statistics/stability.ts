/**
 * Whether one episode decides the answer: the sufficient step again without each independent episode in turn, with a margin and intervals of
 * those that remain. The rule's own least number of episodes is lowered by what is left out, so that eight episodes can be tried too.
 */
import { type BootstrapOptions, clusterBootstrap } from "./bootstrap.ts";
import type { FloorName } from "./margin.ts";
import { determinedStep, type Evidence, FEWEST_EPISODES } from "./sufficient.ts";

/** Most runs of the rule; with more episodes several are left out at once. */
export const MOST_RUNS = 64;
/** Resamples of each run, at most: a fifth of the verdict's own, as there are many runs and no number of theirs is printed. */
const MOST_RESAMPLES = 2000;

export interface Stability {
  /** runs of the rule, each without other episodes */
  runs: number;
  /** independent episodes that each leaves out, at most */
  leftOut: number;
  /** share of runs, 0..1, that give the step of all episodes */
  same: number;
  /** smallest and largest step that any run gives; null where none gives one */
  range: [least: number, most: number] | null;
  /** runs that give none */
  undetermined: number;
}

/** The evidence of sufficient.ts by episode, so that some can be left out. */
export interface EpisodeEvidence {
  readonly steps: readonly number[];
  /** (E, K) */
  readonly toTruth: readonly (readonly number[])[];
  readonly truthScale: number | null;
  /** (E) each */
  readonly floors: readonly { readonly name: FloorName; readonly perEpisode: readonly number[] }[];
  readonly margin?: number;
  /** (E) copies of one episode are left out together */
  readonly clusters: readonly number[];
}

/** @param step what all episodes give. */
export function leaveOneOut(step: number, evidence: EpisodeEvidence, options: BootstrapOptions): Stability {
  const { clusters } = evidence;
  const C = 1 + Math.max(...clusters);
  const leftOut = Math.ceil(C / MOST_RUNS);
  const runs = Math.ceil(C / leftOut);
  const found = Array.from({ length: runs }, (_, run) => {
    const without = (cluster: number): boolean => Math.floor(cluster / leftOut) === run;
    const kept = clusters.flatMap((cluster, e) => (without(cluster) ? [] : [e]));
    return determinedStep(remaining(evidence, kept, leftOut, options));
  });
  const determined = found.filter((one) => one !== null);
  return {
    ...{ runs, leftOut },
    same: found.filter((one) => one === step).length / runs,
    range: determined.length > 0 ? [Math.min(...determined), Math.max(...determined)] : null,
    undetermined: runs - determined.length,
  };
}

function remaining(
  { steps, toTruth, truthScale, floors, margin, clusters }: EpisodeEvidence,
  kept: readonly number[],
  leftOut: number,
  options: BootstrapOptions,
): Evidence {
  const numbers = [...new Set(kept.map((e) => clusters[e]))];
  const bootstrap = clusterBootstrap(
    kept.map((e) => numbers.indexOf(clusters[e])),
    { ...options, resamples: Math.min(options.resamples ?? MOST_RESAMPLES, MOST_RESAMPLES) },
  );
  return {
    ...{ steps, truthScale, margin, bootstrap, fewest: FEWEST_EPISODES - leftOut },
    toTruth: { perEpisode: kept.map((e) => [...toTruth[e]]) },
    floors: floors.map(({ name, perEpisode }) => ({
      name,
      error: bootstrap.mean(kept.map((e) => perEpisode[e])),
    })),
  };
}
