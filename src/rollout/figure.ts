/**
 * `rollout.png` as data: how trials went by stop, beside the offline error of the same stops.
 *
 *   left    shares of trials, 0 to 100 %
 *   right   amounts, one below another, the offline error last
 */
import type { Interval } from "../probe/statistics/bootstrap.ts";
import { COLOUR, type Figure, FONT, note, type Plain } from "../probe/figure/style.ts";
import { stampLine } from "./text.ts";
import { wrap } from "../probe/result/words.ts";
import type { AtStop, RolloutResult } from "./result.ts";

const MARGIN = { left: 84, right: 40, top: 124, bottom: 176 };
const PLOT = { width: 1180, height: 520 };
const WIDTH = MARGIN.left + PLOT.width + MARGIN.right;

/** Told apart by colour, marker and dash. */
const STYLES = [
  { color: COLOUR.truth, symbol: "circle", dash: "solid" },
  { color: COLOUR.other, symbol: "diamond", dash: "dash" },
  { color: COLOUR.last, symbol: "square", dash: "dot" },
  { color: COLOUR.zeroed, symbol: "triangle-up", dash: "dashdot" },
  { color: COLOUR.mark, symbol: "cross", dash: "longdash" },
] as const;

/** A curve that has its panel to itself. */
const ALONE = { color: COLOUR.text, symbol: "circle", dash: "solid" } as const;

/** One curve of a panel. */
interface Curve {
  name: string;
  points: readonly Pick<AtStop, "stop" | "mean" | "interval">[];
}

/** @returns traces and layout, without a date. */
export function rolloutFigure(result: RolloutResult): Figure {
  const shares = result.measures.filter(({ kind }) => kind === "share");
  const amounts = result.measures.filter(({ kind }) => kind === "amount");
  const right = [
    ...amounts.map(({ title, units, stops }) => ({ title: `${capital(title)}, ${units}`, stops })),
    ...(result.offline
      ? [{ title: `Offline error, ${result.offline.units}`, stops: result.offline.stops }]
      : []),
  ];
  const percent = shares.map(({ title, stops }): Curve => ({
    name: capital(title),
    points: stops.map(inPercent),
  }));
  const left = panel(1, result.stops, percent, {
    x: right.length > 0 ? [0, 0.46] : [0, 1],
    y: [0, 1],
    title: "Share of trials, %",
    range: [-2, 102],
    bottom: true,
  });
  const height = (1 - 0.12 * (right.length - 1)) / right.length;
  const panels = right.map(({ title, stops }, i) => {
    const top = 1 - i * (height + 0.12);
    const ends = stops.flatMap(({ mean, interval }) => [mean ?? 0, interval?.high ?? 0]);
    return panel(i + 2, result.stops, [{ name: title, points: stops }], {
      ...{ x: [0.57, 1], y: [top - height, top], title },
      ...{ range: [0, 1.08 * Math.max(...ends, Number.MIN_VALUE)], bottom: i === right.length - 1 },
    });
  });
  const all = [left, ...panels];
  return {
    data: all.flatMap(({ data }) => data),
    layout: {
      width: WIDTH,
      height: MARGIN.top + PLOT.height + MARGIN.bottom,
      margin: { l: MARGIN.left, r: MARGIN.right, t: MARGIN.top, b: MARGIN.bottom, pad: 0 },
      font: FONT,
      ...{ paper_bgcolor: "white", plot_bgcolor: "white" },
      ...all.reduce<Plain>((axes, one) => ({ ...axes, ...one.axes }), {}),
      legend: { x: 0, y: -0.135, xanchor: "left", yanchor: "top", orientation: "h", font: FONT },
      annotations: [...heading(result), ...all.map(({ title }) => title)],
    },
  };
}

const capital = (words: string): string => words[0].toUpperCase() + words.slice(1);

const inPercent = ({ stop, mean, interval }: AtStop): Curve["points"][number] => ({
  stop,
  mean: mean === null ? null : 100 * mean,
  interval: interval && { low: 100 * interval.low, high: 100 * interval.high },
});

