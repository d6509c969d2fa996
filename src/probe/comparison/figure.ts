/** Video axes of several runs in one figure: to the true actions, and to each run's own last decode. */
import {
  LEGEND_Y,
  legendAt,
  logRange,
  logTicks,
  panelTitle,
  positive,
  verticalTitle,
} from "../figure/panel.ts";
import { band, COLOUR, type Figure, FONT, line, note, type Plain } from "../figure/style.ts";
import type { Interval } from "../statistics/bootstrap.ts";
import { wrap } from "../result/words.ts";
import type { ComparedRun, Comparison } from "./comparison.ts";

/** Told apart by colour, marker and dash together; as many as can be. */
const LOOKS = [
  { color: COLOUR.truth, symbol: "circle", dash: "solid" },
  { color: COLOUR.last, symbol: "square", dash: "dash" },
  { color: COLOUR.other, symbol: "diamond", dash: "dot" },
  { color: COLOUR.zeroed, symbol: "triangle-up", dash: "dashdot" },
  { color: COLOUR.holdStill, symbol: "x", dash: "longdash" },
  { color: COLOUR.mark, symbol: "cross", dash: "longdashdot" },
  { color: "#56B4E9", symbol: "star", dash: "solid" },
  { color: COLOUR.datasetMean, symbol: "triangle-down", dash: "dash" },
] as const;

/** Most runs in one figure. */
export const MOST_RUNS = LOOKS.length;

const MARGIN = { left: 84, right: 44, top: 100 };
const LINE_HEIGHT = 21;
const PLOT = { width: 1312, height: 460 };
const UPPER: [number, number] = [0, 1];

interface Side {
  title: string;
  x: [number, number];
  mean: (run: ComparedRun) => number[] | null;
  interval: (run: ComparedRun) => Interval[] | null;
  /** What needs no video. */
  floor: (run: ComparedRun) => number | null;
}

