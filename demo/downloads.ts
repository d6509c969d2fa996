/** What can be taken away: the figure, the numbers, and a link to the settings. */
import { formatJson } from "../src/probe/result/json.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import type { RunRecord } from "../src/probe/result/run-record.ts";
import { byId, make } from "./dom.ts";
import { showFailure } from "./failure.ts";

/** What a run leaves. */
export interface Finished {
  readonly result: ProbeResult;
  readonly run: RunRecord;
}

/** @returns where the page puts a result when it has one */
export function prepareDownloads(link: () => string): { finished: Finished | undefined } {
  const ids = ["save-png", "zoom", "report", "save-json", "save-run"];
  const buttons = ids.map((id) => byId<HTMLButtonElement>(id));
  let current: Finished | undefined;
  const [png, zoom, report, json, run] = buttons;
  const refuse = (error: Error): void => showFailure("Error", error.message);
  // The plot library is larger than the page: it comes when one of these asks for it.
  png.addEventListener("click", () => {
    import("./figure-png.ts")
      .then(({ figurePng }) => figurePng(current!.result))
      .then((blob) => save(blob, "action_convergence.png"), refuse);
  });
  zoom.addEventListener("click", () => {
    import("./figure-zoom.ts").then(({ showZoomable }) => showZoomable(current!.result)).catch(refuse);
  });
  report.addEventListener("click", () => {
    const { result, run } = current!;
    import("./report-view.ts").then(({ showReport }) => showReport(result, run, "this run")).catch(refuse);
  });
  json.addEventListener("click", () => {
    save(new Blob([formatJson(current!.result)], { type: "application/json" }), "probe.json");
  });
  run.addEventListener("click", () => {
    save(new Blob([formatJson(current!.run)], { type: "application/json" }), "run.json");
  });
  const copy = byId<HTMLButtonElement>("copy-link");
  const words = copy.textContent;
  copy.addEventListener("click", () => {
    navigator.clipboard.writeText(link()).then(
      () => (copy.textContent = "Copied"),
      // Without permission the address bar still has it.
      () => (copy.textContent = "It is in the address bar"),
    );
    setTimeout(() => (copy.textContent = words), 2000);
  });
  return {
    get finished() {
      return current;
    },
    set finished(finished) {
      current = finished;
      for (const button of buttons) button.disabled = !finished;
    },
  };
}

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
