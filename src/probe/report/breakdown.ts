/** The outer axis taken apart: by action dimension, by position in the chunk, by episode. E, K, D, T: result.ts. */
import { COLOUR, faded } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { axisName, lastStep, roundIndices, short, truthWords } from "../result/sentences.ts";
import { errorTitle, floorLevels, stepAxis } from "./axes.ts";
import type { Chart, ChartCurve, ChartLevel, Table } from "./chart.ts";

/** Told apart by dash and marker where the colours begin again. */
const SERIES = [
  COLOUR.truth,
  COLOUR.last,
  COLOUR.other,
  COLOUR.zeroed,
  COLOUR.mark,
  COLOUR.datasetMean,
] as const;
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"] as const;
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross"] as const;

/** Most rows of a table and curves of a figure; `probe.json` has all. */
const MOST = { episodes: 200, dimensions: 30, columns: 9 } as const;

/** What the breakdowns are measured to: the truth where it is known. */
function axisOf<T>(axis: { mse_to_last: T; mse_to_truth: T | null }, result: ProbeResult) {
  return axis.mse_to_truth !== null
    ? { values: axis.mse_to_truth, words: `to ${truthWords(result)}`, truth: true }
    : { values: axis.mse_to_last, words: `to the decode at step ${lastStep(result)}`, truth: false };
}

/** Floors are known over everything only. */
const overall = (levels: ChartLevel[]): ChartLevel[] =>
  levels.map((level) => ({ ...level, name: `${level.name}, over all` }));

export function dimensionChart(result: ProbeResult): Chart {
  const { action_names: names, probe_steps: steps } = result;
  const { values, words, truth } = axisOf(result.video_axis_per_dimension, result);
  const shown = names.slice(0, MOST.dimensions);
  const mean = axisOf(result.video_axis, result).values;
  return {
    id: "dimensions",
    title: `By ${result.words ? "" : "action "}dimension, ${words}`,
    alt: `A curve for each of ${shown.length} action dimensions by ${axisName(result)} step. The numbers are in the table below.`,
    notes: [
      "Each dimension in its own normalised units. Floors and controls are known as means over all dimensions only." +
        (shown.length < names.length
          ? ` The first ${shown.length} of ${names.length} dimensions; probe.json has all.`
          : ""),
    ],
    x: stepAxis(result),
    y: { title: errorTitle(result), log: true },
    curves: [
      { name: "mean over all", x: steps, y: mean, color: COLOUR.holdStill, width: 1.5, dash: "dot" },
      ...shown.map((name, d): ChartCurve => {
        const turn = Math.floor(d / SERIES.length) % DASHES.length;
        return {
          ...{ name, x: steps, y: values.map((row) => row[d]) },
          ...{ color: SERIES[d % SERIES.length], dash: DASHES[turn], symbol: SYMBOLS[turn] },
        };
      }),
    ],
    levels: overall(floorLevels(result, truth)),
    height: 300,
  };
}

/** Errors in the data's own units, a row a step; dimensions of different units have no common mean. */
export function dataUnitsTable(result: ProbeResult): Table | undefined {
  const { action_names, action_units, probe_steps, mse_to_truth_data_units: truth } = result;
  const values = truth ?? result.mse_to_last_data_units;
  // A file of version 1 does not know them.
  if (!values) return undefined;
  const to = truth ? truthWords(result) : `the decode at step ${lastStep(result)}`;
  const names = action_names.slice(0, MOST.dimensions);
  return {
    caption: `Root mean squared error to ${to}, in the data's units`,
    head: [`${axisName(result)} step`, ...names.map((name, d) => `${name} (${action_units[d] ?? "?"})`)],
    rows: probe_steps.map((step, k) => [
      String(step),
      ...names.map((_, d) => short(Math.sqrt(values[k][d]))),
    ]),
  };
}

