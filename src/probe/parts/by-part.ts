/**
 * Errors by what the dimensions mean: rotations in degrees, grippers by when they switch, places as distances in the data's units, beside the squared
 * error in normalised units that all parts share. Means over episodes and seeds; axis letters: measurement.ts.
 *
 *   squared      Euclidean distance of the part's dimensions, in its units
 *   rotation6d   angle between the rotations of two rows, degrees
 *   rotvec       angle between the rotations of two vectors, degrees
 *   event        positions between the first switches, where both switch (switches.ts)
 *   logits       share of positions whose largest entry is another
 */
import { type EpisodeMeasurement, type ProbeMeasurement, readSeeds } from "../experiment/measurement.ts";
import type { VideoAxis } from "../result/result.ts";
import {
  type BootstrapOptions,
  type ClusterBootstrap,
  clusterBootstrap,
  type Interval,
} from "../statistics/bootstrap.ts";
import { independentClusters } from "../statistics/independent.ts";
import type { Part } from "../subject.ts";
import { angleBetween, fromRows, fromVector } from "./rotation.ts";
import { switchError } from "./switches.ts";

export interface PartErrors {
  name: string;
  kind: Part["kind"];
  /** Dimensions, inclusive and exclusive. */
  from: number;
  to: number;
  /** What `error` is counted in: "deg", "positions", "share", or the data's units. */
  unit: string;
  /** Of an event, where it is known. */
  seconds_per_position: number | null;
  /** (K) mean squared, normalised units. */
  mse: VideoAxis<number[]>;
  /** (K) see the head of this file; null where no chunk has one, as where nothing switches. */
  error: VideoAxis<(number | null)[]>;
  /** (K) clustered by episode; null where one episode at most has an error. */
  error_interval: VideoAxis<(Interval | null)[]>;
  /** Of an event. */
  events: { to_last: EventCounts; to_truth: EventCounts | null } | null;
}

/** A chunk's switches in the mean. */
export interface EventCounts {
  /** Of the reference. */
  switches: number;
  /** (K) share of chunks in which both switch, so that there is a time between them. */
  timed: number[];
  /** (K) switches that the reference has more, and those that the estimate has more. */
  missing: number[];
  extra: number[];
}

/** What one chunk's part differs by: `error` NaN where there is none. */
interface Difference {
  readonly mse: number;
  readonly error: number;
  readonly switches?: number;
  readonly missing?: number;
  readonly extra?: number;
}

/** A chunk (T, D) in the model's and in the data's units. */
interface Both {
  readonly model: Float32Array;
  readonly data: Float32Array;
  /** that are known, from the first on; undefined: all T */
  readonly known?: number;
}

/**
 * @param options of the intervals
 * @returns an entry a part; empty where the measurement does not say what its dimensions mean
 */
export function errorsByPart(measurement: ProbeMeasurement, options: BootstrapOptions): PartErrors[] {
  const { settings, episodes, chunkLength: T, actionNames, parts = [], interval = null } = measurement;
  const [V, S, K, D] = [
    ...[settings.videoSeeds.length, readSeeds(settings), settings.probeSteps.length, actionNames.length],
  ];
  const size = T * D;
  const clusters = independentClusters(episodes, D);
  const summary = summaries(clusters, options);
  const decoded = ({ actions, dataActions }: EpisodeMeasurement, run: number, k: number): Both => {
    const [from, to] = [(run * K + k) * size, (run * K + k + 1) * size];
    return { model: actions.subarray(from, to), data: dataActions.subarray(from, to) };
  };
  type Reference = (episode: EpisodeMeasurement, run: number) => Both;
  const last: Reference = (episode, run) => decoded(episode, run, K - 1);
  const truth: Reference = ({ truth: model, dataTruth: data, truthPositions: known }) => ({
    ...{ model: model!, data: data!, known },
  });
  const truthKnown = episodes.every((episode) => episode.truth && episode.dataTruth);

  const against = (part: Part, reference: Reference) => {
    const compare = (own: Both, other: Both): Difference => comparison(part, other.known ?? T, D)(own, other);
    // (K, E) means over the runs of an episode; NaN where none of them has a value.
    const over = Array.from({ length: K }, (_, k) =>
      episodes.map((episode) => {
        const all = Array.from({ length: V * S }, (_, run) =>
          compare(decoded(episode, run, k), reference(episode, run)),
        );
        const mean = (of: (one: Difference) => number): number => meanOf(all.map(of));
        return {
          ...{ mse: mean((one) => one.mse), error: mean((one) => one.error) },
          timed: mean((one) => (Number.isNaN(one.error) ? 0 : 1)),
          ...{ switches: mean((one) => one.switches ?? 0), missing: mean((one) => one.missing ?? 0) },
          extra: mean((one) => one.extra ?? 0),
        };
      }),
    );
    const means = (of: (one: (typeof over)[number][number]) => number): number[] =>
      over.map((row) => summary(row.map(of)).mean ?? 0);
    const errors = over.map((row) => summary(row.map(({ error }) => error)));
    return {
      mse: means(({ mse }) => mse),
      error: errors.map(({ mean }) => mean),
      interval: errors.map((one) => one.interval()),
      counts: {
        switches: means(({ switches }) => switches)[K - 1],
        timed: means(({ timed }) => timed),
        missing: means(({ missing }) => missing),
        extra: means(({ extra }) => extra),
      },
    };
  };

  return parts.map((part): PartErrors => {
    const [toLast, toTruth] = [against(part, last), truthKnown ? against(part, truth) : null];
    const { name, kind, from, to } = part;
    return {
      ...{ name, kind, from, to, unit: unitOf(part) },
      seconds_per_position: kind === "event" ? interval : null,
      mse: { mse_to_last: toLast.mse, mse_to_truth: toTruth && toTruth.mse },
      error: { mse_to_last: toLast.error, mse_to_truth: toTruth && toTruth.error },
      error_interval: { mse_to_last: toLast.interval, mse_to_truth: toTruth && toTruth.interval },
      events: kind === "event" ? { to_last: toLast.counts, to_truth: toTruth && toTruth.counts } : null,
    };
  });
}

