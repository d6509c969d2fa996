/**
 * Commands that need no model and no GPU: `plot` and `compare` read results that others may have sent, so every key is checked before it is
 * used (read-result.ts); `merge` puts the parts of a run together.
 */
import { stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../../errors.ts";
import { compareResults } from "../../probe/comparison/comparison.ts";
import { comparisonFigure, MOST_RUNS } from "../../probe/comparison/figure.ts";
import { comparisonText } from "../../probe/comparison/text.ts";
import { escapeMarkup } from "../../probe/result/escape.ts";
import { prepareFolder, RESULT_FILES, refuseUsedFolder, writeAtomic } from "../../probe/result/files.node.ts";
import { formatJson } from "../../probe/result/json.ts";
import type { ReportRun } from "../../probe/report/run.ts";
import { readResultFile, readText } from "../../probe/result/read-result.node.ts";
import { mergedRecord, RUN_SHAPE, type RunFacts } from "../../probe/result/run-record.ts";
import { mergeShards } from "../../probe/result/shard.node.ts";
import { printable } from "../../probe/result/shape.ts";
import { summaryText } from "../../probe/result/summary.ts";
import { parseStrictJson } from "../../weights/strict-json.ts";
import { type Drawing, drawDocument, writeDocument } from "./document.node.ts";
import type { FileWords } from "./words.ts";

/** Where a command writes what a person reads. */
export interface Speaking {
  /** `--json`'s, or the summary. */
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

/** Names of `compare`'s files. */
export const COMPARISON_FILES = { figure: "comparison.png", numbers: "comparison.json" } as const;

/** Draws a result again. */
export async function plot(
  { names, out, reference, quiet }: FileWords,
  drawing: Drawing,
  { stdout }: Speaking,
): Promise<void> {
  const path = await resultPath(names[0]);
  const result = await readResultFile(path);
  const run = await runBeside(path);
  await refuseToOverwrite(out, [RESULT_FILES.figure, ...(drawing.writeReport ? [RESULT_FILES.report] : [])]);
  await prepareFolder(out);
  const files = await drawDocument(out, result, reference, drawing, run);
  if (!quiet) stdout.write(`${printable(summaryText(result, files, reference))}\n`);
}

/** Several results in one figure, and what differs in how they were made. */
export async function compare(
  { names, out, quiet, json }: FileWords,
  { drawPng }: Drawing,
  { stdout, stderr }: Speaking,
): Promise<void> {
  const paths = await Promise.all(names.map(resultPath));
  const runs = [];
  for (const path of paths) runs.push({ name: runName(path), result: await readResultFile(path) });
  await refuseToOverwrite(out, Object.values(COMPARISON_FILES));
  await prepareFolder(out);
  const comparison = compareResults(runs);
  const text = formatJson(comparison);
  const [numbers, figure] = [join(out, COMPARISON_FILES.numbers), join(out, COMPARISON_FILES.figure)];
  await writeAtomic(numbers, text);
  await writeAtomic(figure, await drawPng(comparisonFigure(escapeMarkup(comparison))));
  const summary = `${printable(comparisonText(comparison))}\n\nfigure   ${figure}\nnumbers  ${numbers}\n`;
  if (!quiet) (json ? stderr : stdout).write(summary);
  if (json) stdout.write(text);
}

/** Puts the parts of a run together: the bytes of the run that was not split. */
export async function merge(
  { names, out, reference, chosen, quiet, json }: FileWords,
  drawing: Drawing,
  { stdout, stderr }: Speaking,
  facts: () => RunFacts,
): Promise<void> {
  await refuseUsedFolder(out);
  const { measurement, presentation, runs } = await mergeShards(names);
  await prepareFolder(out);
  const shown = chosen ? { ...presentation, reference } : presentation;
  const { result, files } = await writeDocument(
    out,
    measurement,
    mergedRecord(facts(), runs),
    shown,
    drawing,
  );
  if (!quiet) (json ? stderr : stdout).write(`${printable(summaryText(result, files, shown.reference))}\n`);
  if (json) stdout.write(formatJson(result));
}

/** Runs in one comparison. */
export const COMPARED = [2, MOST_RUNS] as const;

/** A result's file, also by its folder. */
async function resultPath(name: string): Promise<string> {
  const found = await stat(name).catch(() => undefined);
  return found?.isDirectory() ? join(name, RESULT_FILES.result) : name;
}

/** "results/a/probe.json" is known as "a"; another name is its own. */
function runName(path: string): string {
  const file = basename(path);
  return file === RESULT_FILES.result ? basename(dirname(resolve(path))) : file.replace(/\.json$/, "");
}

/**
 * When a run was and how long it took, from the record in the folder of its result. Its command is left out: it would stand in our report as one to
 * run again, and somebody else may have written it.
 */
async function runBeside(path: string): Promise<ReportRun | undefined> {
  const beside = join(dirname(path), RESULT_FILES.run);
  if (basename(path) !== RESULT_FILES.result || !(await stat(beside).catch(() => undefined)))
    return undefined;
  const parsed = parseStrictJson(await readText(beside), beside, { maxDepth: 12 });
  const { date, seconds, parts, resumed_episodes } = RUN_SHAPE.read(parsed, {
    file: beside,
    key: "",
    sizes: {},
  });
  return { date, seconds, parts, resumed_episodes };
}

async function refuseToOverwrite(out: string, names: readonly string[]): Promise<void> {
  for (const name of names)
    if (await stat(join(out, name)).catch(() => undefined))
      throw new UsageError(
        `--out ${out} already holds a ${name}. Name another folder, or remove that one first.`,
      );
}
