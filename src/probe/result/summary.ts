/** The result for a terminal: what was measured, the two axes, floors and controls, the answer, and what it is not. */
import type { Interval } from "../statistics/bootstrap.ts";
import type { Estimate } from "../statistics/estimate.ts";
import type { Reference } from "../figure/style.ts";
import type { PopulationCurves } from "./population.ts";
import type { Levels, ProbeResult } from "./result.ts";
import {
  axisName,
  axisTitle,
  coverageSentence,
  lastStep,
  readWords,
  roundIndices,
  sampleSentence,
  seedName,
  short,
  stepWords,
  straightnessSentence,
  truthWords,
  verdictSentence,
  wrap,
} from "./sentences.ts";
import { spreadSentences } from "./spread.ts";
import { stoppingSentences } from "./stopping-words.ts";

const WIDTH = 110;

type Key = keyof ProbeResult["video_axis"];

/** One column of a table: its head and its cells. */
interface Column {
  head: string;
  cells: string[];
}

/**
 * @param files what was written, as [what it is, path].
 * @param reference which references to show; both when the one asked for is not known.
 * @param seconds how long the run took, where that is known.
 * @returns lines joined by newlines, without escape codes.
 */
export function summaryText(
  result: ProbeResult,
  files: [string, string][],
  reference: Reference = "both",
  seconds?: number,
): string {
  const truth = result.video_axis.mse_to_truth !== null && reference !== "final";
  const last = reference !== "truth" || result.video_axis.mse_to_truth === null;
  const { model, device, dtype } = result;
  const where = `${device.name}${device.software ? " (software: a CPU that plays GPU)" : ""}`;
  return [
    `${model.name}, ${model.trained_on === "random" ? "random weights" : `trained: ${model.trained_on}`}, weights ${model.weights_sha256.slice(0, 12)}`,
    `${where}, ${dtype}; ${sampleSentence(result)}${seconds === undefined ? "" : `; ${Math.round(seconds)} s`}`,
    "",
    `${axisTitle(result)} axis: mean squared error of ${readWords(result)}${result.words ? "" : ", normalised units"}, ${intervalWords(result)}`,
    ...videoTable(result, truth, last),
    "",
    ...budgetTable(result, truth, last),
    ...populationTable(result),
    ...actionTable(result, truth, last),
    `Floors and controls, ${truth ? `to ${truthWords(result)}` : "to the last decode"}`,
    ...levelTable(result, truth),
    "",
    ...wrap(verdictSentence(result), WIDTH),
    ...wrapped(coverageSentence(result)),
    ...seedSentences(result),
    ...wrapped(straightnessSentence(result)),
    ...spreadSentences(result).flatMap(wrapped),
    // Of single read-outs, which do not judge where all samples are judged together.
    ...(truth && !result.population ? stoppingSentences(result).flatMap(wrapped) : []),
    "",
    ...wrap(`Do not conclude more. ${result.statement}`, WIDTH),
    "",
    ...files.map(
      ([what, path]) => `${what.padEnd(Math.max(...files.map(([name]) => name.length)))}  ${path}`,
    ),
  ].join("\n");
}

function intervalWords({ interval }: ProbeResult): string {
  return interval.clusters > 1
    ? `[${100 * interval.level} % interval over ${interval.clusters} episodes]`
    : "one independent episode, so no intervals";
}

const wrapped = (text: string): string[] => (text === "" ? [] : wrap(text, WIDTH));

function withInterval(value: number, interval: Interval | null | undefined): string {
  return interval ? `${short(value)} [${short(interval.low)}, ${short(interval.high)}]` : short(value);
}

