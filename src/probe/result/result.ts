/**
 * `probe.json`: what a run found and everything needed to believe or repeat it.
 *
 * Errors are mean squared errors in squared normalised action units. Arrays along the video axis have one entry per
 * `probe_steps`; along the action axis, one per action step. Keys that `reference.json` of the toy also has mean the
 * same there. Two runs with equal settings on the same adapter write the same bytes; what differs is in `run.json`.
 *
 * Names of references: `last` is the decode at the last video step, `final` the end of the same decode (the two agree
 * at the last video step), `truth` the recorded actions. What is not known is null, never absent.
 */
import { type MadeBy, madeBy } from "./made-by.ts";
import { clusterBootstrap, type Interval, INTERVAL_METHOD } from "../statistics/bootstrap.ts";
import type { Curve } from "../statistics/curve.ts";
import type { Estimate } from "../statistics/estimate.ts";
import type { GridReadOut } from "../statistics/grid.ts";
import type { FlopCounts, ProbeMeasurement, ProbeProvenance } from "../experiment/measurement.ts";
import { type ExpectedCoverage, expectedCoverage } from "../statistics/coverage.ts";
import { type PopulationResult, populationResult } from "./population.ts";
import { errorsByPart, type PartErrors } from "../parts/by-part.ts";
import { signalOf, type TapSimilarity, tapSimilarity } from "../taps/similarity.ts";
import { independentClusters } from "../statistics/independent.ts";
import { type ProbeStatistics, probeStatistics, type TwoReferences } from "../statistics/statistics.ts";
import { type StraightnessResult, straightnessResult } from "../statistics/straightness.ts";
import { type StoppingResult, stoppingResult } from "./stopping.ts";
import { type VerdictResult, verdictResult } from "./verdict.ts";

export const RESULT_SCHEMA = "mimic-video-probe";
/** Raised whenever a key changes its meaning or goes away. */
export const RESULT_VERSION = 3;

/** Curves along the video axis in one view. */
export interface VideoAxis<T> {
  mse_to_last: T;
  mse_to_truth: T | null;
}

/** Curves along the action axis in one view; iterates have M + 1 points, one-jump estimates M. */
export interface ActionAxis<T> {
  iterate_to_final: T;
  iterate_to_truth: T | null;
  one_jump_to_final: T;
  one_jump_to_truth: T | null;
}

/** An error without an axis, with its 95 % interval (null with one episode). */
export interface Level {
  mean: number;
  interval: Interval | null;
}

export interface Levels {
  to_last: Level;
  to_truth: Level | null;
}

export interface GridTables {
  /** (K, points) against the end of the same decode. */
  to_final: number[][];
  /** (K, points) against the decode at the last video step. */
  to_last: number[][];
  /** (K, points) */
  to_truth: number[][] | null;
}

