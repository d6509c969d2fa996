/**
 * What only all samples together have, at every point where there are any: at the probe steps, and at the ends of whole schedules by every rule. And the
 * verdict on it: the fewest calls of the network from which on no whole schedule is worse than the longest.
 *
 * The error of a measure is its distance from the target. Samples are drawn again within their items (a bootstrap stratified by item), the same ones at
 * every point, so differences are paired: a schedule is *not worse* when the upper end of the 95 % interval of error(schedule) − error(longest) is at most
 * 5 % of the error of the worst floor, and so is that of every longer one. A bootstrap of a distance of distributions lies above it (drawing again takes
 * variety away), alike at both points; so it gives the standard error, and the difference itself is that of the samples.
 *
 * Axes: n samples, K probe steps, B budgets, R other rules.
 */
import { UsageError } from "../../errors.ts";
import type { EpisodeMeasurement, FullSettings } from "../experiment/measurement.ts";
import { readSeeds } from "../experiment/measurement.ts";
import type { Population, PopulationMeasure, PopulationSamples } from "../subject.ts";
import { mulberry32 } from "./bootstrap.ts";
import { MARGIN_FRACTION } from "./margin.ts";

/** A measure at one point. */
export interface PopulationEstimate {
  readonly value: number;
  readonly standardError: number;
  /** of the error from that at the end of the longest schedule; undefined of a measure that judges nothing */
  readonly difference?: { readonly mean: number; readonly low: number; readonly high: number };
}

/** By the measure's name. */
export type PopulationPoint = Readonly<Record<string, PopulationEstimate>>;

export interface PopulationEstimates {
  /** n */
  readonly samples: number;
  readonly against: string;
  readonly measures: readonly (PopulationMeasure & { readonly margin?: number })[];
  readonly floors: Population["floors"];
  readonly worst: number;
  readonly resamples: number;
  readonly seed: number;
  /** (K) */
  readonly stop: readonly PopulationPoint[];
  /** (1 + R) the stop axis' own rule first; empty where no whole schedules were run */
  readonly schedules: readonly {
    /** (B) */
    readonly points: readonly PopulationPoint[];
    /** place among the budgets from which on none is worse than the longest; null: not even the longest of this rule */
    readonly sufficient: number | null;
  }[];
  /** why nothing is concluded; undefined: something is */
  readonly doubt?: string;
}

/** Enough for a standard error within 5 %. */
const RESAMPLES = 200;
/** Of two-sided 95 %. */
const NORMAL = 1.96;

/**
 * @param items how many there are
 * @throws UsageError when a read-out has several noises
 */
export function populationEstimates(
  population: Population,
  settings: FullSettings,
  episodes: readonly EpisodeMeasurement[],
  items: number,
  { resamples = RESAMPLES, seed = 0 }: { readonly resamples?: number; readonly seed?: number } = {},
): PopulationEstimates {
  const { probeSteps, videoSeeds, budgets = [], rules = [] } = settings;
  if (readSeeds(settings) !== 1)
    throw new UsageError("Samples of a population are read from one noise; measure one read-out seed.");
  const [V, K, B, R] = [videoSeeds.length, probeSteps.length, budgets.length, rules.length];
  const points = K + (1 + R) * B;
  const n = episodes.length * V;
  const counted = Array.from({ length: points }, (_, point) => population.of(samplesAt(point)));
  const own = counted.map((measure) => measure());
  const draws = resampled(episodes.length, V, resamples, seed).map((counts) =>
    counted.map((measure) => measure(counts)),
  );
  const longest = B > 0 ? K + B - 1 : K - 1;
  const judging = population.measures.filter(({ target }) => target !== undefined);
  const errorOf = (measure: PopulationMeasure, at: Readonly<Record<string, number>>): number =>
    Math.abs(at[measure.name] - measure.target!);
  const marginOf = (measure: PopulationMeasure): number =>
    MARGIN_FRACTION * errorOf(measure, population.floors[population.worst].values);
  const pointAt = (point: number): PopulationPoint =>
    Object.fromEntries(
      population.measures.map((measure) => {
        const { name, target } = measure;
        const estimate = {
          value: own[point][name],
          standardError: deviation(draws.map((all) => all[point][name])),
        };
        if (target === undefined) return [name, estimate];
        const mean = errorOf(measure, own[point]) - errorOf(measure, own[longest]);
        const spread = deviation(
          draws.map((all) => errorOf(measure, all[point]) - errorOf(measure, all[longest])),
        );
        const [low, high] = [mean - NORMAL * spread, mean + NORMAL * spread];
        return [name, { ...estimate, difference: { mean, low, high } }];
      }),
    );
  const isWorse = (point: PopulationPoint): boolean =>
    judging.some((measure) => !(point[measure.name].difference!.high <= marginOf(measure)));
  const doubt = doubtOf(population, n, episodes.length, items);

  function samplesAt(point: number): PopulationSamples {
    const F = population.features;
    const values = new Float32Array(n * F);
    episodes.forEach(({ samples }, e) => {
      for (let v = 0; v < V; v++) {
        const from = (v * points + point) * F;
        values.set(samples!.subarray(from, from + F), (e * V + v) * F);
      }
    });
    return { items: episodes.flatMap(({ episode }) => new Array<number>(V).fill(episode)), values };
  }

  return {
    ...{ samples: n, against: population.against, floors: population.floors, worst: population.worst },
    measures: population.measures.map((measure) =>
      measure.target === undefined ? measure : { ...measure, margin: marginOf(measure) },
    ),
    ...{ resamples, seed },
    stop: Array.from({ length: K }, (_, k) => pointAt(k)),
    schedules:
      B === 0
        ? []
        : Array.from({ length: 1 + R }, (_, r) => {
            const all = Array.from({ length: B }, (__, b) => pointAt(K + r * B + b));
            let from = B;
            while (from > 0 && !isWorse(all[from - 1])) from--;
            return { points: all, sufficient: from < B && doubt === undefined ? from : null };
          }),
    ...(doubt !== undefined && { doubt }),
  };
}

function doubtOf(
  { fewest }: Population,
  samples: number,
  measured: number,
  items: number,
): string | undefined {
  if (measured < items)
    return `Samples of ${measured} of ${items} items were drawn, and those they are compared with are of all; measure all of them.`;
  if (samples < fewest)
    return `${samples} samples say too little of a distribution; ${fewest} are the fewest. Measure more seeds.`;
  return undefined;
}

/** (resamples) of (E·V) how often each sample counts: V draws within each item. */
function resampled(E: number, V: number, resamples: number, seed: number): readonly Uint16Array[] {
  const uniform = mulberry32(seed);
  return Array.from({ length: resamples }, () => {
    const counts = new Uint16Array(E * V);
    for (let e = 0; e < E; e++) for (let v = 0; v < V; v++) counts[e * V + Math.floor(uniform() * V)]++;
    return counts;
  });
}

function deviation(values: readonly number[]): number {
  const known = values.filter(Number.isFinite);
  if (known.length < 2) return Number.NaN;
  const mean = known.reduce((sum, x) => sum + x, 0) / known.length;
  return Math.sqrt(known.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (known.length - 1));
}
