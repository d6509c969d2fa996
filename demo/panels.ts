/** What the two plots show: while a run goes on what is known so far, afterwards the curves of the probe's own figure. */
import { COLOUR, type Figure, line, type Plain } from "../src/probe/figure/style.ts";
import { logRange, logTicks, positive } from "../src/probe/figure/panel.ts";
import { convergenceFigure } from "../src/probe/figure/figure.ts";
import { fractions, nullToFinal } from "../src/probe/statistics/null-curve.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import { linspace } from "../src/sampling/grid.ts";

/** What is known before a run has ended; errors are means over the seeds of one episode. */
export interface LiveCurves {
  readonly videoSteps: number;
  /** probed steps reached so far */
  readonly steps: readonly number[];
  readonly toTruth?: readonly number[];
  /** known when the last step is reached */
  readonly toLast?: readonly number[];
  readonly holdStill?: number;
  readonly datasetMean?: number;
  /** inside the decode of the newest step: against its own end, and the truth */
  readonly iterateToFinal: readonly number[];
  readonly iterateToTruth?: readonly number[];
}

/** By video step, and by action step where a read-out has some. */
export type Panels = readonly [Panel, Panel?];

/** One plot's traces and what its axes show. */
export interface Panel {
  readonly data: Plain[];
  readonly x: { readonly range: number[]; readonly tickvals?: number[] };
  readonly y: { readonly range: number[]; readonly tickvals: number[]; readonly ticktext: string[] };
}

const PLACE = { xaxis: "x", yaxis: "y", legend: "legend" };

/** The plots of a run that has reached nothing yet. */
export const emptyPanels = (videoSteps: number, actionSteps: number): Panels => [
  emptyPanel(videoSteps),
  actionSteps > 0 ? emptyPanel(actionSteps) : undefined,
];

const emptyPanel = (steps: number): Panel => ({ data: [], x: across(steps), y: logAxis([[1, 0.01]]) });

/** The horizontal axis, with room for the marks at its ends. */
const across = (steps: number): { range: number[] } => ({ range: [-0.03 * steps, 1.03 * steps] });

/** The plots of a run that goes on. */
export const livePanels = (curves: LiveCurves): Panels => [
  liveVideoPanel(curves),
  curves.iterateToFinal.length > 0 ? liveActionPanel(curves) : undefined,
];

/** The upper panels of the figure of src/probe/figure.ts. */
export function resultPanels(result: ProbeResult): Panels {
  const figure = convergenceFigure(result);
  const action = "xaxis4" in figure.layout ? panelOf(figure, "x3", "y3", "xaxis4") : undefined;
  return [panelOf(figure, "x", "y", "xaxis2"), action];
}

function liveVideoPanel(live: LiveCurves): Panel {
  const { videoSteps: N, steps, toTruth, toLast, holdStill, datasetMean } = live;
  const { range } = across(N);
  const level = (name: string, value: number | undefined, color: string): Plain[] =>
    value === undefined
      ? []
      : [line(PLACE, name, range, [value, value], { color, dash: "longdash", width: 2 })];
  const curve = (
    name: string,
    values: readonly number[] | undefined,
    color: string,
    symbol: string,
  ): Plain[] => (values ? [line(PLACE, name, [...steps], positive([...values]), { color, symbol })] : []);
  const values = [toTruth ?? [], toLast ?? [], [holdStill, datasetMean].filter((v) => v !== undefined)];
  return {
    data: [
      ...curve("to the true actions", toTruth, COLOUR.truth, "circle"),
      ...curve(`to the decode at step ${N} (0 there by definition)`, toLast, COLOUR.last, "square"),
      ...level("hold still", holdStill, COLOUR.holdStill),
      ...level("dataset mean", datasetMean, COLOUR.datasetMean),
    ],
    x: { range },
    y: logAxis(values.map((list) => [...list])),
  };
}

function liveActionPanel({ iterateToFinal, iterateToTruth }: LiveCurves): Panel {
  const M = iterateToFinal.length - 1;
  const steps = iterateToFinal.map((_, n) => n);
  const straight = nullToFinal(iterateToFinal[0], fractions(linspace(0, 1, M)));
  const curve = (name: string, values: readonly number[], style: Plain): Plain =>
    line(PLACE, name, steps, positive([...values]), style);
  return {
    data: [
      ...(iterateToTruth
        ? [curve("iterate, to the true actions", iterateToTruth, { color: COLOUR.truth, symbol: "circle" })]
        : []),
      curve(`iterate, to the final action (0 at ${M})`, iterateToFinal, {
        color: COLOUR.last,
        symbol: "square",
      }),
      curve("null: a straight flow, whatever was learned", straight, {
        color: COLOUR.nullCurve,
        dash: "dot",
        width: 2,
      }),
    ],
    x: across(M),
    y: logAxis([[...iterateToFinal], [...(iterateToTruth ?? [])], straight]),
  };
}

function logAxis(values: number[][]): Panel["y"] {
  const range = logRange(values, 5);
  return { range, ...logTicks(range) };
}

/** One upper panel of the figure. */
function panelOf({ data, layout }: Figure, x: string, y: string, ticks: string): Panel {
  const axis = (name: string): Plain => layout[name] as Plain;
  const long = `${y[0]}axis${y.slice(1)}`;
  const { range, tickvals, ticktext } = axis(long) as unknown as Panel["y"];
  const { range: xRange, tickvals: xTicks } = axis(ticks) as unknown as {
    range: number[];
    tickvals: number[];
  };
  const own = data.filter((trace) => trace.xaxis === x && trace.yaxis === y);
  return {
    data: own.map((trace) => ({ ...trace, ...PLACE })),
    x: { range: xRange, tickvals: xTicks },
    y: { range, tickvals, ticktext },
  };
}
