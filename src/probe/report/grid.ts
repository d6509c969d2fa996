/**
 * Video step × action step as heat maps: the error of each read-out, and the iterate over the null of its own decode. A cell is a bar of
 * height 1 that stands on the one below, since the part of plotly that is inlined draws curves and bars.
 */
import { type Plain } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { AXIS_NAME, lastStep, roundIndices, short } from "../result/sentences.ts";
import { fractions, nullToFinal } from "../statistics/null-curve.ts";
import type { Drawing, Table } from "./chart.ts";

/** A heat map and its numbers. */
export interface HeatMap {
  readonly id: string;
  readonly title: string;
  readonly alt: string;
  readonly notes: readonly string[];
  /** values of the palest and the darkest cell */
  readonly scale: readonly [number, number];
  /** what its columns are */
  readonly across: string;
  readonly drawing: Drawing;
  readonly table: Table;
}

/** Null where the read-out has no steps of its own. */
export function heatMaps(result: ProbeResult): HeatMap[] {
  const { grid, action_times: times } = result;
  if (!grid) return [];
  const truth = grid.iterate.to_truth !== null && grid.one_jump.to_truth !== null;
  const to = truth ? "the true actions" : `the decode at ${AXIS_NAME} step ${lastStep(result)}`;
  const floor = truth ? result.floors.hold_still?.to_truth : result.floors.hold_still?.to_last;
  const floorWords = floor
    ? `Hold still scores ${short(floor.mean)}.`
    : "What holding still scores is not known.";
  const fraction = fractions(times);
  // Where the null reaches 0, at the end of the decode, there is no ratio.
  const ratio = grid.iterate.to_final.map((row) => {
    const straight = nullToFinal(row[0], fraction);
    return row.slice(0, -1).map((value, n) => (straight[n] > 0 ? value / straight[n] : null));
  });
  return [
    heatMap(result, {
      id: "grid-iterate",
      title: `Grid, iterate, to ${to}`,
      values: truth ? grid.iterate.to_truth! : grid.iterate.to_last,
      notes: `${floorWords} The rightmost column is the full decode of each ${AXIS_NAME} step.`,
      floor: floor?.mean,
    }),
    heatMap(result, {
      id: "grid-one-jump",
      title: `Grid, one jump, to ${to}`,
      values: truth ? grid.one_jump.to_truth! : grid.one_jump.to_last,
      notes: `${floorWords} The clean action that action step n alone would jump to.`,
      floor: floor?.mean,
    }),
    heatMap(result, {
      id: "grid-null",
      title: "Grid, iterate ÷ null, to the end of the same decode",
      values: ratio,
      notes:
        "1 is what a straight flow gives, whatever was learned; only what differs from 1 tells of the model.",
    }),
  ];
}

/** Most rows and columns. */
const MOST = 41;

interface Cells {
  readonly id: string;
  readonly title: string;
  /** (K, points); null where there is no value */
  readonly values: readonly (readonly (number | null)[])[];
  readonly notes: string;
  readonly floor?: number;
  /** a scale of values that may be 0 or below */
  readonly linear?: boolean;
  /** names of the columns; default 0, 1, … */
  readonly columns?: readonly number[];
  readonly table?: Table;
}

/** Probed steps by probed steps, on a linear scale. */
export const similarityMap = (result: ProbeResult, cells: Omit<Cells, "linear" | "columns">): HeatMap =>
  heatMap(result, { ...cells, linear: true, columns: result.probe_steps });

function heatMap(result: ProbeResult, cells: Cells): HeatMap {
  const { id, title, values, notes, floor, linear = false } = cells;
  const { probe_steps: steps } = result;
  const nameOf = (n: number): number => cells.columns?.[n] ?? n;
  const across = cells.columns ? `${AXIS_NAME} step` : "action step";
  const all = Array.from({ length: values[0].length }, (_, n) => n);
  const rows = roundIndices(steps, MOST);
  const columns = roundIndices(all.map(nameOf), MOST);
  const whole = rows.length === steps.length && columns.length === all.length;
  const placed = rows.flatMap((k, y) => columns.map((n, x) => ({ x, y, k, n, value: values[k][n] })));
  const known = placed
    .map(({ value }) => value)
    .filter((value) => value !== null && (linear || value > 0)) as number[];
  const [scaled, unscaled] = linear
    ? [(value: number) => value, (value: number) => value]
    : [(value: number) => (value > 0 ? Math.log10(value) : Number.NEGATIVE_INFINITY), (x: number) => 10 ** x];
  const ends = known.map(scaled);
  const [low, high] = ends.length > 0 ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
  // A map of one colour where all is equal, not of rounding errors.
  const room = Math.max(0, 0.02 - (high - low)) / 2;
  const [cmin, cmax] = [low - room, high + room];
  // Three decimals are more than an eye can tell, and a third of the bytes.
  const shade = (value: number) =>
    Number(((Math.max(scaled(value), cmin) - cmin) / (cmax - cmin)).toFixed(3));
  const drawn = placed.filter(({ value }) => value !== null);
  const up = roundIndices(
    rows.map((k) => steps[k]),
    12,
  );
  const along = roundIndices(columns.map(nameOf), 9);
  const trace: Plain = {
    type: "bar",
    x: drawn.map(({ x }) => x),
    y: drawn.map(() => 1),
    base: drawn.map(({ y }) => y - 0.5),
    width: 1,
    hovertext: drawn.map(
      ({ k, n, value }) =>
        `step ${steps[k]}, ${across} ${nameOf(n)}: ${short(value!)}` +
        (floor ? ` (${short(value! / floor)} × hold still)` : ""),
    ),
    hoverinfo: "text",
    textposition: "none",
    // Shades in 0..1, to which the page gives its colours.
    marker: { shades: drawn.map(({ value }) => shade(value!)), line: { width: 0 } },
    showlegend: false,
  };
  return {
    id,
    title,
    alt: `Colours of ${rows.length} ${AXIS_NAME} steps by ${columns.length} ${across}s. The numbers are in the table below.`,
    across,
    notes: [
      `The scale is ${linear ? "linear" : "logarithmic"}. ${notes}${whole ? "" : " Some steps are left out; probe.json has all."}`,
    ],
    scale: [unscaled(cmin), unscaled(cmax)],
    drawing: {
      id,
      data: [trace],
      layout: {
        height: Math.min(420, 90 + 26 * rows.length),
        bargap: 0,
        barmode: "overlay",
        hovermode: "closest",
        showlegend: false,
        xaxis: {
          range: [-0.5, columns.length - 0.5],
          tickvals: along,
          ticktext: along.map((x) => String(nameOf(columns[x]))),
          showgrid: false,
        },
        yaxis: {
          range: [-0.5, rows.length - 0.5],
          tickvals: up,
          ticktext: up.map((y) => String(steps[rows[y]])),
          showgrid: false,
        },
      },
    },
    table: cells.table ?? {
      caption: title,
      head: [`${AXIS_NAME} step \\ ${across}`, ...columns.map(String)],
      rows: rows.map((k) => [
        String(steps[k]),
        ...columns.map((n) => {
          const value = values[k][n];
          return value === null ? "–" : short(value);
        }),
      ]),
    },
  };
}
