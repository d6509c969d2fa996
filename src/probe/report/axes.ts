/** Figures along the two axes of the experiment: the outer (video) axis, its differences to the last step, the inner (action) axis. */
import { levelsOf } from "../figure/levels.ts";
import { bandsOf } from "../figure/panel.ts";
import { COLOUR } from "../figure/style.ts";
import type { BudgetResult, ProbeResult } from "../result/result.ts";
import {
  axisName,
  axisStep,
  axisTitle,
  errorUnit,
  lastStep,
  readWords,
  roundIndices,
  truthWords,
} from "../result/sentences.ts";
import { marginWords } from "../result/verdict.ts";
import { short } from "../result/words.ts";
import { stepsOfCost } from "../figure/steps-of-cost.ts";
import type { Interval } from "../statistics/bootstrap.ts";
import type { Estimate } from "../statistics/estimate.ts";
import { type Chart, type ChartCurve, type ChartLevel, type Table, withInterval } from "./chart.ts";

export const errorTitle = (result: ProbeResult): string => `mean squared error (${errorUnit(result)})`;

/** The outer axis of every figure that has one. */
export function stepAxis(result: ProbeResult): Chart["x"] {
  const { probe_steps: steps, tau, video_steps } = result;
  const round = (time: number) => String(Number(time.toFixed(3)));
  return {
    title: `${axisStep(result)} k of ${video_steps}; below it the flow time τ (1 noise, 0 clean)`,
    all: steps.map((step, k) => ({ at: step, name: `${step} (τ ${round(tau[k])})` })),
    ticks: roundIndices(steps, 8).map((k) => ({ at: steps[k], label: `${steps[k]}\n${round(tau[k])}` })),
  };
}

/** Floors and controls, with what they are measured to. */
export function floorLevels(result: ProbeResult, truth: boolean): ChartLevel[] {
  return levelsOf(result, { truth, last: !truth }).map(({ name, value, color, dash }) => ({
    ...{ name, value, color, dash },
  }));
}

const knowsTruth = ({ video_axis }: ProbeResult): boolean => video_axis.mse_to_truth !== null;

export function videoChart(result: ProbeResult): Chart {
  const { probe_steps: steps, video_axis, video_axis_interval, oracle_axis, oracle_axis_interval } = result;
  const { iterate_axis: iterates } = result;
  const noise = { color: COLOUR.nullCurve, dash: "dot" };
  const last = lastStep(result);
  const budget = result.budget_axis;
  const curve = (
    name: string,
    y: number[] | null | undefined,
    interval: ChartCurve["interval"],
    look: { color: string; symbol?: string; dash?: string },
  ): ChartCurve[] => (y ? [{ name, x: steps, y, interval, ...look }] : []);
  const truth = { color: COLOUR.truth, symbol: "circle" };
  const own = { color: COLOUR.last, symbol: "square" };
  const to = knowsTruth(result) ? truthWords(result).replace(/^the /, "") : "last decode";
  const levels = floorLevels(result, knowsTruth(result));
  return {
    id: "video-axis",
    title: iterates
      ? `${axisTitle(result)} axis: the clean estimate after each step`
      : result.words
        ? `${axisTitle(result)} axis: ${readWords(result)}, if one more call ended it after each step`
        : `${axisTitle(result)} axis: a full decode from the hidden states of each step`,
    alt: `Error of ${readWords(result)} by ${axisName(result)} step, with ${levels.map(({ name }) => name).join(", ") || "no floors"}. The numbers are in the table below.`,
    notes: [
      `Horizontal lines are floors and controls, measured to the ${to}: ${result.words ? "what says nothing of the class asked for" : "what a policy scores that ignores the scene"}. ${bandsWords(result)}`,
      ...(iterates
        ? [
            "The iterate is what is denoised; the dotted null is what the noise that the schedule leaves in it makes of its error, whatever was learned. " +
              "An iterate that follows it shows the arithmetic of the sampler: the clean estimate says when the actions are known.",
          ]
        : []),
      ...(budget
        ? [
            "Dotted: whole schedules of fewer steps, each run to its end, where stopping the longest costs as many calls of the network. Their bands are left out; the table has them.",
          ]
        : []),
    ],
    x: stepAxis(result),
    y: { title: errorTitle(result), log: true },
    ...(budget ? { table: videoTable(result) } : {}),
    curves: [
      ...curve(`to ${truthWords(result)}`, video_axis.mse_to_truth, video_axis_interval.mse_to_truth, truth),
      ...curve(
        `to the decode at step ${last} (0 there by definition)`,
        video_axis.mse_to_last,
        video_axis_interval.mse_to_last,
        own,
      ),
      ...curve(
        "recorded future, to the true actions",
        oracle_axis?.mse_to_truth,
        oracle_axis_interval?.mse_to_truth,
        { color: COLOUR.truth, symbol: "circle-open", dash: "dash" },
      ),
      ...curve(
        `recorded future, to the decode at step ${last}`,
        oracle_axis?.mse_to_last,
        oracle_axis_interval?.mse_to_last,
        { color: COLOUR.last, symbol: "square-open", dash: "dash" },
      ),
      ...(budget ? budgetCurves(result, budget) : []),
      ...(budget ? ruleCurves(result, budget) : []),
      ...curve(
        "the iterate itself, to the true actions",
        iterates?.mse_to_truth,
        iterates?.interval.mse_to_truth,
        {
          ...{ color: COLOUR.truth, symbol: "circle-open", dash: "dash" },
        },
      ),
      ...curve(`the iterate itself, to step ${last}`, iterates?.mse_to_last, iterates?.interval.mse_to_last, {
        ...{ color: COLOUR.last, symbol: "square-open", dash: "dash" },
      }),
      ...curve("null of the iterate, to the true actions", iterates?.null_curve.mse_to_truth, null, noise),
      ...curve(`null of the iterate, to step ${last}`, iterates?.null_curve.mse_to_last, null, noise),
    ],
    levels,
    height: 340,
  };
}

