/** The outer axis: how the decoded chunk changes with the step whose hidden states condition it. */
import type { Interval } from "../statistics/bootstrap.ts";
import { differenceStrip } from "./difference.ts";
import { levelLabels, levelsOf, levelTraces } from "./levels.ts";
import {
  bandInside,
  bandsOf,
  cutMarks,
  cutWords,
  LEGEND_Y,
  legendAt,
  logRange,
  type Panel,
  type PanelPlace,
  panelAxes,
  panelTitle,
  positive,
  verticalTitle,
} from "./panel.ts";
import { COLOUR, FONT, line, note, type Plain, type ShownReferences } from "./style.ts";
import type { ProbeResult } from "../result/result.ts";
import {
  axisStep,
  axisTitle,
  errorUnit,
  lastStep,
  roundIndices,
  truthWords,
  withRoom,
} from "../result/sentences.ts";
import { stepsOfCost } from "./steps-of-cost.ts";

const UPPER = { xaxis: "x", yaxis: "y", legend: "legend" };

interface AxisCurve {
  name: string;
  /** steps of the stop axis */
  at: number[];
  mean: number[];
  interval: Interval[] | null;
  color: string;
  symbol: string;
  dash: string;
}

/** Curves to both references, of the imagined and of the recorded future. */
function curvesOf(result: ProbeResult, shown: ShownReferences): AxisCurve[] {
  const { video_axis, video_axis_interval, oracle_axis, oracle_axis_interval, budget_axis, iterate_axis } =
    result;
  const at = result.probe_steps;
  const futures = [
    { words: "", at, axis: video_axis, ends: video_axis_interval, dash: "solid", open: "" },
    {
      words: "whole schedules at equal cost, ",
      at: budget_axis ? stepsOfCost(budget_axis.calls, budget_axis.stop_calls, at) : [],
      axis: budget_axis,
      // Its band would lie over that of the curve it is compared with; the paired interval stands in the summary.
      ends: null,
      dash: "dot",
      open: "-open-dot",
    },
    ...result.other_rules.map((axis) => ({
      words: `by the ${axis.words}, `,
      at: budget_axis ? stepsOfCost(budget_axis.calls, budget_axis.stop_calls, at) : [],
      ...{ axis, ends: null, dash: "longdashdot", open: "-open" },
    })),
    {
      ...{ words: "recorded future, ", at },
      axis: oracle_axis,
      ends: oracle_axis_interval,
      dash: "dash",
      open: "-open",
    },
    {
      ...{ words: "the iterate itself, ", at, axis: iterate_axis },
      ends: null,
      dash: "dash",
      open: "-open",
    },
  ];
  const references = [
    {
      key: "mse_to_truth",
      is: shown.truth,
      name: `to ${truthWords(result)}`,
      color: COLOUR.truth,
      symbol: "circle",
    },
    {
      key: "mse_to_last",
      is: shown.last,
      name: `to the decode at step ${lastStep(result)}`,
      color: COLOUR.last,
      symbol: "square",
    },
  ] as const;
  return references.flatMap(({ key, is, name, color, symbol }) =>
    futures.flatMap(({ words, at, axis, ends, dash, open }) => {
      const mean = axis?.[key];
      if (!is || !mean) return [];
      const zero = key === "mse_to_last" && words === "" ? " (0 there by definition)" : "";
      return [
        {
          name: `${words}${name}${zero}`,
          ...{ at, mean, interval: ends?.[key] ?? null, color, dash, symbol: symbol + open },
        },
      ];
    }),
  );
}

/** What the schedule's noise alone would leave of the iterates' errors. */
function nullOfIterates({ iterate_axis, probe_steps }: ProbeResult, shown: ShownReferences): Plain[] {
  if (!iterate_axis) return [];
  const { mse_to_last, mse_to_truth } = iterate_axis.null_curve;
  const curves = [
    ...(shown.last ? [mse_to_last] : []),
    ...(shown.truth && mse_to_truth ? [mse_to_truth] : []),
  ];
  return curves.map((curve, i) =>
    line(
      UPPER,
      "null of the iterate: the noise that is left, whatever was learned",
      probe_steps,
      positive(curve),
      {
        ...{ color: COLOUR.nullCurve, dash: "dot", width: 2, showlegend: i === 0 },
      },
    ),
  );
}