const unitOf = ({ kind, units }: Part): string =>
  ({ squared: units, rotation6d: "deg", rotvec: "deg", event: "positions", logits: "share" })[kind];

/** Compares one part of two chunks. */
function comparison(
  { kind, from, to, states }: Part,
  T: number,
  D: number,
): (a: Both, b: Both) => Difference {
  const overPositions = (at: (t: number) => number): number =>
    meanOf(Array.from({ length: T }, (_, t) => at(t)));
  const squares = (a: Float32Array, b: Float32Array, t: number): number => {
    let sum = 0;
    for (let d = from; d < to; d++) sum += (a[t * D + d] - b[t * D + d]) ** 2;
    return sum;
  };
  const angle = (rotation: typeof fromRows) => (a: Both, b: Both, t: number) =>
    angleBetween(rotation(a.data, t * D + from), rotation(b.data, t * D + from));
  const largest = (values: Float32Array, t: number): number => {
    const own = values.subarray(t * D + from, t * D + to);
    return own.indexOf(Math.max(...own));
  };
  const measure: Readonly<Record<Exclude<Part["kind"], "event">, (a: Both, b: Both, t: number) => number>> = {
    squared: (a, b, t) => Math.sqrt(squares(a.data, b.data, t)),
    rotation6d: angle(fromRows),
    rotvec: angle(fromVector),
    logits: (a, b, t) => (largest(a.model, t) === largest(b.model, t) ? 0 : 1),
  };
  return (a, b) => {
    const mse = overPositions((t) => squares(a.model, b.model, t)) / (to - from);
    if (kind !== "event") return { mse, error: overPositions((t) => measure[kind](a, b, t)) };
    const column = (values: Float32Array): Float32Array =>
      Float32Array.from({ length: T }, (_, t) => values[t * D + from]);
    const { time = Number.NaN, ...counts } = switchError(column(a.data), column(b.data), states ?? [0, 1]);
    return { mse, error: time, ...counts };
  };
}

/** Of those that are numbers; NaN where none is. */
function meanOf(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** The mean over the episodes that have a value, and its interval where they are two clusters at least. */
function summaries(clusters: ArrayLike<number>, options: BootstrapOptions) {
  /** by the episodes that are resampled */
  const drawn = new Map<string, ClusterBootstrap>();
  const over = (episodes: readonly number[]): ClusterBootstrap => {
    const key = episodes.join();
    let bootstrap = drawn.get(key);
    if (!bootstrap) {
      const found = [...new Set(episodes.map((e) => clusters[e]))];
      bootstrap = clusterBootstrap(
        episodes.map((e) => found.indexOf(clusters[e])),
        options,
      );
      drawn.set(key, bootstrap);
    }
    return bootstrap;
  };
  return (perEpisode: readonly number[]): { mean: number | null; interval: () => Interval | null } => {
    const known = perEpisode.flatMap((value, e) => (Number.isNaN(value) ? [] : [e]));
    if (known.length === 0) return { mean: null, interval: () => null };
    const bootstrap = over(known);
    const values = known.map((e) => perEpisode[e]);
    return {
      mean: bootstrap.mean(values),
      interval: () => {
        const ends = bootstrap(values);
        // No error is below 0, so nothing is lost where an interval ends there.
        return ends && { low: Math.max(ends.low, 0), high: ends.high };
      },
    };
  };
}