interface PanelOptions {
  x: [number, number];
  y: [number, number];
  title: string;
  range: [number, number];
  /** whether the stops are written below */
  bottom: boolean;
}

/** Curves over the stops with their intervals. */
function panel(
  index: number,
  stops: readonly number[],
  curves: readonly Curve[],
  { x, y, title, range, bottom }: PanelOptions,
): { data: Plain[]; axes: Plain; title: Plain } {
  const n = index === 1 ? "" : String(index);
  const span = Math.max(1, stops[stops.length - 1] - stops[0]);
  const data = curves.map(({ name, points }, c): Plain => {
    const { color, symbol, dash } = curves.length === 1 ? ALONE : STYLES[c % STYLES.length];
    // Side by side, so that no interval hides another.
    const aside = (c - (curves.length - 1) / 2) * 0.009 * span;
    const known = points.filter(({ mean }) => mean !== null) as {
      stop: number;
      mean: number;
      interval: Interval | null;
    }[];
    return {
      ...{ type: "scatter", mode: "lines+markers", name, showlegend: curves.length > 1 },
      x: known.map(({ stop }) => stop + aside),
      y: known.map(({ mean }) => mean),
      error_y: {
        ...{ type: "data", symmetric: false, thickness: 1.6, width: 4, color },
        array: known.map(({ mean, interval }) => (interval ? interval.high - mean : 0)),
        arrayminus: known.map(({ mean, interval }) => (interval ? mean - interval.low : 0)),
      },
      line: { color, dash, width: 2.2 },
      marker: { color, symbol, size: 9 },
      ...{ xaxis: `x${n}`, yaxis: `y${n}`, cliponaxis: false },
    };
  });
  const frame = { showline: true, linecolor: COLOUR.text, ticks: "outside", zeroline: false };
  const axis = { ...frame, gridcolor: COLOUR.grid, tickfont: { ...FONT, size: 14 } };
  return {
    data,
    axes: {
      [`xaxis${n}`]: {
        ...axis,
        ...{ domain: x, anchor: `y${n}`, tickvals: [...stops], showticklabels: bottom },
        range: [stops[0] - 0.05 * span, stops[stops.length - 1] + 0.05 * span],
        ...(bottom
          ? { title: { text: "denoising steps before the actions are read", standoff: 8, font: FONT } }
          : {}),
      },
      [`yaxis${n}`]: { ...axis, domain: y, anchor: `x${n}`, range, nticks: 6 },
    },
    title: note(`<b>${title}</b>`, x[0], y[1], {
      ...{ xanchor: "left", yanchor: "bottom", yshift: 5, font: { ...FONT, size: 15 } },
    }),
  };
}

function heading(result: RolloutResult): Plain[] {
  const { world, episodes, model, offline, interval } = result;
  const left = -(MARGIN.left - 20) / PLOT.width;
  const corner = { xanchor: "left", yanchor: "top" };
  const fromTop = (pixels: number) => 1 + (MARGIN.top - pixels) / PLOT.height;
  const what =
    `${episodes} trials a stop in ${world.name}, ${world.actions_per_query} actions a query, at most ${world.queries} queries; ` +
    `the same scenes and noise at every stop; bars: ${100 * interval.level} % intervals`;
  const colour = model.trained_on === "pretrained" ? COLOUR.faint : COLOUR.last;
  const beside = offline ? [`Offline error: ${offline.source}.`] : [];
  const stamp = [...beside, ...wrap(stampLine(result), 170)].join("<br>");
  return [
    note("<b>Acting after fewer denoising steps</b>", left, fromTop(12), {
      ...corner,
      font: { ...FONT, size: 24 },
    }),
    note(what, left, fromTop(46), { ...corner, font: { ...FONT, size: 15 } }),
    note(`<b>${result.statement}</b>`, left, fromTop(70), { ...corner, font: { ...FONT, color: colour } }),
    note(stamp, left, -(MARGIN.bottom - 12) / PLOT.height, {
      ...{ xanchor: "left", yanchor: "bottom", font: { ...FONT, size: 13, color: COLOUR.faint } },
    }),
  ];
}