/** The whole result; see the head of this file. */
export interface ProbeResult extends MadeBy, StoppingResult {
  schema: typeof RESULT_SCHEMA;
  version: typeof RESULT_VERSION;
  data: { name: string; sha256: string; noise_sha256: string | null };
  /** In what products are computed; null in older files. */
  arithmetic: "f32" | "f16" | null;
  /** How what was read is spoken of; null: as a robot's actions. */
  words: { what: string; read: string; truth: string } | null;
  /** Which programs ran, by kernel (`GpuOptions.variants` forces them); null when that was not noted. */
  variants: Record<string, string[]> | null;
  /** N */
  video_steps: number;
  /** K video steps. */
  probe_steps: number[];
  /** K video times τ_k: 1 is noise, 0 is clean. */
  tau: number[];
  /** M */
  action_steps: number;
  /** M + 1 action times in the model's convention. */
  action_times: number[];
  /** E indices, ids and prompts, in the order of every per-episode array. */
  episodes: { index: number; id: string; prompt: string }[];
  video_seeds: number[];
  /** Seeds of the action noise; "same": each trajectory's own. */
  action_seeds: number[] | "same";
  /** T, positions in a chunk. */
  chunk_length: number;
  action_names: string[];
  /** What one unit of each action dimension is. */
  action_units: string[];
  /** How every interval was made. */
  interval: {
    level: number;
    method: string;
    /** Episodes that are no copies of one another. */
    clusters: number;
    resamples: number;
    seed: number;
    /** Per cent of such intervals that hold the truth, by simulation; null from 16 clusters on, where it is what `level` says, and with one. */
    expected_coverage: ExpectedCoverage | null;
  };
  /** (K) */
  video_axis: VideoAxis<number[]>;
  /** (K) */
  video_axis_interval: VideoAxis<Interval[] | null>;
  /** (E, K) */
  video_axis_per_episode: VideoAxis<number[][]>;
  /** (K, D) */
  video_axis_per_dimension: VideoAxis<number[][]>;
  /** (K, T) */
  video_axis_per_position: VideoAxis<number[][]>;
  /** (K, D) in the square of `action_units`; dimensions of different units have no common mean. Null in files of version 1. */
  mse_to_last_data_units: number[][] | null;
  /** (K, D) the same against the truth; null where it is not known in the data's units. */
  mse_to_truth_data_units: number[][] | null;
  /** (M + 1) or (M); null where the read-out has no inner steps (M = 0), as everything down to `grid`. */
  action_axis_at_last_video_step: ActionAxis<number[]> | null;
  action_axis_interval: ActionAxis<Interval[] | null> | null;
  /** (E, points) */
  action_axis_per_episode: ActionAxis<number[][]> | null;
  /** (points, D) */
  action_axis_per_dimension: ActionAxis<number[][]> | null;
  /** (points, T) */
  action_axis_per_position: ActionAxis<number[][]> | null;
  /** (M + 1) what a straight flow between the same ends gives, whatever was learned. */
  null_curve: { iterate_to_final: number[]; iterate_to_truth: number[] | null } | null;
  /** Video step × action step. */
  grid: { iterate: GridTables; one_jump: GridTables } | null;
  /** What a policy that ignores the scene scores; `hold_still_to_truth` and `dataset_mean_to_truth` repeat the means. */
  floors: {
    hold_still_to_truth: number | null;
    dataset_mean_to_truth: number | null;
    hold_still: Levels | null;
    dataset_mean: Levels | null;
  };
  /** The decode at the last video step with a context that knows nothing of this episode. */
  controls: {
    zeroed_context: Levels | null;
    other_episode_context: Levels | null;
    /** Hidden states of its own frames, looked at in another order. */
    frames_shuffled: Levels | null;
  };
  /** MSE(control) − MSE(own) to the truth at the last step, paired by episode; null in older files. */
  control_differences: {
    zeroed_context: Estimate | null;
    other_episode_context: Estimate | null;
    frames_shuffled: Estimate | null;
  } | null;
  /** (K) decodes from the recorded future, noised as at each probe step; null where that was not asked. */
  oracle_axis: VideoAxis<number[]> | null;
  oracle_axis_interval: VideoAxis<Interval[] | null> | null;
  /** Mean squared difference of the last actions of two seeds; null with one seed. */
  between_seeds: { video: number | null; action: number | null };
  /** From which step on the read-out is as good as at the last; see verdict.ts. */
  verdict: VerdictResult;
  /** (E) what the data say of each episode, by name. */
  episode_labels: Readonly<Record<string, string>>[];
  /** Spread over seeds by those labels; empty with one seed or without labels. See statistics/label-spread.ts. */
  spread_by_label: {
    seeds: "video" | "action";
    label: string;
    /** `spread`: (K) mean squared difference of two seeds' decodes. */
    values: { value: string; episodes: number; spread: number[] }[];
    /** (K) ambiguous less unambiguous prompts. */
    contrast: { difference: number[]; interval: Interval[] | null } | null;
  }[];
  /** Whole schedules, each read at its end; null where none were asked. */
  budget_axis: BudgetResult | null;
  /** (R) the same schedules led by each other rule; empty where there is one. */
  other_rules: RuleResult[];
  /** What all samples together have, and the verdict on it; null where single read-outs are judged. See result/population.ts. */
  population: PopulationResult | null;
  /** The trajectory's own state beside what is read of it; null where they are not of one kind. See statistics/iterate-axis.ts. */
  iterate_axis: IterateResult | null;
  /** How alike the taps of two probed steps are; null where a tap is no rows of tokens. See taps/similarity.ts. */
  tap_similarity: TapSimilarity | null;
  /** What can be seen without the truth while a trajectory runs, by which it could be stopped. */
  signals: SignalsResult;
  /** Errors by what the dimensions mean; empty where nobody says. See parts/by-part.ts. */
  by_part: PartErrors[];
  /** How straight the flow's own way is; null where that was not asked. See statistics/straightness.ts. */
  straightness: StraightnessResult | null;
  /** Null where nobody counted. */
  flops: FlopsResult | null;
}

