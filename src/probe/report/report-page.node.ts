/** The report with the plot library from npm; see report.ts. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { ProbeResult } from "../result/result.ts";
import { reportHtml, type ReportRun } from "./report.ts";

/** The part of plotly that draws curves and bars, 1.2 MB; the whole would be 4 MB in every report. */
const LIBRARY = "plotly.js-basic-dist-min";

/**
 * @param run what is known of the run beside its result; all of it may be missing.
 * @returns the whole document.
 */
export async function reportPage(result: ProbeResult, run: ReportRun = {}): Promise<string> {
  const plotly = await readFile(createRequire(import.meta.url).resolve(LIBRARY), "utf8");
  const scriptHash = (text: string) => createHash("sha256").update(text, "utf8").digest("base64");
  return reportHtml(result, { ...run, plotly, scriptHash });
}
