/**
 * The command: words in, exit code out. Everything it touches outside the file system is handed in, so that tests run
 * it with a runner of their own.
 */
import { readFileSync } from "node:fs";
import { rmdir, stat } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MimicVideoError, UsageError } from "../../errors.ts";
import type { ProbeMeasurement, RunProbe, Shard } from "../../probe/experiment/measurement.ts";
import { prepareFolder, RESULT_FILES, refuseUsedFolder, writeAtomic } from "../../probe/result/files.node.ts";
import { formatJson } from "../../probe/result/json.ts";
import { type RunFacts, runRecord } from "../../probe/result/run-record.ts";
import { printable } from "../../probe/result/shape.ts";
import { writeShard } from "../../probe/result/shard.node.ts";
import { summaryText } from "../../probe/result/summary.ts";
import { type FolderStore, folderStore } from "../../probe/result/unit-store.node.ts";
import { type Drawing, writeDocument } from "./document.node.ts";
import { compare, COMPARED, merge, plot } from "./on-files.node.ts";
import { helpText, readOptions } from "./options.ts";
import { type ProgressStream, progressBar } from "./progress.node.ts";
import { type ProbeCommand, probeCommand } from "./settings.ts";
import { fileWords } from "./words.ts";

/** What a command needs from its surroundings. */
export interface Surroundings extends Drawing {
  /** Words that start this program, such as ["node", "dist/probe.js"]; for the advice after an interrupt. */
  program: readonly string[];
  /** Loads the runner; only called when there is something to run, so that `--help` needs no GPU. */
  loadRunner: () => Promise<RunProbe>;
  stdout: ProgressStream;
  stderr: ProgressStream;
  /** Aborted by an interrupt. */
  signal: AbortSignal;
}

/** @returns 0 done, 1 failed, 2 wrong options, 130 interrupted. */
export async function runCommand(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stdout, stderr } = surroundings;
  try {
    if (ON_FILES.includes(words[0])) return await onFiles(words, surroundings);
    const typed = readOptions(words);
    if (typed.help !== undefined) stdout.write(helpText(Math.max(60, process.stdout.columns || 80)));
    else if (typed.version !== undefined) stdout.write(`${projectVersion()}\n`);
    else return await measure(words, probeCommand(typed, packagePath("weights/toy")), surroundings);
    return 0;
  } catch (error) {
    const ours = error instanceof MimicVideoError;
    const stack = error instanceof Error ? error.stack : undefined;
    const text = ours
      ? error.message
      : `${stack ?? String(error)}\nThis is a fault of the program, not of its use.`;
    stderr.write(`mimic-video-probe: ${printable(text)}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

const ON_FILES: readonly (string | undefined)[] = ["plot", "compare", "merge"];

async function onFiles([command, ...rest]: readonly string[], surroundings: Surroundings): Promise<number> {
  const started = performance.now();
  const wanted =
    command === "plot"
      ? fileWords(command, rest, "probe.json", [1, 1], ["reference"])
      : command === "compare"
        ? fileWords(command, rest, "probe.json", COMPARED, ["json"])
        : fileWords(command, rest, "DIR", [1, 10_000], ["json", "reference"]);
  if (!wanted) surroundings.stdout.write(helpText(Math.max(60, process.stdout.columns || 80)));
  else if (command === "plot") await plot(wanted, surroundings, surroundings);
  else if (command === "compare") await compare(wanted, surroundings, surroundings);
  else await merge(wanted, surroundings, surroundings, () => factsOf([command, ...rest], started));
  return 0;
}

const factsOf = (words: readonly string[], started: number): RunFacts => ({
  date: new Date().toISOString(),
  command: ["mimic-video-probe", ...words.map(quoted)].join(" "),
  seconds: (performance.now() - started) / 1000,
});

async function measure(
  words: readonly string[],
  command: ProbeCommand,
  surroundings: Surroundings,
): Promise<number> {
  const { stdout, stderr, signal, loadRunner } = surroundings;
  const { settings, quiet, resume } = command;
  const started = performance.now();
  const out =
    command.out ?? join("results", `${basename(resolve(settings.modelDir))}-${timeStamp(new Date())}`);
  if (!resume) await refuseUsedFolder(out);
  else if (!(await stat(out).catch(() => undefined)))
    throw new UsageError(`--resume: there is no folder ${out}. Name the --out of the run to continue.`);
  await prepareFolder(out);

  const store = folderStore(out);
  const bar = progressBar(stderr, quiet);
  const onNote = (line: string): void => {
    bar.finish();
    if (!quiet) stderr.write(`${line}\n`);
  };
  try {
    const runProbe = await loadRunner();
    const measurement = await runProbe(settings, { signal, store, onNote, onProgress: bar.report });
    signal.throwIfAborted();
    bar.finish();
    const provenance = measurement.provenance;
    provenance.versions = { project: projectVersion(), node: process.versions.node, ...provenance.versions };
    const run = runRecord(measurement.timing, factsOf(words, started), settings.shard);
    const say = (text: string): unknown =>
      quiet || (command.json ? stderr : stdout).write(`${printable(text)}\n`);
    if (settings.shard) {
      await writeAtomic(join(out, RESULT_FILES.run), formatJson(run));
      await writeShard(out, measurement, settings.shard, command);
      say(shardWords(settings.shard, measurement, out));
      return 0;
    }
    const { result, files } = await writeDocument(out, measurement, run, command, surroundings);
    say(summaryText(result, files, command.reference, run.seconds));
    if (command.json) stdout.write(formatJson(result));
    return 0;
  } catch (error) {
    bar.finish();
    await removeIfEmpty(join(out, RESULT_FILES.units));
    await removeIfEmpty(out);
    if (!signal.aborted) throw error;
    stderr.write(`${interruptMessage([...surroundings.program, ...words], out, store)}\n`);
    return 130;
  }
}

function shardWords({ index, count }: Shard, { episodes, settings }: ProbeMeasurement, out: string): string {
  const measured =
    episodes.length === 0
      ? "nothing to measure, as there are more parts than units"
      : `${episodes.length} of ${settings.episodes.length} episodes`;
  return (
    `Part ${index} of ${count} (from 0): ${measured}, in ${out}.\n` +
    "When all parts are there: node dist/probe.js merge DIR … --out DIR"
  );
}

function interruptMessage(words: readonly string[], out: string, store: FolderStore): string {
  const done = store.finished().length;
  const total = store.total();
  if (done === 0) return "Interrupted before the first episode was finished; nothing was kept.";
  const rest = words.filter((word, i) => !/^--(resume|out)(=|$)/.test(word) && words[i - 1] !== "--out");
  const again = [...rest, "--resume", "--out", out].map(quoted).join(" ");
  return `Interrupted: ${done} of ${total} episodes saved; continue with\n  ${again}`;
}

/** A word as a shell takes it. */
export const quoted = (word: string) =>
  /^[\w@%+=:,./|-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** Removes a folder only if it holds nothing. */
async function removeIfEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch(() => undefined);
}

/** Local time as 20261122-063000: sorts by name and needs no quoting. */
export function timeStamp(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(two).join("");
  return `${day}-${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join("")}`;
}

/** A path inside the package, relative to the working folder where that is shorter. The package is three folders up from here, in src as in dist. */
export function packagePath(inside: string): string {
  const absolute = fileURLToPath(new URL(`../../../${inside}`, import.meta.url));
  const near = relative(process.cwd(), absolute);
  return near.startsWith("..") ? absolute : near;
}

/** Of this project. */
export function projectVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
