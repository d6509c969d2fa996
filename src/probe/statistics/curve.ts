/**
 * A curve of squared errors with everything that is reported about it: overall with an interval, by episode, by
 * action dimension and by position in the chunk. E, T, D: see measurement.ts; P is the number of points.
 */
import { UsageError } from "../../errors.ts";
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
  /** Positions that are known, from the first on; undefined: all T. What is measured against it counts so many. */
  known?: number;
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

  // (P, T) weight of the episodes whose reference knows a position.
  const knownWeight = zeros(points, T);
  let partly = false;
  const surface = new Float64Array(T * D);
  for (let e = 0; e < E; e++) {
    for (let p = 0; p < points; p++) {
      surface.fill(0);
      let count = 0;
      let known = T;
      for (const [estimate, reference] of pairs(e, p)) {
        known = Math.min(reference.known ?? T, known);
        for (let i = 0; i < known * D; i++) {
          const difference = estimate.data[estimate.offset + i] - reference.data[reference.offset + i];
          surface[i] += difference * difference;
        }
        count++;
      }
      for (let i = 0; i < known * D; i++) {
        const square = surface[i] / count;
        perEpisode[e][p] += square / (known * D);
        perDimension[p][i % D] += (square / known) * weights[e];
        perPosition[p][Math.floor(i / D)] += (square / D) * weights[e];
      }
      for (let t = 0; t < known; t++) knownWeight[p][t] += weights[e];
      partly ||= known < T;
    }
  }
  if (partly) overKnown(perPosition, knownWeight);

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

/**
 * Means by position over the episodes that know it, in place.
 * @throws UsageError when none knows one
 */
function overKnown(perPosition: number[][], weight: readonly (readonly number[])[]): void {
  perPosition.forEach((row, p) =>
    row.forEach((_, t) => {
      if (weight[p][t] === 0)
        throw new UsageError(
          `No episode knows position ${t + 1} of the ${row.length} of a chunk: all reach beyond the end of their recording. ` +
            "Measure others too (--episodes), or none that do (--ends drop).",
        );
      row[t] /= weight[p][t];
    }),
  );
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
