/**
 * Intervals by resampling episodes. Seeds of one episode share its scene and its truth, so they are no independent
 * evidence: an episode is drawn whole, with all its seeds (a cluster bootstrap), and intervals are percentiles.
 *
 * With few clusters percentile intervals are too narrow: simulated with normal data, 95 % ones cover about 80 % at
 * 4 episodes, 88 % at 8 and 93 % at 30 (test/probe/bootstrap.test.ts). The number of episodes is therefore printed
 * beside every interval.
 */
import { UsageError } from "../../errors.ts";

/** Options of an interval; all of them are written into the result. */
export interface BootstrapOptions {
  /** Coverage aimed at, in (0, 1); default 0.95. */
  level?: number;
  /** Resamples; default 2000. */
  resamples?: number;
  /** Seed of the resampling, a 32-bit integer; default 0. */
  seed?: number;
}

/** Ends of an interval, in the unit of the values. */
export interface Interval {
  low: number;
  high: number;
}

/**
 * Draws the resamples once, so that every quantity of a run is resampled alike and differences are paired.
 *
 * @param clusters number of episodes, at least 1.
 * @returns a function from one value per episode (E) to the interval of their mean; null when E is 1, because one
 *   cluster says nothing about spread.
 */
export function clusterBootstrap(
  clusters: number,
  { level = 0.95, resamples = 2000, seed = 0 }: BootstrapOptions = {},
): (perCluster: ArrayLike<number>) => Interval | null {
  if (!(level > 0 && level < 1))
    throw new UsageError(`An interval's level is ${level}; use one between 0 and 1.`);
  if (!Number.isInteger(resamples) || resamples < 1)
    throw new UsageError(`${resamples} bootstrap resamples asked; use a whole number of at least 1.`);

  const drawn = new Uint32Array(resamples * clusters);
  const random = mulberry32(seed);
  for (let i = 0; i < drawn.length; i++) drawn[i] = Math.floor(random() * clusters);

  return (perCluster) => {
    if (perCluster.length !== clusters)
      throw new UsageError(
        `${perCluster.length} values for ${clusters} episodes; give one value per episode.`,
      );
    if (clusters < 2) return null;
    const means = new Float64Array(resamples);
    for (let b = 0; b < resamples; b++) {
      let sum = 0;
      for (let c = 0; c < clusters; c++) sum += perCluster[drawn[b * clusters + c]];
      means[b] = sum / clusters;
    }
    means.sort();
    return { low: quantile(means, (1 - level) / 2), high: quantile(means, (1 + level) / 2) };
  };
}

/** Linear interpolation between the order statistics of sorted values; q in [0, 1]. */
function quantile(sorted: Float64Array, q: number): number {
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/** Uniform numbers in [0, 1) from a 32-bit seed: integer arithmetic only, so equal on every machine. */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
}