/** @returns traces and layout; texts of the runs are taken as they are, so they must hold no markup. */
export function comparisonFigure(comparison: Comparison): Figure {
  const { runs } = comparison;
  const shares = runs.some(({ video_steps: N }) => N !== runs[0].video_steps);
  const x = (run: ComparedRun): number[] =>
    run.probe_steps.map((step) => (shares ? step / run.video_steps : step));
  const N = shares ? 1 : runs[0].video_steps;
  const sides: Side[] = [
    {
      ...{ title: "<b>to the true actions</b>", x: [0, 0.47] },
      mean: ({ mse_to_truth }) => mse_to_truth,
      interval: ({ mse_to_truth_interval }) => mse_to_truth_interval,
      floor: ({ hold_still_to_truth }) => hold_still_to_truth,
    },
    {
      ...{ title: "<b>to each run's own decode at the last step</b> (0 there by definition)", x: [0.53, 1] },
      mean: ({ mse_to_last }) => mse_to_last,
      interval: ({ mse_to_last_interval }) => mse_to_last_interval,
      floor: () => null,
    },
  ];
  const data: Plain[] = [];
  const axes: Plain = {};
  const annotations: Plain[] = [];
  sides.forEach((side, s) => {
    const suffix = s === 0 ? "" : String(s + 1);
    const place = { xaxis: `x${suffix}`, yaxis: `y${suffix}`, legend: "legend" };
    const known = runs.flatMap((run, r) => {
      const mean = side.mean(run);
      return mean ? [{ run, mean, look: LOOKS[r] }] : [];
    });
    const floors = known.flatMap(({ run, look }) => {
      const value = side.floor(run);
      return value === null || value <= 0 ? [] : [{ value, look }];
    });
    const range = logRange([...known.map(({ mean }) => mean), floors.map(({ value }) => value)], 5);
    for (const { value, look } of floors)
      data.push(
        line(place, "hold still", [-0.03 * N, 1.03 * N], [value, value], {
          ...{ color: look.color, dash: look.dash, width: 1, showlegend: false },
        }),
      );
    for (const { run, mean, look } of known) {
      const interval = side.interval(run);
      // A band beyond the axis is cut at its edge; a curve's zero has no place on it.
      const inside = (value: number): number => Math.min(Math.max(value, 10 ** range[0]), 10 ** range[1]);
      const kept = mean.map((_, k) => k).filter((k) => mean[k] > 0);
      if (interval)
        data.push(
          band(
            place,
            kept.map((k) => x(run)[k]),
            kept.map((k) => inside(interval[k].low)),
            kept.map((k) => inside(interval[k].high)),
            look.color,
          ),
        );
    }
    for (const { run, mean, look } of known)
      data.push(
        line(place, legendWords(run), x(run), positive(mean), {
          ...look,
          showlegend: s === 0 || !side0Has(run),
        }),
      );
    if (known.length === 0)
      annotations.push(note("the true actions are not known", (side.x[0] + side.x[1]) / 2, 0.5));
    const frame = {
      showline: true,
      linecolor: COLOUR.text,
      ticks: "outside",
      zeroline: false,
      gridcolor: COLOUR.grid,
    };
    axes[`xaxis${suffix}`] = {
      ...{ ...frame, domain: side.x, anchor: place.yaxis, range: [-0.03 * N, 1.03 * N] },
      ...(N <= 10 && !shares ? { dtick: 1 } : {}),
      title: {
        text: shares ? "share of the schedule, k / N" : `denoising step k of ${N}`,
        ...{ standoff: 10, font: FONT },
      },
      tickfont: { ...FONT, size: 14 },
    };
    axes[`yaxis${suffix}`] = {
      ...{ ...frame, domain: UPPER, anchor: place.xaxis, type: "log", range, ...logTicks(range) },
      tickfont: { ...FONT, size: 14 },
    };
    annotations.push(panelTitle(side.title, { x: side.x, upper: UPPER, strip: UPPER }));
  });
  annotations.push(verticalTitle("mean squared error (normalised action units²)", 0, UPPER));
  const statements = [...new Set(runs.map(({ statement }) => statement))].map((each) => {
    const whose = runs.filter(({ statement }) => statement === each).map(({ letter }) => letter);
    return whose.length === runs.length ? each : `${whose.join(", ")}: ${each}`;
  });
  const top = MARGIN.top + LINE_HEIGHT * statements.length;
  const caveats = comparison.caveats.flatMap((caveat) => wrap(caveat, 170));
  const bottom = 130 + 24 * runs.length + 20 * caveats.length;
  const fromBottom = (pixels: number): number => (pixels - bottom) / PLOT.height;
  return {
    data,
    layout: {
      width: MARGIN.left + PLOT.width + MARGIN.right,
      height: top + PLOT.height + bottom,
      margin: { l: MARGIN.left, r: MARGIN.right, t: top, b: bottom, pad: 0 },
      font: FONT,
      ...{ paper_bgcolor: "white", plot_bgcolor: "white" },
      ...axes,
      legend: legendAt(
        0,
        LEGEND_Y,
        "Runs (bands: 95 % intervals, each run by itself; level lines: hold still)",
      ),
      shapes: [],
      annotations: [
        note(
          "<b>After how many denoising steps does the action stop changing?</b>",
          -0.05,
          1 + (top - 14) / PLOT.height,
          { xanchor: "left", yanchor: "top", font: { ...FONT, size: 24 } },
        ),
        note(`<b>${statements.join("<br>")}</b>`, -0.05, 1 + (top - 50) / PLOT.height, {
          ...{ xanchor: "left", yanchor: "top", font: { ...FONT, color: COLOUR.last } },
        }),
        ...annotations,
        note(caveats.join("<br>"), -0.05, fromBottom(12), {
          ...{ xanchor: "left", yanchor: "bottom", font: { ...FONT, size: 13, color: COLOUR.faint } },
        }),
      ],
    },
  };
}

/** A run without a truth is named in the other panel. */
const side0Has = ({ mse_to_truth }: ComparedRun): boolean => mse_to_truth !== null;

function legendWords({ letter, name, verdict, video_steps: N }: ComparedRun): string {
  const answer = verdict.step === null ? "undetermined" : `${verdict.step} of ${N}`;
  const short = name.length > 90 ? `…${name.slice(-89)}` : name;
  return `${letter}  ${short}  (sufficient step: ${answer})`;
}
