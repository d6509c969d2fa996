/**
 * The two plots: while a run goes on, points of what is known so far; afterwards the curves of the probe's own figure
 * (src/probe/figure.ts) in the page's colours. Plotly is fetched when first needed.
 */
import type { ProbeResult } from "../src/probe/result/result.ts";
import { showLegend, themed } from "./chart-theme.ts";
import { showFailure } from "./failure.ts";
import { emptyPanels, type LiveCurves, livePanels, type Panel, type Panels, resultPanels } from "./panels.ts";
import { pause } from "./pause.ts";
import { loadPlotly, type Plotly } from "./plotly.ts";

const CONFIG = { displayModeBar: false, responsive: false };
const HIDDEN = { visible: false };

export class Charts {
  readonly #targets: readonly [HTMLElement, HTMLElement];
  readonly #legends: readonly [HTMLElement, HTMLElement];
  #panels: Panels | undefined;
  #marks: readonly [number | undefined, number | undefined] = [undefined, undefined];
  /** what each plot shows now */
  #drawn: [Panel?, Panel?] = [];
  /** in other colours or another size */
  #stale = false;
  #drawing = false;
  #again = false;

  constructor(targets: readonly [HTMLElement, HTMLElement], legends: readonly [HTMLElement, HTMLElement]) {
    this.#targets = targets;
    this.#legends = legends;
    const redraw = (): void => {
      this.#stale = true;
      void this.#draw();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(redraw).observe(targets[0]);
  }

  /** Empty axes: the library is there, and has drawn once, when the first state arrives. */
  showEmpty(videoSteps: number, actionSteps: number): void {
    this.#panels = emptyPanels(videoSteps, actionSteps);
    void this.#draw();
  }

  /** As before anything ran. */
  clear(): void {
    this.#panels = undefined;
    this.#marks = [undefined, undefined];
    void this.#draw();
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
    if (this.#drawing || !(this.#panels || this.#drawn[0])) return;
    this.#drawing = true;
    try {
      const plotly = await loadPlotly();
      while (this.#again) {
        this.#again = false;
        const [panels, stale] = [this.#panels, this.#stale];
        this.#stale = false;
        for (const i of [0, 1] as const) {
          await this.#drawOne(plotly, i, panels?.[i], stale);
          // Each plot in a task of its own, so that the page stays responsive between them.
          await pause();
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

  async #drawOne(
    { newPlot, react, relayout, purge }: Plotly,
    i: 0 | 1,
    panel: Panel | undefined,
    stale: boolean,
  ): Promise<void> {
    const [target, legend, before] = [this.#targets[i], this.#legends[i], this.#drawn[i]];
    this.#drawn[i] = panel;
    if (!panel) {
      purge(target);
      return legend.replaceChildren();
    }
    const { data, layout } = themed(panel, this.#marks[i]);
    // While an action settles only the mark moves.
    if (panel === before && !stale) return void (await relayout(target, { shapes: layout.shapes }));
    // The very first plot meets code that never ran; without axes first, that is two tasks in place of a long one.
    if (!before) {
      await newPlot(target, [], { ...layout, xaxis: HIDDEN, yaxis: HIDDEN }, CONFIG);
      await pause();
    }
    await react(target, data, layout, CONFIG);
    showLegend(legend, data, panel.data);
  }
}