function videoTable(result: ProbeResult, truth: boolean, last: boolean): string[] {
  const {
    probe_steps: steps,
    tau,
    oracle_axis,
    oracle_axis_interval,
    verdict,
    iterate_axis: iterates,
  } = result;
  // To one reference, or the table is wider than a terminal.
  const own: Key = last ? "mse_to_last" : "mse_to_truth";
  const column = (head: string, mean: number[] | null, interval: Interval[] | null | undefined): Column[] =>
    mean ? [{ head, cells: steps.map((_, k) => withInterval(mean[k], interval?.[k])) }] : [];
  const curve = (head: string, key: Key): Column[] => [
    ...column(head, result.video_axis[key], result.video_axis_interval[key]),
    ...column(`${head}, recorded future`, oracle_axis && oracle_axis[key], oracle_axis_interval?.[key]),
  ];
  const difference = `step k − step ${lastStep(result)}`;
  const rows = roundIndices(steps, 21);
  return table(
    [
      { head: "step", cells: steps.map(String) },
      { head: "τ", cells: tau.map((value) => String(Number(value.toFixed(3)))) },
      ...(truth ? curve("to truth", "mse_to_truth") : []),
      ...(truth ? column(difference, verdict.difference, verdict.difference_interval) : []),
      ...(truth && verdict.step !== null
        ? [{ head: "than the last", cells: steps.map((step) => stepWords(result, step)) }]
        : []),
      ...(last ? curve(`to step ${lastStep(result)}`, "mse_to_last") : []),
      ...(iterates
        ? [
            ...column("iterate", iterates[own], iterates.interval[own]),
            ...column("its null", iterates.null_curve[own], null),
          ]
        : []),
    ],
    rows,
  );
}

/** Nothing where no whole schedules were run. */
function budgetTable(result: ProbeResult, truth: boolean, last: boolean): string[] {
  const { budget_axis: axis, video_steps: N } = result;
  if (!axis) return [];
  const { steps, calls, equal_cost } = axis;
  const column = (head: string, key: Key): Column[] => {
    const mean = axis[key];
    return mean ? [{ head, cells: steps.map((_, b) => withInterval(mean[b], axis.interval[key]?.[b])) }] : [];
  };
  const paired = steps.map((budget) => equal_cost?.find((pair) => pair.budget === budget));
  return [
    `Budget axis: whole schedules, each read at its end; beside them the schedule of ${N} stopped where that costs as much`,
    ...table(
      [
        { head: "steps", cells: steps.map(String) },
        { head: "network calls", cells: calls.map(String) },
        ...(truth ? column("to truth", "mse_to_truth") : []),
        ...(last ? column(`to step ${lastStep(result)}`, "mse_to_last") : []),
        ...(truth && equal_cost
          ? [
              { head: "stop at", cells: paired.map((pair) => (pair ? String(pair.stop) : "–")) },
              {
                head: "whole − stopped, to truth",
                cells: paired.map((pair) => (pair ? withInterval(pair.difference, pair.interval) : "–")),
              },
            ]
          : []),
      ],
      roundIndices([...steps], 21),
    ),
    "",
  ];
}

/** What all samples together have; nothing where single read-outs are judged. */
function populationTable({ population, other_rules, budget_axis }: ProbeResult): string[] {
  if (!population) return [];
  const { measures, schedules, floors, stop } = population;
  const ways: { words: string; from: PopulationCurves; name?: string }[] = [
    ...schedules.map((from) => ({ words: from.words, from, name: from.rule })),
    { words: "stopped there, and one call more from there", from: stop },
  ];
  const cell = (from: PopulationCurves, name: string, i: number): string => {
    const [value, error] = [from.values[name][i], from.standard_errors[name][i]];
    return value === null ? "–" : `${short(value)}${error === null ? "" : ` ± ${short(error)}`}`;
  };
  const heads = measures.map(({ name }) => name);
  const rule = (name: string): number[] =>
    other_rules.find((one) => one.rule === name)?.mse_to_last ?? budget_axis?.mse_to_last ?? [];
  return [
    `All samples together: ${population.samples} against ${population.against} (± one standard error)`,
    ...ways.flatMap(({ words, from, name: led }) => [
      `  ${words}`,
      ...table(
        [
          { head: "calls", cells: from.calls.map(String) },
          ...heads.map((name) => ({ head: name, cells: from.calls.map((_, i) => cell(from, name, i)) })),
          ...(led !== undefined && rule(led).length === from.calls.length
            ? [{ head: "MSE to the last", cells: rule(led).map(short) }]
            : []),
        ],
        from.calls.map((_, i) => i),
      ),
    ]),
    ...floors
      .map(
        ({ words, values }) =>
          `  ${words}: ${heads.map((name) => `${name} ${short(values[name])}`).join(", ")}`,
      )
      .flatMap((text) => wrap(text, WIDTH)),
    "",
  ];
}

