/**
 * `probe.json` described (shape.ts): what `plot` and `compare` accept, and what docs/probe.schema.json says. A key that `ProbeResult` gains
 * does not compile until it is described here. Axis letters: measurement.ts.
 */
import type { Interval } from "../statistics/bootstrap.ts";
import type { ExpectedCoverage } from "../statistics/coverage.ts";
import type { StraightnessResult } from "../statistics/straightness.ts";
import type { Regret } from "../statistics/regret.ts";
import type { EventCounts, PartErrors } from "../parts/by-part.ts";
import type { TapSimilarity } from "../taps/similarity.ts";
import type {
  ActionAxis,
  BudgetResult,
  FlopsResult,
  GridTables,
  IterateResult,
  Level,
  Levels,
  ProbeResult,
  RuleResult,
  SignalsResult,
  VideoAxis,
} from "./result.ts";
import { RESULT_SCHEMA, RESULT_VERSION } from "./result.ts";
import {
  about,
  boolean,
  either,
  list,
  nullable,
  number,
  object,
  oneOf,
  record,
  type Shape,
  type Size,
  text,
} from "./shape.ts";
import { POPULATION } from "./population.ts";
import { ESTIMATE, STOPPING_SHAPES } from "./stopping.ts";
import type { VerdictResult } from "./verdict.ts";

const count = (least = 0): Shape<number> => number({ least, most: 2 ** 32, whole: true });
const error = number({ least: 0 });
const sha256 = text();
const step = count();

const interval = object<Interval>({ low: number(), high: number() });
const level = object<Level>({ mean: error, interval: nullable(interval) });
const levels = nullable(object<Levels>({ to_last: level, to_truth: nullable(level) }));
const regret = nullable(object<Regret>({ mean: error, interval: nullable(interval) }));
const table = (rows: Size, columns: Size): Shape<number[][]> => list(list(error, columns), rows);

function videoAxis<T>(view: Shape<T>): Shape<VideoAxis<T>> {
  return object<VideoAxis<T>>({ mse_to_last: view, mse_to_truth: nullable(view) });
}

/** `view` by the number of points: iterates have M + 1, one-jump estimates M. */
function actionAxis<T>(view: (points: Size) => Shape<T>): Shape<ActionAxis<T> | null> {
  const [iterate, oneJump] = [view("M + 1"), view("M")];
  return nullable(
    object<ActionAxis<T>>({
      iterate_to_final: iterate,
      iterate_to_truth: nullable(iterate),
      one_jump_to_final: oneJump,
      one_jump_to_truth: nullable(oneJump),
    }),
  );
}

const gridTables = (points: Size): Shape<GridTables> =>
  object<GridTables>({
    to_final: table("K", points),
    to_last: table("K", points),
    to_truth: nullable(table("K", points)),
  });

const coverage = object<ExpectedCoverage>({
  normal: error,
  t3: error,
  lognormal_half: error,
  lognormal_one: error,
});

const verdict = object<VerdictResult>({
  status: oneOf("sufficient", "undetermined"),
  step: about("The smallest sufficient step; null where it is undetermined.", nullable(step)),
  reason: text(),
  margin: nullable(error),
  margin_source: nullable(oneOf("option", "hold_still", "dataset_mean", "zeroed_context")),
  independent_episodes: count(),
  difference: about("Mean of MSE(k) − MSE(N) to the truth.", nullable(list(number(), "K"))),
  difference_interval: nullable(list(interval, "K")),
  better_steps: list(step),
  worse_steps: list(step),
  equivalent_steps: list(step),
  best_step: nullable(step),
  regret_of_last: regret,
  regret_of_step: regret,
});

const spread = object<ProbeResult["spread_by_label"][number]>({
  seeds: oneOf("video", "action"),
  label: text(),
  values: list(
    object<ProbeResult["spread_by_label"][number]["values"][number]>({
      value: text(),
      episodes: count(),
      spread: list(error, "K"),
    }),
  ),
  contrast: nullable(
    object<NonNullable<ProbeResult["spread_by_label"][number]["contrast"]>>({
      difference: list(number(), "K"),
      interval: nullable(list(interval, "K")),
    }),
  ),
});

type EqualCost = NonNullable<BudgetResult["equal_cost"]>[number];

const budget = object<BudgetResult>({
  steps: list(count(1), "B"),
  calls: list(count(), "B"),
  stop_calls: list(count(), "K"),
  mse_to_last: list(error, "B"),
  mse_to_truth: nullable(list(error, "B")),
  interval: videoAxis(nullable(list(interval, "B"))),
  per_episode: videoAxis(table("E", "B")),
  per_dimension: videoAxis(table("B", "D")),
  per_position: videoAxis(table("B", "T")),
  equal_cost: nullable(
    list(
      object<EqualCost>({
        ...{ budget: count(1), stop: count(), calls: count() },
        difference: number(),
        interval: nullable(interval),
      }),
    ),
  ),
});

