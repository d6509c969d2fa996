/** The command: words in, exit code out. */
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { MimicVideoError, UsageError } from "../../errors.ts";
import type { Figure } from "../../probe/figure/figure.ts";
import { escapeMarkup } from "../../probe/result/escape.ts";
import { prepareFolder, writeAtomic } from "../../probe/result/files.node.ts";
import { formatJson } from "../../probe/result/json.ts";
import { readResultFile } from "../../probe/result/read-result.node.ts";
import { runRecord } from "../../probe/result/run-record.ts";
import { printable } from "../../probe/result/shape.ts";
import { rolloutFigure } from "../../rollout/figure.ts";
import { offlineOf } from "../../rollout/offline.ts";
import type { Maker } from "../../probe/result/made-by.ts";
import { type OfflineResult, rolloutResult } from "../../rollout/result.ts";
import { rolloutText } from "../../rollout/text.ts";
import { packagePath, quoted, removeIfEmpty, timeStamp } from "../probe/command.node.ts";
import { type ProgressStream, progressBar } from "../probe/progress.node.ts";
import { helpText } from "../terminal.node.ts";
import { LINES, type RolloutCommand, rolloutCommand, USAGE } from "./options.ts";
import type { Ran, RolloutHooks } from "./run.node.ts";
import { finishedUnits } from "./trial-store.node.ts";

/** Names in the output folder; finished trials lie beside them. */
export const ROLLOUT_FILES = { result: "rollout.json", figure: "rollout.png", run: "run.json" } as const;

/** What a command needs from its surroundings. */
export interface RolloutSurroundings {
  /** words that start this program, for the advice after an interrupt */
  readonly program: readonly string[];
  /** loaded only when there is something to run, so that `--help` needs no GPU */
  readonly loadRunner: () => Promise<(command: RolloutCommand, hooks: RolloutHooks) => Promise<Ran>>;
  readonly drawPng: (figure: Figure) => Promise<Uint8Array>;
  readonly stdout: ProgressStream;
  readonly stderr: ProgressStream;
  /** aborted by an interrupt */
  readonly signal: AbortSignal;
}

/** @returns 0 done, 1 failed, 2 wrong options, 130 interrupted. */
export async function runRolloutCommand(
  words: readonly string[],
  surroundings: RolloutSurroundings,
): Promise<number> {
  const { stdout, stderr } = surroundings;
  try {
    const command = rolloutCommand(words, packagePath("weights/toy"));
    if (command) return await rollOut(words, command, surroundings);
    stdout.write(`${helpText(USAGE, LINES)}\n`);
    return 0;
  } catch (error) {
    const known = error instanceof MimicVideoError;
    const text = known ? error.message : String((error as Error).stack ?? error);
    stderr.write(`mimic-video-rollout: ${printable(text)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function rollOut(
  words: readonly string[],
  command: RolloutCommand,
  { program, loadRunner, drawPng, stdout, stderr, signal }: RolloutSurroundings,
): Promise<number> {
  const started = performance.now();
  const { settings, quiet } = command;
  const stamp = `${basename(resolve(command.modelDir))}-rollout-${timeStamp(new Date())}`;
  const out = command.out ?? join("results", stamp);
  const path = (name: keyof typeof ROLLOUT_FILES): string => join(out, ROLLOUT_FILES[name]);
  await refuseUsed(out, command.resume);
  // What is to stand beside the trials is read before they take their time.
  const beside = command.offline === undefined ? undefined : await readResultFile(command.offline);
  await prepareFolder(out);
  const bar = progressBar(stderr, quiet);
  const onNote = (line: string): void => {
    bar.finish();
    if (!quiet) stderr.write(`${line}\n`);
  };
  try {
    const run = await loadRunner();
    let offline: OfflineResult | undefined;
    const onModel = ({ model: { weightsSha256 } }: Maker): void => {
      const { stops } = settings;
      offline = beside && offlineOf(beside, { stops, weightsSha256 }, command.offline!);
    };
    const ran = await run(command, { out, signal, onProgress: bar.report, onNote, onModel });
    bar.finish();
    const result = rolloutResult(ran.trials, ran.world, settings, ran.provenance, offline);
    const seconds = (performance.now() - started) / 1000;
    const record = runRecord(
      {
        phases: [{ name: "trials", seconds }],
        resumedEpisodes: ran.resumed,
        peakGpuBytes: ran.peakGpuBytes,
      },
      {
        date: new Date().toISOString(),
        command: ["mimic-video-rollout", ...words.map(quoted)].join(" "),
        seconds,
      },
    );
    const text = formatJson(result);
    // Numbers come first: a figure that cannot be drawn costs no trial.
    await writeAtomic(path("result"), text);
    await writeAtomic(path("run"), formatJson(record));
    await writeAtomic(path("figure"), await drawPng(rolloutFigure(escapeMarkup(result))));
    const files = [
      ["figure", path("figure")],
      ["numbers", path("result")],
      ["how it went", path("run")],
    ] as const;
    if (!quiet) (command.json ? stderr : stdout).write(`${printable(rolloutText(result, files, seconds))}\n`);
    if (command.json) stdout.write(text);
    return 0;
  } catch (error) {
    bar.finish();
    await removeIfEmpty(out);
    if (!signal.aborted) throw error;
    const again = [
      ...program,
      ...words.filter((word, i) => !/^--(resume|out)(=|$)/.test(word) && words[i - 1] !== "--out"),
    ];
    const kept = (await finishedUnits(out)) > 0;
    stderr.write(
      kept
        ? `Interrupted; finished trials are kept. Continue with\n  ${[...again, "--resume", "--out", out].map(quoted).join(" ")}\n`
        : "Interrupted before the first trials were over; nothing was kept.\n",
    );
    return 130;
  }
}

/** @throws UsageError where a result or another run's trials would be mixed up, or there is nothing to continue */
async function refuseUsed(out: string, resume: boolean): Promise<void> {
  const there = (name: string): Promise<boolean> =>
    stat(join(out, name)).then(
      () => true,
      () => false,
    );
  if (resume && !(await there(".")))
    throw new UsageError(`--resume: there is no folder ${out}. Name the --out of the run to continue.`);
  if (await there(ROLLOUT_FILES.result))
    throw new UsageError(
      `--out ${out} already holds a ${ROLLOUT_FILES.result}. Name another folder, or remove that one first.`,
    );
  if (!resume && (await finishedUnits(out)) > 0)
    throw new UsageError(
      `--out ${out} holds finished trials of another run. Continue it with --resume and the same options, or name another folder.`,
    );
}
