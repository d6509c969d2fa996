/**
 * The two plots: while a run goes on, points of what is known so far; afterwards the curves of the probe's own figure
 * (src/probe/figure.ts) in the page's colours. The PNG is that figure as it is. Plotly is fetched when first needed.
 */
import { COLOUR, type Figure, line, type Plain } from "../src/probe/figure-style.ts";
import { convergenceFigure } from "../src/probe/figure.ts";
import { logRange, logTicks, positive } from "../src/probe/figure-panel.ts";
import { fractions, nullToFinal } from "../src/probe/null-curve.ts";
import type { ProbeResult } from "../src/probe/result.ts";
import { linspace } from "../src/sampler/grid.ts";
import { make, themeColour } from "./dom.ts";

interface Plotly {
  readonly react: (target: HTMLElement, data: unknown, layout: unknown, config: unknown) => Promise<unknown>;
  readonly toImage: (figure: unknown, options: Record<string, unknown>) => Promise<string>;
}

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

/** One plot's traces and what its axes show. */
interface Panel {
  readonly data: Plain[];
  readonly x: { readonly range: number[]; readonly tickvals?: number[] };
  readonly y: { readonly range: number[]; readonly tickvals: number[]; readonly ticktext: string[] };
}

let library: Promise<Plotly> | undefined;
/** @throws when the library cannot be fetched; the next call tries again */
function plotly(): Promise<Plotly> {
  library ??= import("plotly.js-basic-dist-min").then((module) => module.default as Plotly);
  library.catch(() => (library = undefined));
  return library;
}

const PLACE = { xaxis: "x", yaxis: "y", legend: "legend" };

export class Charts {
  readonly #targets: readonly [HTMLElement, HTMLElement];
  readonly #legends: readonly [HTMLElement, HTMLElement];
  #panels: readonly [Panel, Panel] | undefined;
  #marks: readonly [number | undefined, number | undefined] = [undefined, undefined];
  #drawing = false;
  #again = false;

  constructor(targets: readonly [HTMLElement, HTMLElement], legends: readonly [HTMLElement, HTMLElement]) {
    this.#targets = targets;
    this.#legends = legends;
    const redraw = (): void => void this.#draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(redraw).observe(targets[0]);
  }

  /** Fetches the plot library, so that it is there when the first state arrives. */
  prepare(): void {
    plotly().catch(() => {});
  }

  showLive(curves: LiveCurves): void {
    this.#panels = [liveVideoPanel(curves), liveActionPanel(curves)];
    void this.#draw();
  }

  showResult(result: ProbeResult): void {
    const figure = convergenceFigure(result);
    this.#panels = [panelOf(figure, "x", "y", "xaxis2"), panelOf(figure, "x3", "y3", "xaxis4")];
    void this.#draw();
  }

  /** Marks the shown video step and action step. */
  mark(videoStep: number | undefined, actionStep: number | undefined): void {
    if (videoStep === this.#marks[0] && actionStep === this.#marks[1]) return;
    this.#marks = [videoStep, actionStep];
    void this.#draw();
  }

  /** Drawing takes longer than states may arrive: what comes meanwhile is drawn once, at the end. */
  async #draw(): Promise<void> {
    this.#again = true;
    if (this.#drawing || !this.#panels) return;
    this.#drawing = true;
    try {
      const { react } = await plotly();
      while (this.#again) {
        this.#again = false;
        const panels = this.#panels;
        for (const i of [0, 1] as const) {
          const { data, layout } = themed(panels[i], this.#marks[i]);
          await react(this.#targets[i], data, layout, { displayModeBar: false, responsive: false });
          showLegend(this.#legends[i], data, panels[i].data);
          // Each plot in a task of its own, so that the page stays responsive between them.
          await new Promise((done) => setTimeout(done));
        }
      }
    } finally {
      this.#drawing = false;
    }
  }
}

/** The names of a plot's curves, in the words that matter beside it. */
function showLegend(list: HTMLElement, drawn: readonly Plain[], traces: readonly Plain[]): void {
  const items = traces.flatMap(({ name, line: look, showlegend }, i) => {
    // Floors are named once, beside the first plot.
    if (typeof name !== "string" || name === "" || showlegend === false) return [];
    const { dash = "solid" } = look as { dash?: string };
    const item = make("li", { textContent: shortened(name) });
    item.style.setProperty("--colour", (drawn[i].line as { color: string }).color);
    item.style.setProperty("--dash", dash === "solid" ? "solid" : dash === "dot" ? "dotted" : "dashed");
    return [item];
  });
  list.replaceChildren(...items);
}

/** The figure's names have a page to themselves; here they stand in half of one. */
const shortened = (name: string): string =>
  name
    .replace(/ \(.*\)$|, whatever.*$/, "")
    .replace("the true actions", "the truth")
    .replace("the final action", "its end");

/** The probe's figure as a PNG, as the command line writes it. */
export async function figurePng(result: ProbeResult): Promise<Blob> {
  const { toImage } = await plotly();
  const figure = convergenceFigure(result);
  const { width, height } = figure.layout;
  const url = await toImage(figure, { format: "png", width, height, scale: 2 });
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

/** Colours of the figure → variables of style.css. */
const VARIABLES: Record<string, string> = {
  [COLOUR.truth]: "truth",
  [COLOUR.last]: "model",
  [COLOUR.holdStill]: "null",
  [COLOUR.datasetMean]: "mean",
  [COLOUR.zeroed]: "zeroed",
  [COLOUR.other]: "other",
};

function liveVideoPanel(live: LiveCurves): Panel {
  const { videoSteps: N, steps, toTruth, toLast, holdStill, datasetMean } = live;
  const range = [-0.03 * N, 1.03 * N];
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
    x: { range: [-0.03 * M, 1.03 * M] },
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

function themed({ data, x, y }: Panel, mark: number | undefined): { data: Plain[]; layout: Plain } {
  const [grid, soft, edge] = ["line", "soft", "edge"].map(themeColour);
  const axis = {
    gridcolor: grid,
    linecolor: grid,
    zeroline: false,
    ticks: "",
    tickfont: { size: 12, color: soft },
  };
  return {
    data: data.map((trace) => ({ ...(recoloured(trace) as Plain), showlegend: false })),
    layout: {
      margin: { l: 50, r: 12, t: 10, b: 28 },
      autosize: true,
      font: { family: "system-ui, sans-serif", size: 12, color: soft },
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      dragmode: false,
      showlegend: false,
      hoverlabel: { namelength: -1 },
      xaxis: { ...axis, ...x, fixedrange: true },
      yaxis: { ...axis, ...y, type: "log", fixedrange: true },
      shapes:
        mark === undefined
          ? []
          : [
              {
                type: "line",
                xref: "x",
                yref: "paper",
                x0: mark,
                x1: mark,
                y0: 0,
                y1: 1,
                line: { color: edge, width: 1.5 },
              },
            ],
    },
  };
}

/** The figure's colours replaced by the page's, at any depth; faded ones keep their opacity. */
function recoloured(value: unknown): unknown {
  if (Array.isArray(value)) return value;
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, recoloured(inner)]));
  if (typeof value !== "string") return value;
  const variable = VARIABLES[value];
  if (variable) return themeColour(variable);
  const parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(value);
  if (!parts) return value;
  const hex =
    `#${[1, 2, 3].map((i) => Number(parts[i]).toString(16).padStart(2, "0")).join("")}`.toUpperCase();
  const faded = VARIABLES[hex];
  const alpha = Math.round(255 * Number(parts[4]))
    .toString(16)
    .padStart(2, "0");
  return faded ? `${themeColour(faded)}${alpha}` : value;
}
