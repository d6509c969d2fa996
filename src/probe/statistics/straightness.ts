/**
 * How straight a flow's own way is, in the mean over trajectories and episodes, at P times of it. Relative to the velocity, so that 0 is a straight way, along
 * which one step of any length is exact, and 1 a way that turns by as much as it moves. Axis letters: measurement.ts.
 */
import type { EpisodeMeasurement, ProbeMeasurement } from "../experiment/measurement.ts";
import { type BootstrapOptions, clusterBootstrap, type Interval } from "./bootstrap.ts";
import { estimateOf } from "./estimate.ts";
import { independentClusters } from "./independent.ts";

export interface StraightnessResult {
  /** Whose flow. */
  of: string;
  /** P */
  times: number[];
  /** (P) mean of residual over speed. */
  residual: number[];
  /** (P) null with one independent episode. */
  interval: Interval[] | null;
  /** (E, P) */
  per_episode: number[][];
  /** (P) mean of ‖u − v‖ / ‖v‖; null for an ordinary flow. */
  bend: number[] | null;
}

/** (P) means over an episode's trajectories of one length over another; 0 where nothing moves. */
function relative(lengths: Float32Array, speeds: Float32Array, P: number): number[] {
  const V = lengths.length / P;
  return Array.from({ length: P }, (_, p) => {
    let sum = 0;
    for (let v = 0; v < V; v++) {
      const [length, speed] = [lengths[v * P + p], speeds[v * P + p]];
      sum += speed > 0 ? length / speed : 0;
    }
    return sum / V;
  });
}

/** @returns null where the straightness of any episode was not measured */
export function straightnessResult(
  { flow, episodes, actionNames }: ProbeMeasurement,
  options: Required<BootstrapOptions>,
): StraightnessResult | null {
  if (!flow || episodes.some(({ flowResidual, flowSpeed }) => !flowResidual || !flowSpeed)) return null;
  const P = flow.times.length;
  const bootstrap = clusterBootstrap(independentClusters(episodes, actionNames.length), options);
  const rows = (of: (e: EpisodeMeasurement) => Float32Array): number[][] =>
    episodes.map((episode) => relative(of(episode), episode.flowSpeed!, P));
  const column = (all: readonly number[][], p: number): number[] => all.map((row) => row[p]);
  const perEpisode = rows(({ flowResidual }) => flowResidual!);
  const estimates = flow.times.map((_, p) => estimateOf(column(perEpisode, p), bootstrap, { least: 0 }));
  const intervals = estimates.map(({ interval }) => interval);
  const bends = episodes.every(({ flowBend }) => flowBend) && rows(({ flowBend }) => flowBend!);
  return {
    of: flow.of,
    times: [...flow.times],
    residual: estimates.map(({ mean }) => mean),
    interval: intervals.includes(null) ? null : (intervals as Interval[]),
    per_episode: perEpisode,
    bend: bends ? flow.times.map((_, p) => bootstrap.mean(column(bends, p))) : null,
  };
}