/** Nothing where the read-out has no steps of its own. */
function actionTable(result: ProbeResult, truth: boolean, last: boolean): string[] {
  const { null_curve, action_times: times, action_axis_at_last_video_step: mean } = result;
  if (!mean || !null_curve) return [];
  const column = (head: string, values: number[] | null): Column[] =>
    values ? [{ head, cells: times.map((_, n) => (n < values.length ? short(values[n]) : "–")) }] : [];
  const rows = roundIndices(
    times.map((_, n) => n),
    9,
  );
  return [
    `Action axis: inside the decode at ${axisName(result)} step ${lastStep(result)}; null is what a straight flow gives, whatever was learned`,
    ...table(
      [
        { head: "step", cells: times.map((_, n) => String(n)) },
        { head: "t", cells: times.map((value) => String(Number(value.toFixed(4)))) },
        ...(last
          ? [
              ...column("iterate to final", mean.iterate_to_final),
              ...column("null", null_curve.iterate_to_final),
              ...column("one jump to final", mean.one_jump_to_final),
            ]
          : []),
        ...(truth
          ? [
              ...column("iterate to truth", mean.iterate_to_truth),
              ...column("null", null_curve.iterate_to_truth),
              ...column("one jump to truth", mean.one_jump_to_truth),
            ]
          : []),
      ],
      rows,
    ),
    "",
  ];
}

function levelTable({ floors, controls, control_differences }: ProbeResult, truth: boolean): string[] {
  const all: { name: string; level: Levels | null; paired?: Estimate | null }[] = [
    { name: "hold still", level: floors.hold_still },
    { name: "dataset mean", level: floors.dataset_mean },
    {
      ...{ name: "zeroed context", level: controls.zeroed_context },
      paired: control_differences?.zeroed_context,
    },
    {
      ...{ name: "another episode's context", level: controls.other_episode_context },
      paired: control_differences?.other_episode_context,
    },
    // Not every system has frames to shuffle.
    ...(controls.frames_shuffled
      ? [
          {
            ...{ name: "shuffled frames", level: controls.frames_shuffled },
            paired: control_differences?.frames_shuffled,
          },
        ]
      : []),
  ];
  return all.map(({ name, level, paired }) => {
    const shown = truth ? level?.to_truth : level?.to_last;
    const value = shown ? withInterval(shown.mean, shown.interval) : "not known";
    if (!truth || !paired) return `  ${name.padEnd(26)}${value}`;
    const words = !paired.interval
      ? "than its own by"
      : paired.interval.low > 0
        ? "worse than its own by"
        : paired.interval.high < 0
          ? "better than its own by"
          : "not shown to be worse or better: by";
    return `  ${name.padEnd(26)}${value.padEnd(24)}  ${words} ${withInterval(paired.mean, paired.interval)}`;
  });
}

function seedSentences(result: ProbeResult): string[] {
  const { video, action } = result.between_seeds;
  const parts = [
    ...(video === null ? [] : [`two ${seedName(result)}s differ by ${short(video)}`]),
    ...(action === null ? [] : [`two action seeds by ${short(action)}`]),
  ];
  return parts.length > 0 ? [`For scale: the last decodes of ${parts.join(", of ")} (mean squared).`] : [];
}

/** Right-aligned columns, two spaces apart. */
function table(columns: Column[], rows: number[]): string[] {
  const widths = columns.map(({ head, cells }) =>
    Math.max(head.length, ...rows.map((row) => cells[row].length)),
  );
  const lineOf = (cells: string[]) => `  ${cells.map((cell, c) => cell.padStart(widths[c])).join("  ")}`;
  return [
    lineOf(columns.map(({ head }) => head)),
    ...rows.map((row) => lineOf(columns.map(({ cells }) => cells[row]))),
  ];
}
