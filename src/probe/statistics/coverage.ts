/**
 * How often the printed 95 % intervals hold the truth with few episodes, in per cent: 10,000 simulated experiments for each
 * number of episodes and shape of the paired differences (docs/intervals.md). From 16 episodes on it is 94 to 97 % for the first three
 * shapes.
 */

/** Per cent, by shape of the differences between episodes. */
export interface ExpectedCoverage {
  normal: number;
  /** Student's t with three degrees of freedom: heavy tails on both sides. */
  t3: number;
  /** σ = ½: skewed, as squared errors are. */
  lognormal_half: number;
  /** σ = 1: a few episodes make most of the error. */
  lognormal_one: number;
}

/** Fewest episodes whose intervals need no such remark. */
export const ENOUGH_EPISODES = 16;

/** From 2 episodes on. */
const MEASURED: readonly (readonly [number, number, number, number])[] = [
  [95.0, 95.7, 94.2, 89.6],
  [95.2, 96.1, 92.7, 84.1],
  [95.2, 96.2, 92.2, 82.2],
  [94.9, 96.1, 91.4, 81.8],
  [96.4, 97.1, 94.3, 89.0],
  [96.2, 97.4, 94.4, 89.7],
  [96.1, 96.5, 94.6, 89.7],
  [96.3, 97.0, 95.0, 91.0],
  [96.2, 96.7, 95.0, 91.3],
  [95.9, 96.6, 94.7, 91.3],
  [96.2, 96.1, 95.0, 91.4],
  [96.0, 96.1, 95.0, 92.1],
  [96.0, 96.2, 94.9, 91.9],
  [96.2, 95.8, 95.3, 92.6],
];

/** @returns null with one episode, where there are no intervals, and from 16 on. */
export function expectedCoverage(episodes: number): ExpectedCoverage | null {
  if (episodes < 2 || episodes >= ENOUGH_EPISODES) return null;
  const [normal, t3, half, one] = MEASURED[episodes - 2];
  return { normal, t3, lognormal_half: half, lognormal_one: one };
}
