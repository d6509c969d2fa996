/**
 * A curve of squared errors with everything that is reported about it: overall with an interval, by episode, by
 * action dimension and by position in the chunk. E, T, D: see measurement.ts; P is the number of points.
 */
import type { ClusterBootstrap, Interval } from "./bootstrap.ts";

/** Mean squared errors along an axis of the experiment, in squared normalised action units. */
export interface Curve {
  /** (P) over everything. */
  mean: number[];
  /** (P) 95 % intervals of `mean`; null with one episode. */
  interval: Interval[] | null;
  /** (E, P) */
  perEpisode: number[][];
  /** (P, D) */
  perDimension: number[][];
  /** (P, T) */
  perPosition: number[][];
}

/** One chunk (T, D) inside a larger array, without a copy. */
export interface Chunk {
  data: Float32Array;
  offset: number;
}

/** Sizes shared by all chunks of a run, and how to get intervals. */
export interface CurveContext {
  episodes: number;
  positions: number;
  dimensions: number;
  bootstrap: ClusterBootstrap;
}

/**
 * @param points P.
 * @param pairs yields, for an episode and a point, all (estimate, reference) pairs: one for each video and action
 *   seed. Every pair of an episode weighs the same, and so does every independent episode: copies share one weight.
 */
export function errorCurve(
  context: CurveContext,
  points: number,
  pairs: (episode: number, point: number) => Iterable<[Chunk, Chunk]>,
): Curve {
  const { episodes: E, positions: T, dimensions: D, bootstrap } = context;
  const { weights } = bootstrap;
  const zeros = (rows: number, columns: number) =>
    Array.from({ length: rows }, () => new Array<number>(columns).fill(0));
  const perEpisode = zeros(E, points);
  const perDimension = zeros(points, D);
  const perPosition = zeros(points, T);

  const surface = new Float64Array(T * D);
  for (let e = 0; e < E; e++) {
    for (let p = 0; p < points; p++) {
      surface.fill(0);
      let count = 0;
      for (const [estimate, reference] of pairs(e, p)) {
        for (let i = 0; i < T * D; i++) {
          const difference = estimate.data[estimate.offset + i] - reference.data[reference.offset + i];
          surface[i] += difference * difference;
        }
        count++;
      }
      for (let i = 0; i < T * D; i++) {
        const square = surface[i] / count;
        perEpisode[e][p] += square / (T * D);
        perDimension[p][i % D] += (square / T) * weights[e];
        perPosition[p][Math.floor(i / D)] += (square / D) * weights[e];
      }
    }
  }

  const columns = Array.from({ length: points }, (_, p) => perEpisode.map((row) => row[p]));
  // No mean of squares is below 0, so nothing is lost where an interval ends there.
  const intervals = columns.map((column) => {
    const ends = bootstrap(column);
    return ends && { low: Math.max(ends.low, 0), high: ends.high };
  });
  return {
    mean: columns.map(bootstrap.mean),
    interval: intervals.includes(null) ? null : (intervals as Interval[]),
    perEpisode,
    perDimension,
    perPosition,
  };
}

/** Mean of at least one value, summed in order. */
export function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Mean squared difference of two chunks of `size` values. */
export function squaredError(a: Chunk, b: Chunk, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) {
    const difference = a.data[a.offset + i] - b.data[b.offset + i];
    sum += difference * difference;
  }
  return sum / size;
}