/** Whole schedules where stopping the longest one costs as much. */
function budgetCurves(result: ProbeResult, budget: BudgetResult): ChartCurve[] {
  const x = stepsOfCost(budget.calls, budget.stop_calls, result.probe_steps);
  const look = { dash: "dot", width: 2 };
  const { mse_to_truth: truth, mse_to_last: own } = budget;
  return [
    ...(truth
      ? [
          {
            ...{ name: `whole schedules, to ${truthWords(result)}`, x, y: truth },
            ...{ ...look, color: COLOUR.truth, symbol: "circle-open" },
          },
        ]
      : []),
    {
      ...{ name: `whole schedules, to the decode at step ${lastStep(result)}`, x, y: own },
      ...{ ...look, color: COLOUR.last, symbol: "square-open" },
    },
  ];
}

/** The same schedules led by other rules. */
function ruleCurves(result: ProbeResult, budget: BudgetResult): ChartCurve[] {
  const x = stepsOfCost(budget.calls, budget.stop_calls, result.probe_steps);
  return result.other_rules.flatMap(({ words, mse_to_truth: truth, mse_to_last: own }) => {
    const look = { dash: "longdashdot", width: 2 };
    return [
      ...(truth
        ? [
            {
              ...{ name: `by the ${words}, to ${truthWords(result)}`, x, y: truth },
              ...{ ...look, color: COLOUR.truth, symbol: "diamond-open" },
            },
          ]
        : []),
      {
        ...{ name: `by the ${words}, to the decode at step ${lastStep(result)}`, x, y: own },
        ...{ ...look, color: COLOUR.last, symbol: "diamond-open" },
      },
    ];
  });
}

/** Every way to spend a number of calls of the network: a row a stop or a schedule. */
function videoTable(result: ProbeResult): Table {
  const { probe_steps, video_axis, video_axis_interval, oracle_axis, oracle_axis_interval } = result;
  const budget = result.budget_axis!;
  const cell = (axis: ProbeResult["video_axis"] | null, ends: AxisIntervals | null, key: Key, i: number) =>
    axis?.[key] ? withInterval(axis[key][i], ends?.[key]?.[i]) : "–";
  const keys: Key[] = ["mse_to_truth", "mse_to_last"];
  const rows = [
    ...probe_steps.map((step, k) => ({
      calls: budget.stop_calls[k],
      row: [`stopped after ${step} of ${result.video_steps}`, String(budget.stop_calls[k])].concat(
        keys.map((key) => cell(video_axis, video_axis_interval, key, k)),
        oracle_axis ? keys.map((key) => cell(oracle_axis, oracle_axis_interval, key, k)) : [],
      ),
    })),
    ...budget.steps.map((steps, b) => ({
      calls: budget.calls[b],
      row: [`whole schedule of ${steps}`, String(budget.calls[b])].concat(
        keys.map((key) => cell(budget, budget.interval, key, b)),
        oracle_axis ? ["–", "–"] : [],
      ),
    })),
  ].sort((a, b) => a.calls - b.calls);
  const to = [`to ${truthWords(result)}`, `to the decode at step ${lastStep(result)}`];
  return {
    caption: `${axisTitle(result)} axis and whole schedules by cost: ${errorTitle(result)}`,
    head: [
      "way",
      "network calls",
      ...to,
      ...(oracle_axis ? to.map((words) => `recorded future, ${words}`) : []),
    ],
    rows: rows.map(({ row }) => row),
  };
}

type Key = keyof ProbeResult["video_axis"];
type AxisIntervals = ProbeResult["video_axis_interval"];