const otherRule = object<RuleResult>({
  ...{ rule: text(), words: text() },
  mse_to_last: list(error, "B"),
  mse_to_truth: nullable(list(error, "B")),
  interval: videoAxis(nullable(list(interval, "B"))),
  per_episode: videoAxis(table("E", "B")),
});

const iterates = object<IterateResult>({
  mse_to_last: list(error, "K"),
  mse_to_truth: nullable(list(error, "K")),
  interval: videoAxis(nullable(list(interval, "K"))),
  per_episode: videoAxis(table("E", "K")),
  null_curve: about(
    "What is left of the first error by the schedule's noise, whatever was learned.",
    videoAxis(list(number(), "K")),
  ),
});

const correlations = list(list(number({ least: -1.001, most: 1.001 }), "K"), "K");

const tapSimilarity = object<TapSimilarity>({
  rows: about("Tokens compared, of each tensor of the tap.", list(count(2))),
  tokens: about("Tokens that it has.", list(count(2))),
  shuffles: about("Permutations of the rows that the nulls are means of.", count(1)),
  cosine: about("Cosine of the taps of two probed steps, their means over tokens subtracted.", correlations),
  cosine_null: about("With the tokens of one shuffled.", correlations),
  cka: about("Linear centred kernel alignment.", correlations),
  cka_null: correlations,
});

const signal = (description: string) =>
  about(description, nullable(list(list(list(nullable(error), "K"), "V"), "E")));
const signals = object<SignalsResult>({
  tap_drift: signal("(E, V, K) relative change of the tap since the probed step before; null at the first."),
  velocity_change: signal(
    "(E, V, K) relative change of the mean velocity between consecutive probed steps; null at the first two.",
  ),
});

const events = object<EventCounts>({
  switches: about("Of a reference's chunk.", error),
  timed: about("Share of chunks in which both switch.", list(number({ least: 0, most: 1 }), "K")),
  missing: about("Switches a chunk that the reference has more.", list(error, "K")),
  extra: about("Switches a chunk that the reference does not have.", list(error, "K")),
});

const partErrors = object<PartErrors>({
  name: text(),
  kind: oneOf("squared", "rotation6d", "rotvec", "event", "logits"),
  ...{ from: count(), to: count(1) },
  unit: about("What the error is counted in.", text()),
  seconds_per_position: nullable(error),
  mse: about("Mean squared, normalised units.", videoAxis(list(error, "K"))),
  error: about(
    "Mean distance in the data's units, angle, time between switches in positions where both switch, or share of other classes; by the part's kind.",
    videoAxis(list(nullable(error), "K")),
  ),
  error_interval: videoAxis(list(nullable(interval), "K")),
  events: nullable(
    object<NonNullable<PartErrors["events"]>>({ to_last: events, to_truth: nullable(events) }),
  ),
});

const flops = object<FlopsResult>({
  encode: error,
  trajectory: error,
  calls: count(1),
  network_call: error,
  read_out: error,
  grid_share: about("All probed steps read from one noise, over the trajectory.", error),
  similarity: error,
});

const straightness = object<StraightnessResult>({
  of: about("Whose flow.", text()),
  times: about("P times, from noise on.", list(number(), "P")),
  residual: about(
    "Mean of what the identity leaves over, relative to the speed; 0: a straight way.",
    list(error, "P"),
  ),
  interval: nullable(list(interval, "P")),
  per_episode: table("E", "P"),
  bend: about("Mean of ‖u − v‖ / ‖v‖, of networks of the average velocity.", nullable(list(error, "P"))),
});