export function videoPanel(result: ProbeResult, shown: ShownReferences, place: PanelPlace): Panel {
  const { probe_steps: steps, tau, video_steps: N, verdict } = result;
  const range: [number, number] = [-0.03 * N, 1.03 * N];
  const curves = curvesOf(result, shown);
  const levels = levelsOf(result, shown);
  const bands = curves.flatMap(({ interval }) => interval?.flatMap(({ low, high }) => [low, high]) ?? []);
  const means = curves.map(({ mean }) => mean);
  // A lower end near or below zero would stretch a logarithmic axis without bound: a decade below the curves is enough.
  const least = 0.1 * Math.min(...means.flat().filter((value) => value > 0));
  const scale = logRange(
    [...means, bands.filter((value) => value > least), levels.map(({ value }) => value)],
    5,
  );
  const edges: [number, number] = [10 ** scale[0], 10 ** scale[1]];

  const data: Plain[] = [];
  for (const { at: points, mean, interval, color } of curves) {
    // A curve's zero at the last step has no place on a logarithmic axis, and its band ends with it.
    const kept = points.map((_, k) => k).filter((k) => mean[k] > 0);
    const at = kept.map((k) => points[k]);
    data.push(
      ...cutMarks(
        UPPER,
        at,
        kept.map((k) => mean[k]),
        edges,
        color,
      ),
    );
    if (interval)
      data.push(
        ...bandInside(
          UPPER,
          at,
          kept.map((k) => interval[k]),
          edges,
          color,
        ),
      );
  }
  for (const { name, at, mean, color, symbol, dash } of curves)
    data.push(line(UPPER, name, at, positive(mean), { color, symbol, dash }));
  data.push(...nullOfIterates(result, shown));
  data.push(...levelTraces(levels, UPPER, range, scale, place, true));
  const labels = levelLabels(levels, scale, place, shown, truthWords(result));

  const strip = differenceStrip(result, range);
  const own = result.iterate_axis
    ? "the clean estimate after step k"
    : result.words
      ? "if one more call ended it after step k"
      : undefined;
  const ticks = withRoom(steps, roundIndices(steps, 9));
  const { step } = verdict;
  const marked = step !== null && step < lastStep(result);
  return {
    data: [...data, ...strip.data],
    axes: panelAxes(
      1,
      place,
      {
        values: ticks.map((k) => steps[k]),
        labels: ticks.map((k) => `${steps[k]}<br>${Number(tau[k].toFixed(3))}`),
        range,
        title: `${axisStep(result)} k of ${N};  below it flow time τ (1 noise, 0 clean)`,
      },
      { upper: scale, strip: strip.range },
    ),
    legends: {
      legend: legendAt(
        place.x[0],
        LEGEND_Y,
        `${axisTitle(result)} axis (${bandsOf(result)}${cutWords([...data, ...strip.data])})`,
      ),
    },
    shapes: [
      ...strip.shapes,
      ...labels.shapes,
      ...(marked
        ? ["y", "y2"].map((axis) => ({
            type: "line",
            xref: "x",
            yref: `${axis} domain`,
            x0: step,
            x1: step,
            y0: 0,
            y1: 1,
            line: { color: COLOUR.mark, width: 2, dash: "dot" },
          }))
        : []),
    ],
    annotations: [
      panelTitle(
        `<b>${axisTitle(result)} axis</b>: ${own ?? "a full decode from the hidden states of step k"}`,
        place,
      ),
      verticalTitle(`mean squared error (${errorUnit(result)})`, place.x[0], place.upper),
      verticalTitle(`MSE(k) − MSE(${lastStep(result)})`, place.x[0], place.strip),
      ...(marked
        ? [
            note(`sufficient step ${step}`, step, 0.02, {
              xref: "x",
              yref: "y domain",
              xanchor: step > 0.6 * N ? "right" : "left",
              yanchor: "bottom",
              bgcolor: "rgba(255,255,255,0.8)",
              xshift: step > 0.6 * N ? -6 : 6,
              font: { ...FONT, size: 14, color: COLOUR.mark },
            }),
          ]
        : []),
      ...labels.annotations,
      ...strip.annotations,
    ],
  };
}
