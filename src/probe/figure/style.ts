/**
 * The look of the figure: the colours of Okabe and Ito, told apart with every common colour blindness and in grey by
 * their markers and dashes; one colour for a reference, one dash for a read-out.
 */

/** A plotly trace or layout part; plotly's own types would be a dependency for a handful of keys. */
export type Plain = Record<string, unknown>;

/** What plotly draws. Pure data: the browser page hands it to plotly as it is. */
export interface Figure {
  data: Plain[];
  layout: Plain & { width: number; height: number };
}

/** Which references are drawn; probe.json always has all that are known. */
export type Reference = "final" | "truth" | "both";

/** The choice as two switches; what is not known is not drawn. */
export interface ShownReferences {
  last: boolean;
  truth: boolean;
}

export const COLOUR = {
  truth: "#0072B2",
  last: "#D55E00",
  holdStill: "#000000",
  datasetMean: "#8A8A8A",
  zeroed: "#CC79A7",
  other: "#009E73",
  shuffled: "#7B4FB5",
  nullCurve: "#000000",
  mark: "#B8860B",
  grid: "#E6E6E6",
  text: "#222222",
  faint: "#666666",
} as const;

export const FONT = { family: "DejaVu Sans", size: 15, color: COLOUR.text };

/** A colour "#RRGGBB" with an opacity in 0..1. */
export function faded(colour: string, opacity: number): string {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

/** Where a trace is drawn and which legend explains it. */
export interface Place {
  xaxis: string;
  yaxis: string;
  legend: string;
}

/** A curve with markers; null values are gaps. */
export function line(
  place: Place,
  name: string,
  x: number[],
  y: (number | null)[],
  style: Plain = {},
): Plain {
  const { color, dash = "solid", symbol, width = 2.5, ...rest } = style;
  return {
    type: "scatter",
    mode: symbol ? "lines+markers" : "lines",
    name,
    x,
    y,
    line: { color, dash, width },
    ...(symbol ? { marker: { color, symbol, size: 8 } } : {}),
    ...place,
    ...rest,
  };
}

/** The area between two curves; without a legend entry unless it has a name. */
export function band(
  place: Place,
  x: number[],
  low: number[],
  high: number[],
  color: string,
  name?: string,
): Plain {
  return {
    type: "scatter",
    mode: "lines",
    x: [...x, ...x.slice().reverse()],
    y: [...high, ...low.slice().reverse()],
    fill: "toself",
    fillcolor: faded(color, 0.16),
    line: { width: 0 },
    hoverinfo: "skip",
    showlegend: name !== undefined,
    ...(name === undefined ? {} : { name }),
    ...place,
  };
}

/** Text at a place of the page; x and y in 0..1 of the plotting area. */
export function note(text: string, x: number, y: number, style: Plain = {}): Plain {
  return { text, x, y, xref: "paper", yref: "paper", showarrow: false, align: "left", ...style };
}