/** What decides: each step against the last. Null without a truth. */
export function differenceChart(result: ProbeResult): Chart | null {
  const { difference, difference_interval, margin, margin_source, step } = result.verdict;
  if (!difference) return null;
  const last = lastStep(result);
  const known = margin !== null && margin > 0 ? margin : null;
  return {
    id: "difference",
    title: `Each step against the last: MSE(k) − MSE(${last})`,
    alt: `Difference of the error to ${truthWords(result)} between each step and step ${last}. The numbers are in the table below.`,
    notes: [
      known === null
        ? "There is no margin, so nothing is decided here."
        : `The shade is the margin, ${short(known)} (${marginWords(margin_source!)}). ` +
          (step === null
            ? "There is no verdict, whatever lies in it."
            : "A step whose whole band lies in it, as those of all later steps do, is not worse than the last; the line at 0 is no difference at all."),
    ],
    x: stepAxis(result),
    y: { title: `difference of mean squared errors to ${truthWords(result)}`, log: false },
    curves: [
      {
        name: `step k less step ${last}, paired by episode`,
        x: result.probe_steps,
        y: difference,
        interval: difference_interval,
        color: COLOUR.truth,
        symbol: "circle",
      },
    ],
    levels: [
      { name: "no difference", value: 0, color: COLOUR.holdStill, dash: "dot" },
      ...(known === null ? [] : [{ name: "margin", value: known, color: COLOUR.mark, dash: "solid" }]),
    ],
    ...(known === null ? {} : { margin: known }),
    height: 240,
  };
}

/** The inner axis of every figure that has one. */
export function actionStepAxis({ action_times: times, action_steps: M }: ProbeResult): Chart["x"] {
  const steps = times.map((_, n) => n);
  const words = times[0] < times[M] ? "0 noise, 1 clean" : "1 noise, 0 clean";
  const round = (time: number) => String(Number(time.toFixed(3)));
  return {
    title: `action denoising step n of ${M}; below it the flow time t (${words})`,
    all: steps.map((n) => ({ at: n, name: `${n} (t ${round(times[n])})` })),
    ticks: roundIndices(steps, 8).map((n) => ({ at: n, label: `${n}\n${round(times[n])}` })),
  };
}

/** Null where the read-out has no steps of its own. */
export function actionChart(result: ProbeResult): Chart | null {
  const mean = result.action_axis_at_last_video_step;
  const { action_axis_interval: interval, null_curve, action_steps: M } = result;
  if (!mean || !null_curve) return null;
  const wanted = [
    ["iterate_to_truth", "iterate, to the true actions", COLOUR.truth, "solid", "circle"],
    ["one_jump_to_truth", "one jump, to the true actions", COLOUR.truth, "dash", "circle-open"],
    ["iterate_to_final", `iterate, to the final action (0 at ${M})`, COLOUR.last, "solid", "square"],
    ["one_jump_to_final", "one jump, to the final action", COLOUR.last, "dash", "square-open"],
  ] as const;
  const upTo = (y: readonly number[]) => y.map((_, n) => n);
  const straight = (name: string, y: number[] | null): ChartCurve[] =>
    y ? [{ name, x: upTo(y), y, color: COLOUR.nullCurve, dash: "dot", width: 2 }] : [];
  return {
    id: "action-axis",
    title: `Action axis: inside the decode at ${axisName(result)} step ${lastStep(result)}`,
    alt: "Error of the iterate and of the one-jump estimate by action step, with the null curve of a straight flow. The numbers are in the table below.",
    notes: [
      "The dotted null is what a straight flow between the same two ends gives, whatever was learned: an iterate that follows it shows the arithmetic of the sampler. " +
        `The one-jump estimate goes from step n to the end at once. ${bandsWords(result)}`,
    ],
    x: actionStepAxis(result),
    y: { title: errorTitle(result), log: true },
    curves: [
      ...wanted.flatMap(([key, name, color, dash, symbol]): ChartCurve[] => {
        const y = mean[key];
        return y ? [{ name, x: upTo(y), y, interval: interval?.[key], color, dash, symbol }] : [];
      }),
      ...straight("null, to the true actions", null_curve.iterate_to_truth),
      ...straight("null, to the final action", null_curve.iterate_to_final),
    ],
    levels: floorLevels(result, knowsTruth(result)),
    height: 340,
  };
}

const bandsWords = (result: ProbeResult): string =>
  `${bandsOf(result)
    .replace(/^bands/, "Bands")
    .replace(": no bands", ", so no bands")}.`;

/** Every floor and control to both references. */
export function levelsTable(result: ProbeResult): Table {
  const { floors, controls, control_differences } = result;
  const cell = (level: { mean: number; interval: Interval | null } | null | undefined) =>
    level ? withInterval(level.mean, level.interval) : "not known";
  const all = [
    ["hold still", floors.hold_still],
    ["dataset mean", floors.dataset_mean],
    ["zeroed context", controls.zeroed_context],
    ["another episode's context", controls.other_episode_context],
    ["shuffled frames", controls.frames_shuffled],
  ] as const;
  const paired: Partial<Record<string, Estimate | null>> = {
    "zeroed context": control_differences?.zeroed_context,
    "another episode's context": control_differences?.other_episode_context,
    "shuffled frames": control_differences?.frames_shuffled,
  };
  return {
    caption: `Floors and controls: ${errorTitle(result)}`,
    head: [
      ...["floor or control", `to ${truthWords(result)}`, `to the decode at step ${lastStep(result)}`],
      `to ${truthWords(result)}, less that with its own context`,
    ],
    rows: all.map(([name, level]) => [
      ...[name, cell(level?.to_truth), cell(level?.to_last)],
      paired[name] ? cell(paired[name]) : "–",
    ]),
  };
}
