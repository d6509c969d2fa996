/**
 * The two plots: while a run goes on, points of what is known so far; afterwards the curves of the probe's own figure
 * (src/probe/figure.ts) in the page's colours. The PNG is that figure as it is. Plotly is fetched when first needed.
 */
import { convergenceFigure } from "../src/probe/figure.ts";
import type { ProbeResult } from "../src/probe/result.ts";
import { showLegend, themed } from "./chart-theme.ts";
import { showFailure } from "./failure.ts";
import { type LiveCurves, livePanels, type Panel, resultPanels } from "./panels.ts";

interface Plotly {
  readonly react: (target: HTMLElement, data: unknown, layout: unknown, config: unknown) => Promise<unknown>;
  readonly toImage: (figure: unknown, options: Record<string, unknown>) => Promise<string>;
}

let library: Promise<Plotly> | undefined;
/** @throws when the library cannot be fetched; the next call tries again */
function plotly(): Promise<Plotly> {
  library ??= import("plotly.js-basic-dist-min").then((module) => module.default as Plotly);
  library.catch(() => (library = undefined));
  return library;
}

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
    this.#panels = livePanels(curves);
    void this.#draw();
  }

  showResult(result: ProbeResult): void {
    this.#panels = resultPanels(result);
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
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      showFailure(
        "Error",
        `the plots cannot be drawn (${reason})`,
        "Check the connection; everything else goes on.",
      );
    } finally {
      this.#drawing = false;
    }
  }
}

/** The probe's figure as a PNG, as the command line writes it. */
export async function figurePng(result: ProbeResult): Promise<Blob> {
  const { toImage } = await plotly();
  const figure = convergenceFigure(result);
  const { width, height } = figure.layout;
  const url = await toImage(figure, { format: "png", width, height, scale: 2 });
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}
