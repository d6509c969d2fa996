/** What both panels of the figure need: axes, ticks, the scale, bands and where they leave it. */
import type { Interval } from "../statistics/bootstrap.ts";
import { band, COLOUR, FONT, note, type Place, type Plain } from "./style.ts";
import type { ProbeResult } from "../result/result.ts";

/** A panel: traces and its parts of the layout. */
export interface Panel {
  data: Plain[];
  axes: Plain;
  legends: Plain;
  shapes: Plain[];
  annotations: Plain[];
}

/** Pixels of the plotting area, whatever stands around it. */
export const PLOT = { width: 1312, height: 580 } as const;

/** Fractions of the plotting area. */
export interface PanelPlace {
  x: [number, number];
  upper: [number, number];
  strip: [number, number];
}

/** Values a logarithmic axis can show; zero and below become gaps. */
export const positive = (values: number[]): (number | null)[] =>
  values.map((value) => (value > 0 ? value : null));

/** Range of a logarithmic axis around all curves, in exponents of ten, at most `decades` below the top. */
export function logRange(curves: number[][], decades = 6): [number, number] {
  const values = curves.flat().filter((value) => value > 0);
  if (values.length === 0) return [-3, 0];
  const top = Math.log10(Math.max(...values)) + 0.12;
  return [Math.max(Math.log10(Math.min(...values)) - 0.15, top - decades), top];
}

/** Labels of a logarithmic axis: 1, 2 and 5 of each decade while they are few, else decades. */
export function logTicks([low, high]: [number, number]): { tickvals: number[]; ticktext: string[] } {
  const mantissas = high - low > 3 ? [1] : [1, 2, 5];
  const values: number[] = [];
  for (let exponent = Math.floor(low); exponent <= Math.ceil(high); exponent++)
    for (const mantissa of mantissas) {
      const value = Number(`${mantissa}e${exponent}`);
      if (Math.log10(value) >= low && Math.log10(value) <= high) values.push(value);
    }
  return { tickvals: values, ticktext: values.map(decadeLabel) };
}

/** "0.02", but "2·10⁻⁴" where zeros would need counting. */
function decadeLabel(value: number): string {
  if (value >= 0.001 && value < 100_000) return String(value);
  const [mantissa, exponent] = value.toExponential(0).split("e");
  const raised = Array.from(String(Number(exponent)), (digit) =>
    digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)],
  );
  return `${mantissa === "1" ? "" : `${mantissa}·`}10${raised.join("")}`;
}

const FRAME = {
  ticklabeloverflow: "allow",
  showline: true,
  linecolor: COLOUR.text,
  ticks: "outside",
  zeroline: false,
  mirror: false,
};

/** The upper panel's and the strip's axes, as plotly's `xaxis…` and `yaxis…`; `index` is the upper panel's number. */
export function panelAxes(
  index: number,
  place: PanelPlace,
  x: { values: number[]; labels: string[]; range: [number, number]; title: string },
  ranges: { upper: [number, number]; strip: [number, number] },
): Plain {
  const suffix = (n: number) => (n === 1 ? "" : String(n));
  const [a, b] = [index, index + 1];
  const horizontal = {
    ...FRAME,
    domain: place.x,
    range: x.range,
    tickvals: x.values,
    gridcolor: COLOUR.grid,
  };
  return {
    [`xaxis${suffix(a)}`]: { ...horizontal, anchor: `y${suffix(a)}`, showticklabels: false },
    [`xaxis${suffix(b)}`]: {
      ...horizontal,
      anchor: `y${suffix(b)}`,
      ticktext: x.labels,
      title: { text: x.title, standoff: 10, font: FONT },
      tickfont: { ...FONT, size: 14 },
    },
    [`yaxis${suffix(a)}`]: {
      ...FRAME,
      domain: place.upper,
      anchor: `x${suffix(a)}`,
      type: "log",
      range: ranges.upper,
      ...logTicks(ranges.upper),
      gridcolor: COLOUR.grid,
      tickfont: { ...FONT, size: 14 },
    },
    [`yaxis${suffix(b)}`]: {
      ...FRAME,
      domain: place.strip,
      anchor: `x${suffix(b)}`,
      range: ranges.strip,
      nticks: 5,
      gridcolor: COLOUR.grid,
      tickfont: { ...FONT, size: 14 },
    },
  };
}