/** (B) errors at the ends of whole schedules led by another rule, against the same last decode. */
export interface RuleResult extends VideoAxis<number[]> {
  rule: string;
  words: string;
  interval: VideoAxis<Interval[] | null>;
  /** (E, B) */
  per_episode: VideoAxis<number[][]>;
}

/** K errors of the iterates, and what the schedule's noise alone would leave of them, whatever was learned. */
export interface IterateResult extends VideoAxis<number[]> {
  interval: VideoAxis<Interval[] | null>;
  /** (E, K) */
  per_episode: VideoAxis<number[][]>;
  null_curve: VideoAxis<number[]>;
}

/** (E, V, K) of each trajectory at each probed step; null at the steps where there is nothing before to compare with. */
export interface SignalsResult {
  /** ‖h_k − h_j‖ / ‖h_k‖ of the tap (its sampled tokens) since the probed step j before; null where a tap is no rows of tokens. */
  tap_drift: (number | null)[][][] | null;
  /**
   * ‖u_k − u_j‖ / ‖u_k‖, where u_k = (x_k − x_j) / (τ_k − τ_j) is the mean velocity since the probed step j before: what the network said on
   * the way, averaged.
   */
  velocity_change: (number | null)[][][] | null;
}

/**
 * Additions and multiplications of matrix products, attention and convolutions, of one trajectory in the mean over episodes; what is done element by
 * element is not counted.
 */
export interface FlopsResult {
  /** Encoding frames and prompt. */
  encode: number;
  /** All calls of the network until the last probed step. */
  trajectory: number;
  /** Their number. */
  calls: number;
  /** One call in the mean. */
  network_call: number;
  /** Reading one tap from one noise: all inner steps, and keys and values of the tap. */
  read_out: number;
  /** All probed steps from one noise over the trajectory: what the grid adds. */
  grid_share: number;
  /** Comparing the taps of all probed steps. */
  similarity: number;
}

/** B whole schedules; errors as along the video axis, against the same last decode. */
export interface BudgetResult extends VideoAxis<number[]> {
  /** B, ascending; the last is N, whose end is the last decode. */
  steps: number[];
  /** (B) calls of the network until each end is read. */
  calls: number[];
  /** (K) the same of each of `probe_steps`. */
  stop_calls: number[];
  interval: VideoAxis<Interval[] | null>;
  /** (E, B) */
  per_episode: VideoAxis<number[][]>;
  /** (B, D) */
  per_dimension: VideoAxis<number[][]>;
  /** (B, T) */
  per_position: VideoAxis<number[][]>;
  /** MSE(budget) − MSE(stop) to the truth where both cost the same; null without a truth. */
  equal_cost:
    { budget: number; stop: number; calls: number; difference: number; interval: Interval | null }[] | null;
}

const levelsOf = (level: TwoReferences | null): Levels | null => {
  const one = (curve: Curve): Level => ({ mean: curve.mean[0], interval: curve.interval?.[0] ?? null });
  return level && { to_last: one(level.toLast), to_truth: level.toTruth && one(level.toTruth) };
};

/**
 * Counts a measurement and writes it down.
 *
 * @throws what `probeStatistics` throws.
 */
