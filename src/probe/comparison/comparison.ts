/** Several results beside one another: their curves, and how they were made differently. */
import type { Interval } from "../statistics/bootstrap.ts";
import type { ProbeResult } from "../result/result.ts";
import { verdictSentence } from "../result/sentences.ts";

export const COMPARISON_SCHEMA = "mimic-video-probe-comparison";
export const COMPARISON_VERSION = 1;

/** A result with the name it goes by. */
export interface NamedResult {
  name: string;
  result: ProbeResult;
}

/** One thing in which the runs differ: a value for each, as it is written in probe.json. */
export interface Difference {
  what: string;
  values: string[];
}

export interface ComparedRun {
  /** A, B, … */
  letter: string;
  name: string;
  statement: string;
  video_steps: number;
  probe_steps: number[];
  tau: number[];
  mse_to_truth: number[] | null;
  mse_to_truth_interval: Interval[] | null;
  mse_to_last: number[];
  mse_to_last_interval: Interval[] | null;
  hold_still_to_truth: number | null;
  verdict: { status: "sufficient" | "undetermined"; step: number | null; reason: string };
}

/** `comparison.json` */
export interface Comparison {
  schema: typeof COMPARISON_SCHEMA;
  version: typeof COMPARISON_VERSION;
  runs: ComparedRun[];
  differences: Difference[];
  /** What forbids to read one curve against another; empty where nothing does. */
  caveats: string[];
}

/** What decides the numbers or says where they come from, by key of probe.json. */
function made(result: ProbeResult): Map<string, string> {
  const { model, data, device, variants, versions, interval, verdict } = result;
  const words = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
  const nested = (key: string, values: Readonly<Record<string, unknown>> | null): [string, unknown][] =>
    Object.entries(values ?? {}).map(([name, value]) => [`${key}.${name}`, value]);
  const all: [string, unknown][] = [
    ["model.name", model.name],
    ["model.revision", model.revision],
    ["model.weights_sha256", model.weights_sha256],
    ["model.trained_on", model.trained_on],
    ["model.system", model.system],
    ...nested("model.stamp", model.stamp),
    ["data.sha256", data.sha256],
    ["data.noise_sha256", data.noise_sha256],
    ...nested("device", device),
    ["dtype", result.dtype],
    ["arithmetic", result.arithmetic ?? "–"],
    ...nested("variants", variants),
    ...nested("versions", versions),
    ["video_steps", result.video_steps],
    ["probe_steps", result.probe_steps],
    ["action_steps", result.action_steps],
    ["episodes", result.episodes.map(({ index }) => index)],
    ["video_seeds", result.video_seeds],
    ["action_seeds", result.action_seeds],
    ["chunk_length", result.chunk_length],
    ["action_names", result.action_names],
    ["action_units", result.action_units],
    ["interval.method", interval.method],
    ["interval.level", interval.level],
    ["interval.clusters", interval.clusters],
    ["verdict.margin_source", verdict.margin_source],
    // One that comes from a floor differs with what was measured.
    ...(verdict.margin_source === "option" ? [["verdict.margin", verdict.margin] as [string, unknown]] : []),
  ];
  return new Map(all.map(([key, value]) => [key, words(value)]));
}

/** @param runs at least two, in the order in which they are shown. */
export function compareResults(runs: readonly NamedResult[]): Comparison {
  const tables = runs.map(({ result }) => made(result));
  const keys = [...new Set(tables.flatMap((table) => [...table.keys()]))];
  const differences = keys.flatMap((what) => {
    const values = tables.map((table) => table.get(what) ?? "–");
    return values.every((value) => value === values[0]) ? [] : [{ what, values }];
  });
  return {
    ...{ schema: COMPARISON_SCHEMA, version: COMPARISON_VERSION },
    runs: runs.map(({ name, result }, i) => ({
      ...{ letter: String.fromCharCode(65 + i), name, statement: result.statement },
      ...{ video_steps: result.video_steps, probe_steps: result.probe_steps, tau: result.tau },
      mse_to_truth: result.video_axis.mse_to_truth,
      mse_to_truth_interval: result.video_axis_interval.mse_to_truth,
      mse_to_last: result.video_axis.mse_to_last,
      mse_to_last_interval: result.video_axis_interval.mse_to_last,
      hold_still_to_truth: result.floors.hold_still_to_truth,
      verdict: {
        status: result.verdict.status,
        step: result.verdict.step,
        // Of all samples together, where they are judged so.
        reason: result.population ? verdictSentence(result) : result.verdict.reason,
      },
    })),
    differences,
    caveats: caveatsOf(differences.map(({ what }) => what)),
  };
}

function caveatsOf(different: readonly string[]): string[] {
  const differ = (...keys: string[]): boolean => keys.some((key) => different.includes(key));
  return [
    ...(differ("action_names", "action_units", "chunk_length")
      ? ["The runs predict different actions: their errors are in different units and cannot be compared."]
      : []),
    ...(differ("data.sha256", "episodes")
      ? ["The runs are of different episodes: a difference between curves may be one between episodes."]
      : []),
    ...(differ("video_seeds", "action_seeds", "data.noise_sha256")
      ? ["The runs start from different noise: a difference between curves may be one between seeds."]
      : []),
    ...(differ("model.weights_sha256", "model.system")
      ? [
          "The runs are of different models: normalised units may be of different size, as each model has its own.",
        ]
      : []),
    ...(differ("video_steps")
      ? ["The schedules have different lengths; the axis is the share of each."]
      : []),
    "Intervals are of each run by itself: bands that overlap do not say that two runs are equal.",
  ];
}