export const RESULT_SHAPE: Shape<ProbeResult> = object<ProbeResult>({
  schema: oneOf(RESULT_SCHEMA),
  version: oneOf(RESULT_VERSION),
  statement: about("What the weights are and what must not be concluded.", text(/\S/)),
  model: object<ProbeResult["model"]>({
    name: text(),
    revision: text(),
    weights_sha256: sha256,
    trained_on: oneOf("random", "toy", "pretrained"),
    system: text(),
    stamp: about("What decides the numbers besides the weights.", record(text())),
  }),
  data: object<ProbeResult["data"]>({ name: text(), sha256, noise_sha256: nullable(sha256) }),
  device: object<ProbeResult["device"]>({ name: text(), driver: text(), adapter: text(), software: boolean }),
  dtype: text(),
  arithmetic: about("In what products are computed.", nullable(oneOf("f32", "f16"))),
  words: about(
    "How what was read is spoken of; null: as a robot's actions.",
    nullable(object<NonNullable<ProbeResult["words"]>>({ what: text(), read: text(), truth: text() })),
  ),
  variants: about("Programs that ran, by kernel.", nullable(record(list(text())))),
  versions: record(text()),
  video_steps: about("N, steps of the schedule.", count(1)),
  probe_steps: about("Video steps that were read out, ascending.", list(step, "K")),
  tau: about("Video times of the probed steps: 1 is noise, 0 is clean.", list(number(), "K")),
  action_steps: about("M; 0 where the read-out has no steps.", count()),
  action_times: list(number(), "M + 1"),
  episodes: list(
    object<ProbeResult["episodes"][number]>({ index: count(), id: text(), prompt: text() }),
    "E",
  ),
  video_seeds: list(count()),
  action_seeds: either(list(count()), oneOf("same"), Array.isArray),
  chunk_length: about("T, positions of an action chunk.", count(1)),
  action_names: list(text(), "D"),
  action_units: list(text(), "D"),
  interval: object<ProbeResult["interval"]>({
    level: number({ least: 0, most: 1 }),
    method: text(),
    clusters: about("Episodes that are no copies of one another.", count()),
    resamples: count(),
    seed: count(),
    expected_coverage: nullable(coverage),
  }),
  video_axis: about("Mean squared errors, squared normalised action units.", videoAxis(list(error, "K"))),
  video_axis_interval: videoAxis(nullable(list(interval, "K"))),
  video_axis_per_episode: videoAxis(table("E", "K")),
  video_axis_per_dimension: videoAxis(table("K", "D")),
  video_axis_per_position: videoAxis(table("K", "T")),
  mse_to_last_data_units: about(
    "In the squares of action_units; null in files of version 1.",
    nullable(table("K", "D")),
  ),
  mse_to_truth_data_units: nullable(table("K", "D")),
  action_axis_at_last_video_step: actionAxis((points) => list(error, points)),
  action_axis_interval: actionAxis((points) => nullable(list(interval, points))),
  action_axis_per_episode: actionAxis((points) => table("E", points)),
  action_axis_per_dimension: actionAxis((points) => table(points, "D")),
  action_axis_per_position: actionAxis((points) => table(points, "T")),
  null_curve: about(
    "What a straight flow between the same ends gives, whatever was learned.",
    nullable(
      object<NonNullable<ProbeResult["null_curve"]>>({
        // To the truth it is a quadratic whose middle may round below 0.
        iterate_to_final: list(number(), "M + 1"),
        iterate_to_truth: nullable(list(number(), "M + 1")),
      }),
    ),
  ),
  grid: about(
    "Video step × action step.",
    nullable(
      object<NonNullable<ProbeResult["grid"]>>({ iterate: gridTables("M + 1"), one_jump: gridTables("M") }),
    ),
  ),
  floors: about(
    "What a policy that ignores the scene scores.",
    object<ProbeResult["floors"]>({
      hold_still_to_truth: nullable(error),
      dataset_mean_to_truth: nullable(error),
      hold_still: levels,
      dataset_mean: levels,
    }),
  ),
  controls: about(
    "The decode at the last step with a context that knows nothing of the episode.",
    object<ProbeResult["controls"]>({
      zeroed_context: levels,
      other_episode_context: levels,
      frames_shuffled: levels,
    }),
  ),
  control_differences: about(
    "MSE(control) − MSE(own) to the truth at the last step, paired by episode; null in files that are older.",
    nullable(
      object<NonNullable<ProbeResult["control_differences"]>>({
        zeroed_context: nullable(ESTIMATE),
        other_episode_context: nullable(ESTIMATE),
        frames_shuffled: nullable(ESTIMATE),
      }),
    ),
  ),
  oracle_axis: about("Decodes from the recorded future.", nullable(videoAxis(list(error, "K")))),
  oracle_axis_interval: nullable(videoAxis(nullable(list(interval, "K")))),
  between_seeds: about(
    "Mean squared difference of the last actions of two seeds; null with one seed.",
    object<ProbeResult["between_seeds"]>({ video: nullable(error), action: nullable(error) }),
  ),
  verdict: about("From which step on the read-out is as good as at the last.", verdict),
  episode_labels: about("What the data say of each episode, by name.", list(record(text()), "E")),
  spread_by_label: about("Spread over seeds by those labels.", list(spread)),
  budget_axis: about("Whole schedules, each read at its end.", nullable(budget)),
  other_rules: about("The same schedules led by other rules, each read at its end.", list(otherRule)),
  population: about("What all samples together have, and the verdict on it.", nullable(POPULATION)),
  iterate_axis: about("The trajectory's own state beside what is read of it.", nullable(iterates)),
  ...STOPPING_SHAPES,
  tap_similarity: about("(K, K) how alike the taps of two probed steps are.", nullable(tapSimilarity)),
  signals: about("What can be seen without the truth while a trajectory runs.", signals),
  by_part: about("Errors by what the dimensions mean.", list(partErrors)),
  straightness: about(
    "How straight the flow's own way is; null where that was not asked.",
    nullable(straightness),
  ),
  flops: about(
    "Additions and multiplications of matrix products, attention and convolutions, of one trajectory.",
    nullable(flops),
  ),
});

/** docs/probe.schema.json. */
export function resultJsonSchema(): object {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: `urn:${RESULT_SCHEMA}:${RESULT_VERSION}`,
    title: `probe.json, version ${RESULT_VERSION}`,
    description:
      "Axes: E episodes, V video seeds, K probed steps, B budgets, M action steps, T positions of a chunk, D action dimensions; lengths are given as (letter). " +
      "Keys may be added within a version; a key that changes its meaning or goes away raises it.",
    ...RESULT_SHAPE.schema,
  };
}
