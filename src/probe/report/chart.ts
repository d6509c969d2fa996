/**
 * A figure of the report, said once: drawn by plotly, listed in its legend, written out as a table. Curves have a reference's
 * colour and a read-out's dash, as in the figure of src/probe/figure.
 */
import { bandInside, cutMarks, logRange, logTicks, positive } from "../figure/panel.ts";
import { COLOUR, faded, line, type Plain } from "../figure/style.ts";
import type { Interval } from "../statistics/bootstrap.ts";
import { short } from "../result/words.ts";
import { plotText } from "./markup.ts";

export interface ChartCurve {
  readonly name: string;
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly interval?: readonly Interval[] | null;
  readonly color: string;
  readonly dash?: string;
  readonly symbol?: string;
  readonly width?: number;
  /** one of many: neither in the legend nor in the table */
  readonly quiet?: boolean;
  /** marks without a line between them */
  readonly points?: boolean;
}

/** A horizontal line: a floor, a control, a null. */
export interface ChartLevel {
  readonly name: string;
  readonly value: number;
  readonly color: string;
  readonly dash: string;
}

export interface Chart {
  readonly id: string;
  /** what it shows, in a line */
  readonly title: string;
  /** what it says, for those who do not see it */
  readonly alt: string;
  /** how it is to be read */
  readonly notes: readonly string[];
  readonly x: {
    readonly title: string;
    /** every place that has a value, with its name in the table */
    readonly all: readonly { readonly at: number; readonly name: string }[];
    readonly ticks: readonly { readonly at: number; readonly label: string }[];
  };
  readonly y: { readonly title: string; readonly log: boolean };
  readonly curves: readonly ChartCurve[];
  readonly levels: readonly ChartLevel[];
  /** the numbers, where a row a place is not how they are read */
  readonly table?: Table;
  /** everything below is within the margin */
  readonly margin?: number;
  /** pixels */
  readonly height: number;
}

export interface Table {
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** columns of words, to the left; default the first */
  readonly words?: number;
}

/** What plotly draws; sizes and fonts are the page's. */
export interface Drawing {
  readonly id: string;
  readonly data: readonly Plain[];
  readonly layout: Plain;
}

const PLACE = { xaxis: "x", yaxis: "y", legend: "legend" };

export function drawingOf(chart: Chart): Drawing {
  const { curves, levels, x, y } = chart;
  const places = x.all.map(({ at }) => at);
  const [first, last] = [Math.min(...places), Math.max(...places)];
  const room = 0.03 * (last - first || 1);
  const span: [number, number] = [first - room, last + room];
  const range = y.log ? logRange(logValues(chart), 5) : linearRange(chart);
  const edges: [number, number] = y.log ? [10 ** range[0], 10 ** range[1]] : range;

  const bands = curves.flatMap(({ interval, x: at, y: values, color }) => {
    // A logarithmic axis has no place for zero: the curve ends there, and so does its band.
    const kept = at.map((_, i) => i).filter((i) => !y.log || values[i] > 0);
    const where = kept.map((i) => at[i]);
    return [
      ...(interval
        ? bandInside(
            PLACE,
            where,
            kept.map((i) => interval[i]),
            edges,
            color,
          )
        : []),
      ...cutMarks(
        PLACE,
        where,
        kept.map((i) => values[i]),
        edges,
        color,
      ),
    ];
  });
  const lines = curves.map(({ name, x: at, y: values, quiet, points, color, dash, symbol, width }) =>
    line(PLACE, plotText(name), [...at], y.log ? positive([...values]) : [...values], {
      ...{ color, dash, symbol, width },
      ...(quiet ? { opacity: 0.55 } : {}),
      ...(points ? { mode: "markers" } : {}),
    }),
  );
  const across = levels.map(({ name, value, color, dash }) =>
    line(PLACE, plotText(name), span, [value, value], { color, dash, width: 2 }),
  );
  const { margin } = chart;
  const shape = { xref: "paper", yref: "y", x0: 0, x1: 1, layer: "below" };
  return {
    id: chart.id,
    data: [...bands, ...across, ...lines],
    layout: {
      height: chart.height,
      hovermode: "closest",
      xaxis: {
        range: span,
        tickvals: x.ticks.map(({ at }) => at),
        ticktext: x.ticks.map(({ label }) => plotText(label)),
      },
      yaxis: {
        ...(y.log ? { type: "log", ...logTicks(range) } : { nticks: 6, tickformat: ".2~g" }),
        range,
        hoverformat: ".3~g",
      },
      shapes:
        margin === undefined
          ? []
          : [
              {
                ...{ ...shape, type: "rect", y0: edges[0], y1: margin },
                ...{ fillcolor: faded(COLOUR.mark, 0.14), line: { width: 0 } },
              },
            ],
    },
  };
}

/** Curves, their bands down to a decade below them, and levels: what the axis is to hold. */
function logValues({ curves, levels }: Chart): number[][] {
  const values = [curves.flatMap(({ y }) => [...y]), levels.map(({ value }) => value)];
  const least = 0.1 * Math.min(...values.flat().filter((value) => value > 0));
  const ends = curves.flatMap(({ interval }) => interval?.flatMap(({ low, high }) => [low, high]) ?? []);
  return [...values, ends.filter((value) => value > least)];
}

/** All curves, or, where a margin decides, as far as it can still be seen. */
function linearRange({ curves, levels, margin }: Chart): [number, number] {
  const ends = curves.flatMap(({ y, interval }) => [
    ...y,
    ...(interval?.flatMap(({ low, high }) => [low, high]) ?? []),
  ]);
  const widest = margin === undefined ? Number.POSITIVE_INFINITY : 8 * margin;
  const values = [...ends, ...levels.map(({ value }) => value), 1.6 * (margin ?? 0)];
  const reach = (sign: 1 | -1) =>
    Math.min(widest, 1.12 * values.reduce((most, value) => Math.max(most, sign * value), 1e-12));
  return [-reach(-1), reach(1)];
}

/** The same numbers as text: a row a place, a column a curve. */
export function tableOf(chart: Chart): Table {
  if (chart.table) return chart.table;
  const shown = chart.curves.filter(({ quiet }) => !quiet);
  const cell = ({ x, y, interval }: ChartCurve, at: number) => {
    const i = x.indexOf(at);
    return i < 0 ? "–" : withInterval(y[i], interval?.[i]);
  };
  const levels = chart.levels.map(({ name, value }) => `${name} ${short(value)}`);
  return {
    caption: [`${chart.title}: ${chart.y.title}`, ...levels].join("; "),
    head: [chart.x.title, ...shown.map(({ name }) => name)],
    rows: chart.x.all.map(({ at, name }) => [name, ...shown.map((curve) => cell(curve, at))]),
  };
}

/** "0.0123 [0.01, 0.015]" */
export const withInterval = (value: number, interval: Interval | null | undefined): string =>
  interval ? `${short(value)} [${short(interval.low)}, ${short(interval.high)}]` : short(value);