export function probeResult(
  measurement: ProbeMeasurement,
  statistics: ProbeStatistics = probeStatistics(measurement),
): ProbeResult {
  const { settings } = measurement;
  const { model, data, device, noiseSha256, dtype, versions, variants }: ProbeProvenance =
    measurement.provenance;
  const { videoAxis, oracle, actionAxis, nullCurve, grid, floors, controls, verdict, interval } = statistics;
  const { budget, iterates } = statistics;
  const { level, resamples, seed } = interval;
  const { weights } = clusterBootstrap(
    independentClusters(measurement.episodes, measurement.actionNames.length),
    {
      resamples: 1,
    },
  );

  const axisOf = <T>(axis: TwoReferences, view: (curve: Curve) => T): VideoAxis<T> => ({
    mse_to_last: view(axis.toLast),
    mse_to_truth: axis.toTruth && view(axis.toTruth),
  });
  const video = <T>(view: (curve: Curve) => T): VideoAxis<T> => axisOf(videoAxis, view);
  const action = <T>(view: (curve: Curve) => T): ActionAxis<T> | null =>
    actionAxis && {
      iterate_to_final: view(actionAxis.iterate.toFinal),
      iterate_to_truth: actionAxis.iterate.toTruth && view(actionAxis.iterate.toTruth),
      one_jump_to_final: view(actionAxis.oneJump.toFinal),
      one_jump_to_truth: actionAxis.oneJump.toTruth && view(actionAxis.oneJump.toTruth),
    };
  const tables = ({ toFinal, toLast, toTruth }: GridReadOut): GridTables => ({
    to_final: toFinal,
    to_last: toLast,
    to_truth: toTruth,
  });

  return {
    schema: RESULT_SCHEMA,
    version: RESULT_VERSION,
    ...madeBy({ model, device, dtype, versions }, measurement.words !== undefined),
    data: { name: data.name, sha256: data.sha256, noise_sha256: noiseSha256 },
    arithmetic: settings.arithmetic ?? "f32",
    words: measurement.words ? { ...measurement.words } : null,
    variants: variants ?? null,
    video_steps: settings.videoSteps,
    probe_steps: [...settings.probeSteps],
    tau: measurement.taus,
    action_steps: measurement.actionTimes.length - 1,
    action_times: measurement.actionTimes,
    episodes: measurement.episodes.map(({ episode, id, prompt }) => ({ index: episode, id, prompt })),
    video_seeds: settings.videoSeeds,
    action_seeds: settings.actionSeeds,
    chunk_length: measurement.chunkLength,
    action_names: measurement.actionNames,
    action_units: measurement.actionUnits,
    interval: {
      level: interval.level,
      method: INTERVAL_METHOD,
      clusters: interval.clusters,
      resamples: interval.resamples,
      seed: interval.seed,
      expected_coverage: interval.level === 0.95 ? expectedCoverage(interval.clusters) : null,
    },
    video_axis: video((curve) => curve.mean),
    video_axis_interval: video((curve) => curve.interval),
    video_axis_per_episode: video((curve) => curve.perEpisode),
    video_axis_per_dimension: video((curve) => curve.perDimension),
    video_axis_per_position: video((curve) => curve.perPosition),
    mse_to_last_data_units: statistics.dataUnits.toLast,
    mse_to_truth_data_units: statistics.dataUnits.toTruth,
    action_axis_at_last_video_step: action((curve) => curve.mean),
    action_axis_interval: action((curve) => curve.interval),
    action_axis_per_episode: action((curve) => curve.perEpisode),
    action_axis_per_dimension: action((curve) => curve.perDimension),
    action_axis_per_position: action((curve) => curve.perPosition),
    null_curve: nullCurve && { iterate_to_final: nullCurve.toFinal, iterate_to_truth: nullCurve.toTruth },
    grid: grid && { iterate: tables(grid.iterate), one_jump: tables(grid.oneJump) },
    floors: {
      hold_still_to_truth: floors.holdStill?.toTruth?.mean[0] ?? null,
      dataset_mean_to_truth: floors.datasetMean?.toTruth?.mean[0] ?? null,
      hold_still: levelsOf(floors.holdStill),
      dataset_mean: levelsOf(floors.datasetMean),
    },
    controls: {
      zeroed_context: levelsOf(controls.zeroedContext),
      other_episode_context: levelsOf(controls.otherEpisode),
      frames_shuffled: levelsOf(controls.framesShuffled),
    },
    control_differences: {
      zeroed_context: statistics.controlDifferences.zeroedContext,
      other_episode_context: statistics.controlDifferences.otherEpisode,
      frames_shuffled: statistics.controlDifferences.framesShuffled,
    },
    oracle_axis: oracle && axisOf(oracle, (curve) => curve.mean),
    oracle_axis_interval: oracle && axisOf(oracle, (curve) => curve.interval),
    between_seeds: { video: statistics.betweenSeeds.video, action: statistics.betweenSeeds.action },
    verdict: verdictResult(verdict, settings.probeSteps),
    episode_labels: measurement.episodes.map(({ labels = {} }) => labels),
    spread_by_label: statistics.spreadByLabel,
    budget_axis: budget && {
      ...{ steps: [...budget.steps], calls: [...budget.calls], stop_calls: [...budget.stopCalls] },
      ...axisOf(budget, (curve) => curve.mean),
      interval: axisOf(budget, (curve) => curve.interval),
      per_episode: axisOf(budget, (curve) => curve.perEpisode),
      per_dimension: axisOf(budget, (curve) => curve.perDimension),
      per_position: axisOf(budget, (curve) => curve.perPosition),
      equal_cost: budget.equalCost,
    },
    iterate_axis: iterates && {
      ...axisOf(iterates, (curve) => curve.mean),
      interval: axisOf(iterates, (curve) => curve.interval),
      per_episode: axisOf(iterates, (curve) => curve.perEpisode),
      null_curve: { mse_to_last: iterates.nullToLast, mse_to_truth: iterates.nullToTruth },
    },
    other_rules: statistics.otherRules.map(({ rule, ...axis }) => ({
      ...{ rule, words: measurement.rules?.find(({ name }) => name === rule)?.words ?? rule },
      ...axisOf(axis, (curve) => curve.mean),
      interval: axisOf(axis, (curve) => curve.interval),
      per_episode: axisOf(axis, (curve) => curve.perEpisode),
    })),
    population: measurement.population ? populationResult(measurement.population, measurement) : null,
    ...stoppingResult(statistics.stopping, settings.probeSteps),
    tap_similarity: tapSimilarity(measurement.episodes, weights, settings.probeSteps.length),
    signals: {
      tap_drift: signalOf(measurement.episodes, "tapDrift", settings.probeSteps.length),
      velocity_change: signalOf(measurement.episodes, "velocityChange", settings.probeSteps.length),
    },
    by_part: errorsByPart(measurement, { level, resamples, seed }),
    straightness: straightnessResult(measurement, { level, resamples, seed }),
    flops: flopsOf(measurement, weights),
  };
}

/** The mean over episodes, whose prompts may be of different lengths; to 12 digits, so that the order of adding them does not show. */
function flopsOf(
  { episodes, stopCalls, settings: { probeSteps } }: ProbeMeasurement,
  weights: ArrayLike<number>,
): FlopsResult | null {
  if (episodes.some(({ flops }) => !flops || flops.trajectory === 0)) return null;
  const mean = (of: (counts: FlopCounts) => number): number =>
    Number(episodes.reduce((sum, { flops }, e) => sum + weights[e] * of(flops!), 0).toPrecision(12));
  const [trajectory, readOut] = [mean((f) => f.trajectory), mean((f) => f.readOut)];
  const calls = stopCalls?.at(-1) ?? probeSteps[probeSteps.length - 1] + 1;
  const to12 = (value: number): number => Number(value.toPrecision(12));
  return {
    encode: mean((f) => f.encode),
    ...{ trajectory, calls, network_call: to12(trajectory / calls), read_out: readOut },
    grid_share: to12((probeSteps.length * readOut) / trajectory),
    similarity: mean((f) => f.similarity),
  };
}
