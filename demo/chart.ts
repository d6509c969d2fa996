/** The two plots: by video step, and by action step. What they show comes as plain arrays, see panels.ts. */
import type { ProbeResult } from "../src/probe/result/result.ts";
import { emptyPanels, type LiveCurves, livePanels, type Panels, resultPanels } from "./panels.ts";
import { Plot } from "./plot.ts";

export class Charts {
  readonly #plots: readonly [Plot, Plot];

  constructor(targets: readonly [HTMLElement, HTMLElement], legends: readonly [HTMLElement, HTMLElement]) {
    this.#plots = [
      new Plot(targets[0], legends[0], "Errors by video step"),
      new Plot(targets[1], legends[1], "Errors by action step"),
    ];
  }

  /** Empty axes, before the first state arrives. */
  showEmpty(videoSteps: number, actionSteps: number): void {
    this.show(emptyPanels(videoSteps, actionSteps));
  }

  /** Of a run that goes on, or one that was kept. */
  showLive(curves: LiveCurves): void {
    this.show(livePanels(curves));
  }

  showResult(result: ProbeResult): void {
    this.show(resultPanels(result));
  }

  show([video, action]: Panels): void {
    this.#plots[0].show(video);
    this.#plots[1].show(action);
  }

  /** As before anything ran. */
  clear(): void {
    for (const plot of this.#plots) {
      plot.show(undefined);
      plot.mark(undefined);
    }
  }

  /** Marks the shown video step and action step. */
  mark(videoStep: number | undefined, actionStep: number | undefined): void {
    this.#plots[0].mark(videoStep);
    this.#plots[1].mark(actionStep);
  }
}
