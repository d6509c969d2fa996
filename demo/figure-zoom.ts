/** The probe's own figure to zoom into, with the plot library that is loaded for it. */
import { convergenceFigure } from "../src/probe/figure/figure.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import { make } from "./dom.ts";
import { loadPlotly } from "./plotly.ts";
import { showSheet } from "./sheet.ts";

/** @throws when the plot library cannot be fetched */
export async function showZoomable(result: ProbeResult): Promise<void> {
  const { newPlot, purge } = await loadPlotly();
  const { data, layout } = convergenceFigure(result);
  const target = make("div", { className: "figure", tabIndex: 0 });
  target.setAttribute("role", "group");
  target.setAttribute("aria-label", "The figure: drag to zoom, double click to see all");
  const closed = showSheet("Drag to zoom, double click to see all", target);
  await newPlot(target, data, { ...layout, dragmode: "zoom" }, { displaylogo: false, scrollZoom: true });
  await closed;
  purge(target);
}
