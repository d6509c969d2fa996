/**
 * `run.json`: what may differ between two runs with equal settings, so that `probe.json` need not: when it was, how long it took, how it
 * was called.
 */
import type { ProbeTiming, Shard } from "../experiment/measurement.ts";
import { list, nullable, number, object, oneOf, type Shape, text } from "./shape.ts";

export const RUN_SCHEMA = "mimic-video-probe-run";
export const RUN_VERSION = 1;

/** What the measurement cannot know about its own run. */
export interface RunFacts {
  date: string;
  command: string;
  seconds: number;
}

export interface RunRecord {
  schema: typeof RUN_SCHEMA;
  version: typeof RUN_VERSION;
  /** ISO 8601, UTC: when the run ended. */
  date: string;
  /** As it was typed. */
  command: string;
  /** Wall seconds of the whole run and of its phases. */
  seconds: number;
  phases: { name: string; seconds: number }[];
  /** Seconds of the phase of the episodes by what was done; empty where nobody looked. */
  parts: { name: string; seconds: number }[];
  /** Episodes taken from an earlier run instead of computed. */
  resumed_episodes: number;
  /** Peak of GPU memory held by the allocator; null where nobody counted. */
  peak_gpu_bytes: number | null;
  /** Which part of a run that is split; null for a whole one. */
  shard: Shard | null;
  /** The runs of the parts, where this one put them together. */
  shards: RunRecord[] | null;
}

/** @param shard which part of a run that is split; default null, a whole one. */
export function runRecord(timing: ProbeTiming, facts: RunFacts, shard: Shard | null = null): RunRecord {
  return {
    ...{ schema: RUN_SCHEMA, version: RUN_VERSION },
    ...{ date: facts.date, command: facts.command, seconds: facts.seconds },
    phases: timing.phases,
    parts: timing.parts ?? [],
    resumed_episodes: timing.resumedEpisodes,
    peak_gpu_bytes: timing.peakGpuBytes ?? null,
    shard,
    shards: null,
  };
}

/** The run that put shards together: their seconds and phases are in their own records. */
export function mergedRecord(facts: RunFacts, shards: RunRecord[]): RunRecord {
  return { ...runRecord({ phases: [], resumedEpisodes: 0 }, facts), shards };
}

const duration = number({ least: 0 });

export const SHARD_SHAPE: Shape<Shard> = object<Shard>({
  index: number({ least: 0, whole: true }),
  count: number({ least: 1, whole: true }),
});

const laps = list(object<{ name: string; seconds: number }>({ name: text(), seconds: duration }));

/** Of one run; parts of parts do not exist. */
export const RUN_SHAPE: Shape<RunRecord> = object<RunRecord>({
  schema: oneOf(RUN_SCHEMA),
  version: oneOf(RUN_VERSION),
  date: text(),
  command: text(),
  seconds: duration,
  phases: laps,
  // Records from before they were kept have none.
  parts: { ...laps, read: (value, place) => (value === undefined ? [] : laps.read(value, place)) },
  resumed_episodes: number({ least: 0, whole: true }),
  peak_gpu_bytes: nullable(number({ least: 0, whole: true })),
  shard: nullable(SHARD_SHAPE),
  shards: { read: () => null, schema: {} },
});