/** The band of a curve inside its axis, and marks where the axis cuts it off. */
export function bandInside(
  place: Place,
  x: number[],
  interval: readonly Interval[],
  [bottom, top]: [number, number],
  color: string,
): Plain[] {
  const inside = (value: number) => Math.min(Math.max(value, bottom), top);
  return [
    band(
      place,
      x,
      interval.map(({ low }) => inside(low)),
      interval.map(({ high }) => inside(high)),
      color,
    ),
    ...cutMarks(
      place,
      x,
      interval.map(({ low }) => low),
      [bottom, top],
      color,
    ),
    ...cutMarks(
      place,
      x,
      interval.map(({ high }) => high),
      [bottom, top],
      color,
    ),
  ];
}

/** Triangles at the edge of an axis where values lie beyond it. */
export function cutMarks(
  place: Place,
  x: readonly number[],
  values: readonly number[],
  [bottom, top]: [number, number],
  color: string,
): Plain[] {
  const mark = (at: readonly number[], edge: number, symbol: string): Plain[] =>
    at.length === 0
      ? []
      : [
          {
            ...{ type: "scatter", mode: "markers", name: "", x: at, y: at.map(() => edge), ...place },
            ...{ marker: { color, symbol, size: 9 }, cliponaxis: false },
            ...{ hoverinfo: "skip", showlegend: false, meta: CUT },
          },
        ];
  return [
    ...mark(
      x.filter((_, i) => values[i] < bottom),
      bottom,
      "triangle-down",
    ),
    ...mark(
      x.filter((_, i) => values[i] > top),
      top,
      "triangle-up",
    ),
  ];
}

const CUT = "cut";

/** What triangles at an edge mean, where there are any. */
export const cutWords = (data: readonly Plain[]): string =>
  data.some(({ meta }) => meta === CUT) ? "; ▼▲ goes on beyond the axis" : "";

/** A vertical axis title beside its plot, `left` pixels from it: all of a column stand in one line, whatever the tick labels' widths. */
export function verticalTitle(text: string, x: number, [low, high]: [number, number], left = 62): Plain {
  return note(text, x, (low + high) / 2, {
    xanchor: "center",
    yanchor: "middle",
    textangle: -90,
    xshift: -left,
    font: FONT,
  });
}

/** The headline of a panel, above it. */
export function panelTitle(text: string, place: PanelPlace): Plain {
  const style = { xanchor: "left", yanchor: "bottom", yshift: 6, font: { ...FONT, size: 16 } };
  return note(text, place.x[0], place.upper[1], style);
}

/** What a strip is about, above it; `axis` is the number of its axes. */
export function stripTitle(text: string, axis: number, color: string): Plain {
  const style = { xanchor: "left", yanchor: "bottom", yshift: 2, font: { ...FONT, size: 13, color } };
  return note(text, 0, 1, { xref: `x${axis} domain`, yref: `y${axis} domain`, ...style });
}

/** What the shaded bands of a legend's curves are. */
export function bandsOf({ interval }: ProbeResult): string {
  if (interval.clusters < 2) return "1 episode: no bands";
  return `bands: ${100 * interval.level} %, ${interval.clusters} episodes`;
}

/** Where legends begin, below the titles of the horizontal axes. */
export const LEGEND_Y = -0.155;

/** A legend below the panels: a title and its entries, one under another. */
export function legendAt(x: number, y: number, title: string): Plain {
  return {
    x,
    y,
    xanchor: "left",
    yanchor: "top",
    orientation: "v",
    title: { text: `<b>${title}</b>`, font: { ...FONT, size: 14 } },
    font: { ...FONT, size: 14 },
    bgcolor: "rgba(255,255,255,0)",
    itemwidth: 40,
    tracegroupgap: 0,
  };
}
