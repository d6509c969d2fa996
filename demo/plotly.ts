/** The plot library: fetched when first needed, evaluated in slices, so that the page answers meanwhile. */
import { pause } from "./pause.ts";

type Draw<Rest extends unknown[]> = (target: HTMLElement, ...rest: Rest) => Promise<unknown>;

/** The few functions that the page calls. */
export interface Plotly {
  readonly newPlot: Draw<[data: unknown, layout: unknown, config: unknown]>;
  readonly react: Draw<[data: unknown, layout: unknown, config: unknown]>;
  readonly addTraces: Draw<[data: unknown]>;
  readonly relayout: Draw<[changes: unknown]>;
  readonly purge: (target: HTMLElement) => void;
  readonly Snapshot: { readonly toSVG: (target: HTMLElement) => string };
}

let library: Promise<Plotly> | undefined;

/** @throws when the library cannot be fetched; the next call tries again */
export function loadPlotly(): Promise<Plotly> {
  library ??= evaluate();
  library.catch(() => (library = undefined));
  return library;
}

/** Longest slice that is planned, in milliseconds; the longest module takes as long again. */
const SLICE = 16;

async function evaluate(): Promise<Plotly> {
  const { modules, plotly } = await import("plotly.js-basic-dist-min");
  let began = performance.now();
  for (const module of modules) {
    if (performance.now() - began > SLICE) {
      await pause();
      began = performance.now();
    }
    module();
  }
  return plotly() as Plotly;
}
