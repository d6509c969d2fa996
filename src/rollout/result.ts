/**
 * `rollout.json`: how trials went at each depth, beside the offline error of the same depths, and everything needed to believe or repeat
 * it. Two runs with equal settings on the same adapter write the same bytes; what differs is in `run.json`.
 */
import { type MadeBy, madeBy, type Maker } from "../probe/result/made-by.ts";
import { clusterBootstrap, INTERVAL_METHOD, type Interval } from "../probe/statistics/bootstrap.ts";
import { SHARE_METHOD, shareInterval } from "../probe/statistics/share.ts";
import type { Measure, World } from "../worlds/world.ts";
import type { Trial } from "./trial.ts";

export const ROLLOUT_SCHEMA = "mimic-video-rollout";
/** Raised whenever a key changes its meaning or goes away. */
export const ROLLOUT_VERSION = 1;

/** What was measured at one stop. */
export interface AtStop {
  stop: number;
  /** scenes that the measure applies to: trials, those of one scene counted as one */
  trials: number;
  /** null where there are none */
  mean: number | null;
  /** 95 %; null where there is too little to say it */
  interval: Interval | null;
  /** mean less that of the last stop on the same scenes, with its interval (null where all scenes differ alike); null at the last */
  minus_last: { mean: number; interval: Interval | null } | null;
}

export interface MeasureResult {
  name: string;
  title: string;
  kind: Measure["kind"];
  /** null for shares */
  units: string | null;
  stops: AtStop[];
}

export interface OfflineResult {
  /** what the error is of, in words */
  source: string;
  units: string;
  stops: Omit<AtStop, "minus_last">[];
}

export interface RolloutResult extends MadeBy {
  schema: typeof ROLLOUT_SCHEMA;
  version: typeof ROLLOUT_VERSION;
  world: { name: string; data_sha256: string | null; actions_per_query: number; queries: number };
  /** of scenes and noise, see trial.ts */
  seed: number;
  episodes: number;
  stops: number[];
  interval: { level: number; shares: string; amounts: string; resamples: number; seed: number };
  measures: MeasureResult[];
  offline: OfflineResult | null;
  /** Stops ascending, scenes within. */
  trials: (Omit<Trial, "labels"> & { labels: Record<string, string> })[];
}

/** What a rollout is asked. */
export interface RolloutSettings {
  /** ascending */
  readonly stops: readonly number[];
  readonly episodes: number;
  readonly seed: number;
}

const BOOTSTRAP = { level: 0.95, resamples: 10_000, seed: 0 };

/**
 * Counts trials.
 * @param offline what stands beside them; default: the error of the first chunks against the expert's, where that is known
 */
export function rolloutResult(
  trials: readonly Trial[],
  world: World,
  settings: RolloutSettings,
  provenance: Maker,
  offline: OfflineResult | null = firstChunks(trials, world, settings),
): RolloutResult {
  return {
    schema: ROLLOUT_SCHEMA,
    version: ROLLOUT_VERSION,
    ...madeBy(provenance),
    world: {
      ...{ name: world.name, data_sha256: world.dataSha256 ?? null },
      ...{ actions_per_query: world.actionsPerQuery, queries: world.queries },
    },
    seed: settings.seed,
    episodes: settings.episodes,
    stops: [...settings.stops],
    interval: { ...BOOTSTRAP, shares: SHARE_METHOD, amounts: INTERVAL_METHOD },
    measures: world.measures.map((measure) => measureResult(measure, trials, world, settings)),
    offline,
    trials: [...trials]
      .sort((a, b) => a.stop - b.stop || a.scene - b.scene)
      .map((trial) => ({ ...trial, labels: { ...trial.labels } })),
  };
}

function measureResult(
  { name, title, kind, units }: Measure,
  trials: readonly Trial[],
  world: World,
  { stops }: RolloutSettings,
): MeasureResult {
  const valuesAt = (stop: number) => byScene(trials, world, stop, ({ scores }) => scores[name] ?? null);
  const last = valuesAt(stops[stops.length - 1]);
  return {
    ...{ name, title, kind, units: units ?? null },
    stops: stops.map((stop, k): AtStop => {
      const values = valuesAt(stop);
      const differences = [...values].flatMap(([scene, value]) =>
        last.has(scene) ? [value - last.get(scene)!] : [],
      );
      const beside = k < stops.length - 1 && differences.length > 0;
      return {
        ...{ stop, ...summary([...values.values()], kind) },
        minus_last: beside
          ? { mean: clusterMean(differences), interval: differenceInterval(differences) }
          : null,
      };
    }),
  };
}

/** A stop's values by scene; where one scene had several trials, their mean. */
function byScene(
  trials: readonly Trial[],
  { repeats }: World,
  stop: number,
  valueOf: (trial: Trial) => number | null,
): Map<string | number, number> {
  const all = new Map<string | number, number[]>();
  for (const trial of trials) {
    const value = trial.stop === stop ? valueOf(trial) : null;
    if (value === null) continue;
    const scene = repeats === undefined ? trial.scene : trial.labels[repeats];
    all.set(scene, [...(all.get(scene) ?? []), value]);
  }
  return new Map([...all].map(([scene, values]) => [scene, clusterMean(values)]));
}

function summary(values: readonly number[], kind: Measure["kind"]): Omit<AtStop, "stop" | "minus_last"> {
  const n = values.length;
  if (n === 0) return { trials: 0, mean: null, interval: null };
  const interval =
    kind === "share" && values.every(Number.isInteger)
      ? shareInterval(
          values.reduce((a, b) => a + b, 0),
          n,
        )
      : amountInterval(values);
  return { trials: n, mean: clusterMean(values), interval };
}

const clusterMean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const clusterInterval = (values: readonly number[]): Interval | null =>
  clusterBootstrap(values.length, BOOTSTRAP)(values);

/** Scenes that all differ alike, such as those of which none turned out otherwise, do not tell how far others may. */
const differenceInterval = (values: readonly number[]): Interval | null =>
  values.every((value) => value === values[0]) ? null : clusterInterval(values);

/** Amounts are never below 0, and neither are their means. */
function amountInterval(values: readonly number[]): Interval | null {
  const found = clusterInterval(values);
  return found && { low: Math.max(0, found.low), high: found.high };
}

/** The error of the first chunks: the probe's question on the same scenes with the same noise. */
function firstChunks(
  trials: readonly Trial[],
  world: World,
  { stops }: RolloutSettings,
): OfflineResult | null {
  const at = (stop: number): number[] => [...byScene(trials, world, stop, ({ offline }) => offline).values()];
  if (stops.every((stop) => at(stop).length === 0)) return null;
  return {
    source: "each trial's first chunk against the expert's from there",
    units: "squared units of the actions",
    stops: stops.map((stop) => ({ stop, ...summary(at(stop), "amount") })),
  };
}
