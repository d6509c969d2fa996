/** What a run leaves in its folder, and what is drawn from it: shared by the run itself, `plot` and `merge`. */
import { join } from "node:path";
import type { ProbeMeasurement } from "../../probe/experiment/measurement.ts";
import { convergenceFigure, type Figure, type Reference } from "../../probe/figure/figure.ts";
import type { ReportRun } from "../../probe/report/run.ts";
import { escapeMarkup } from "../../probe/result/escape.ts";
import { encodeActions, RESULT_FILES, writeAtomic } from "../../probe/result/files.node.ts";
import { formatJson } from "../../probe/result/json.ts";
import { type ProbeResult, probeResult } from "../../probe/result/result.ts";
import type { RunRecord } from "../../probe/result/run-record.ts";
import { probeStatistics } from "../../probe/statistics/statistics.ts";

/** How results become pictures. */
export interface Drawing {
  /** Figure to PNG; loaded when it is needed, because plotly is 5 MB of text. */
  drawPng: (figure: Figure) => Promise<Uint8Array>;
  /**
   * The page of a result, where there is one.
   * @param run that made it, where that is known
   */
  writeReport?: (result: ProbeResult, run?: ReportRun) => Promise<string>;
}

/** [what it is, path] of each file. */
export type Written = [string, string][];

/**
 * Counts a measurement and writes everything. Numbers come first: a figure that cannot be drawn costs no measurement.
 * @param margin how much worse than the last a sufficient step may be; default a share of a floor's error
 */
export async function writeDocument(
  out: string,
  measurement: ProbeMeasurement,
  run: RunRecord,
  { margin, reference }: { margin?: number; reference: Reference },
  drawing: Drawing,
): Promise<{ result: ProbeResult; files: Written }> {
  const result = probeResult(measurement, probeStatistics(measurement, { margin }));
  const path = (name: keyof typeof RESULT_FILES) => join(out, RESULT_FILES[name]);
  await writeAtomic(path("actions"), await encodeActions(measurement));
  await writeAtomic(path("run"), formatJson(run));
  await writeAtomic(path("result"), formatJson(result));
  const drawn = await drawDocument(out, result, reference, drawing, run);
  const files: Written = [
    ...drawn,
    ["numbers", path("result")],
    ["how it went", path("run")],
    ["decoded actions", path("actions")],
  ];
  return { result, files };
}

/** The figure, and the report where there is one. */
export async function drawDocument(
  out: string,
  result: ProbeResult,
  reference: Reference,
  { drawPng, writeReport }: Drawing,
  run?: ReportRun,
): Promise<Written> {
  const figure = join(out, RESULT_FILES.figure);
  await writeAtomic(figure, await drawPng(convergenceFigure(escapeMarkup(result), reference)));
  if (!writeReport) return [["figure", figure]];
  const report = join(out, RESULT_FILES.report);
  await writeAtomic(report, await writeReport(result, run));
  return [
    ["figure", figure],
    ["report", report],
  ];
}