export function positionChart(result: ProbeResult): Chart {
  const { chunk_length: T, probe_steps: steps } = result;
  const { values, words, truth } = axisOf(result.video_axis_per_position, result);
  const positions = Array.from({ length: T }, (_, t) => t);
  const kept = roundIndices(steps, 6);
  return {
    id: "positions",
    title: `By position in the chunk, ${words}`,
    alt: `A curve for each of ${kept.length} ${axisName(result)} steps over the ${T} positions of a chunk. The numbers are in the table below.`,
    notes: [
      "From the earliest probed step (faint) to the last (full colour, squares). Floors and controls are known as means over all positions only.",
    ],
    x: {
      title: result.words ? `position, of ${T}` : `position in the chunk of ${T} actions`,
      all: positions.map((t) => ({ at: t, name: String(t) })),
      ticks: roundIndices(positions, 9).map((t) => ({ at: t, label: String(t) })),
    },
    y: { title: errorTitle(result), log: true },
    curves: kept.map((k, i): ChartCurve => {
      const isLast = i === kept.length - 1;
      const weight = 0.35 + (0.65 * i) / Math.max(1, kept.length - 1);
      return {
        ...{ name: `step ${steps[k]}`, x: positions, y: values[k] },
        color: isLast ? COLOUR.last : faded(COLOUR.truth, Number(weight.toFixed(2))),
        ...(isLast ? { symbol: "square" } : { dash: DASHES[i % DASHES.length] }),
      };
    }),
    levels: overall(floorLevels(result, truth)),
    height: 300,
  };
}

/** Every episode's own curve: with a truth its difference to the last step, which is what the verdict averages. */
export function episodeChart(result: ProbeResult): Chart {
  const { probe_steps: steps, verdict, episodes } = result;
  const { values, truth } = axisOf(result.video_axis_per_episode, result);
  const last = steps.length - 1;
  const rows = values.slice(0, MOST.episodes).map((row) => (truth ? row.map((mse) => mse - row[last]) : row));
  const mean = truth ? verdict.difference! : result.video_axis.mse_to_last;
  const known = truth && verdict.margin !== null && verdict.margin > 0 ? verdict.margin : undefined;
  return {
    id: "episodes",
    title: truth
      ? `By episode: MSE(k) − MSE(${steps[last]}) to ${truthWords(result)}`
      : `By episode, to the decode at step ${steps[last]}`,
    alt: `A curve for each of ${rows.length} episodes by ${axisName(result)} step. The numbers are in the table below.`,
    notes: [
      `A thin line is an episode, the mean over its seeds; the thick one is the mean over ${episodes.length === 1 ? "the one episode" : `all ${episodes.length}`}. ` +
        (truth ? "Intervals and verdict are drawn from how these lines scatter." : ""),
    ],
    x: stepAxis(result),
    y: { title: truth ? "difference of mean squared errors" : errorTitle(result), log: !truth },
    curves: [
      ...rows.map((y, e): ChartCurve => {
        const name = episodes[e]?.id ?? String(e);
        return { name, x: steps, y, color: COLOUR.datasetMean, width: 1, quiet: true };
      }),
      { name: "mean", x: steps, y: mean, color: COLOUR.truth, symbol: "circle", width: 3 },
    ],
    levels: truth
      ? [
          { name: "no difference", value: 0, color: COLOUR.holdStill, dash: "dot" },
          ...(known === undefined
            ? []
            : [{ name: "margin", value: known, color: COLOUR.mark, dash: "solid" }]),
        ]
      : floorLevels(result, false),
    ...(known === undefined ? {} : { margin: known }),
    height: 280,
  };
}

export function episodeTable(result: ProbeResult): Table {
  const { probe_steps: steps, episodes } = result;
  const { values, words } = axisOf(result.video_axis_per_episode, result);
  const kept = roundIndices(steps, MOST.columns);
  const shown = episodes.slice(0, MOST.episodes);
  const cut =
    shown.length < episodes.length
      ? `; the first ${shown.length} of ${episodes.length}, probe.json has all`
      : "";
  return {
    caption: `Mean squared error ${words} by episode${cut}`,
    head: ["episode", "prompt", ...kept.map((k) => `step ${steps[k]}`), "best step"],
    rows: shown.map(({ id, prompt }, e) => {
      const row = values[e];
      const best = steps[row.indexOf(Math.min(...row))];
      return [id, prompt, ...kept.map((k) => short(row[k])), String(best)];
    }),
    words: 2,
  };
}
