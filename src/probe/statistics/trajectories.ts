/**
 * Single runs in place of means over them: E episodes × V video seeds × S action seeds × K probed steps (measurement.ts). Whoever stops early
 * stops one trajectory, not an average.
 */
import type { EpisodeMeasurement } from "../experiment/measurement.ts";
import { type Chunk, meanOf, squaredError } from "./curve.ts";

/** Lengths of the axes; `size` is T·D. */
export interface RunSizes {
  readonly V: number;
  readonly S: number;
  readonly K: number;
  readonly D: number;
  readonly size: number;
}

/** One trajectory: an episode with a video seed. Its read-outs from several action seeds are averaged. */
export interface Trajectory {
  /** place among the episodes */
  readonly episode: number;
  /** (K) error of the decode at each probed step to the truth */
  readonly errors: readonly number[];
}

const decodeAt = ({ actions }: EpisodeMeasurement, run: number, k: number, { K, size }: RunSizes): Chunk => ({
  data: actions,
  offset: (run * K + k) * size,
});

const steps = ({ K }: RunSizes): number[] => Array.from({ length: K }, (_, k) => k);

/**
 * @param reference what the decodes of an episode's run are compared with
 * @returns (E, V·S, K) mean squared errors
 */
export function runErrors(
  episodes: readonly EpisodeMeasurement[],
  sizes: RunSizes,
  reference: (episode: EpisodeMeasurement, run: number) => Chunk,
): number[][][] {
  const { V, S, size } = sizes;
  return episodes.map((episode) =>
    Array.from({ length: V * S }, (_, run) => {
      const against = reference(episode, run);
      const values = against.known === undefined ? size : against.known * sizes.D;
      return steps(sizes).map((k) => squaredError(decodeAt(episode, run, k, sizes), against, values));
    }),
  );
}

/** @param errors (E, V·S, K), video seeds slowest. */
export function trajectoriesOf(errors: readonly (readonly number[][])[], sizes: RunSizes): Trajectory[] {
  const { V, S } = sizes;
  return errors.flatMap((runs, episode) =>
    Array.from({ length: V }, (_, v) => ({
      episode,
      errors: steps(sizes).map((k) => meanOf(runs.slice(v * S, (v + 1) * S).map((row) => row[k]))),
    })),
  );
}

/**
 * How far each decode is from that of the probed step before, mean squared, averaged over action seeds: (E·V, K), trajectories in the order of
 * `trajectoriesOf`. NaN at the first, which has none before it.
 */
export function actionChanges(episodes: readonly EpisodeMeasurement[], sizes: RunSizes): number[][] {
  const { V, S, size } = sizes;
  return episodes.flatMap((episode) =>
    Array.from({ length: V }, (_, v) =>
      steps(sizes).map((k) => {
        if (k === 0) return Number.NaN;
        const changes = Array.from({ length: S }, (_, s) => {
          const run = v * S + s;
          return squaredError(decodeAt(episode, run, k, sizes), decodeAt(episode, run, k - 1, sizes), size);
        });
        return meanOf(changes);
      }),
    ),
  );
}

/**
 * How far the decodes of a trajectory from two action seeds lie apart, mean squared over all pairs: (E·V, K). Null with one seed.
 */
export function spreadOverActionSeeds(
  episodes: readonly EpisodeMeasurement[],
  sizes: RunSizes,
): number[][] | null {
  const { V, S } = sizes;
  if (S < 2) return null;
  return episodes.flatMap((episode) =>
    Array.from({ length: V }, (_, v) => pairSpread(episode, sizes, S, (s) => v * S + s)),
  );
}

/**
 * The same of two video seeds, over all action seeds: a number of the episode, so each of its trajectories has it. Null with one seed.
 */
export function spreadOverVideoSeeds(
  episodes: readonly EpisodeMeasurement[],
  sizes: RunSizes,
): number[][] | null {
  const { V, S } = sizes;
  if (V < 2) return null;
  return episodes.flatMap((episode) => {
    const perSeed = Array.from({ length: S }, (_, s) => pairSpread(episode, sizes, V, (v) => v * S + s));
    const spread = steps(sizes).map((k) => meanOf(perSeed.map((row) => row[k])));
    return Array.from({ length: V }, () => spread);
  });
}

/** (K) mean squared difference over all pairs of `seeds` runs. */
function pairSpread(
  episode: EpisodeMeasurement,
  sizes: RunSizes,
  seeds: number,
  run: (seed: number) => number,
): number[] {
  return steps(sizes).map((k) => {
    const all: number[] = [];
    for (let a = 0; a < seeds; a++)
      for (let b = 0; b < a; b++)
        all.push(
          squaredError(decodeAt(episode, run(a), k, sizes), decodeAt(episode, run(b), k, sizes), sizes.size),
        );
    return meanOf(all);
  });
}
