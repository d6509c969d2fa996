/** Files of a result: each takes its name only when it is whole and on the disk. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FormatError, UsageError } from "../../errors.ts";
import { encodeSafetensors } from "../../weights/safetensors.ts";
import { type EpisodeMeasurement, type ProbeMeasurement, readSeeds } from "../experiment/measurement.ts";

/** Names in the output folder. */
export const RESULT_FILES = {
  result: "probe.json",
  run: "run.json",
  shard: "shard.json",
  report: "report.html",
  figure: "action_convergence.png",
  actions: "actions.safetensors",
  units: "units",
} as const;

/**
 * Writes a file whole or not at all: a neighbour with a name of its own, flushed to the disk, then renamed.
 *
 * @throws FormatError if it cannot be written; nothing is left behind and an older file of that name stays as it was.
 */
export async function writeAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const partial = `${path}.${randomBytes(4).toString("hex")}.incomplete`;
  try {
    const handle = await open(partial, "wx");
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined);
    throw new FormatError(`${path} could not be written: ${reasonOf(error)}.`, { cause: error });
  }
}

// A rename survives a power cut only once its folder is flushed; not every file system lets a folder be opened.
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/**
 * Makes the output folder and proves that it takes files, before hours of work are spent.
 *
 * @throws UsageError if it is a file, lies under one, or may not be written.
 */
export async function prepareFolder(folder: string): Promise<void> {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new UsageError(`--out ${folder} cannot be used: ${reason}. Name a folder you may write to.`, {
      cause,
    });
  };
  const found = await stat(folder).catch(() => undefined);
  if (found && !found.isDirectory()) refuse("it is a file");
  try {
    await makeFolder(folder);
    await access(folder, constants.W_OK);
    await writeAtomic(join(folder, ".writable"), "");
    await rm(join(folder, ".writable"));
  } catch (error) {
    refuse(reasonOf(error instanceof FormatError ? error.cause : error), error);
  }
}

// Not mkdir's own `recursive`: on Node 20 it never returns where the system has no place for folders (/proc).
async function makeFolder(folder: string): Promise<void> {
  if (await stat(folder).catch(() => undefined)) return;
  const parent = dirname(folder);
  if (parent !== folder) await makeFolder(parent);
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}

/**
 * Refuses a folder that already holds a result or units of a run, so that nothing is lost by a repeated command.
 *
 * @throws UsageError naming what is there.
 */
export async function refuseUsedFolder(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  if (names.includes(RESULT_FILES.units)) {
    const units = (await readdir(join(folder, RESULT_FILES.units))).filter((name) =>
      name.endsWith(".safetensors"),
    );
    if (units.length > 0)
      throw new UsageError(
        `--out ${folder} holds ${units.length} finished ${units.length === 1 ? "episode" : "episodes"} of another run. ` +
          "Continue that run with --resume and the same options, or name another folder.",
      );
  }
  const document = [RESULT_FILES.result, RESULT_FILES.shard].find((name) => names.includes(name));
  if (document)
    throw new UsageError(
      `--out ${folder} already holds a ${document}. Name another folder, or remove that one first.`,
    );
}

/**
 * All decoded chunks of a run as safetensors; axis letters as in measurement.ts. `actions`, `oracle_actions` and `budget_actions` are in the data's
 * units, everything else in the model's normalised ones.
 */
export async function encodeActions(measurement: ProbeMeasurement): Promise<Uint8Array> {
  const { settings, episodes, chunkLength: T, actionNames, actionTimes } = measurement;
  const { videoSeeds, actionSeeds, probeSteps, videoSteps, budgets = [] } = settings;
  const [E, V, S, K] = [episodes.length, videoSeeds.length, readSeeds(settings), probeSteps.length];
  const [M, D, B] = [actionTimes.length - 1, actionNames.length, budgets.length];
  const tensor = (
    name: string,
    shape: number[],
    array: (e: EpisodeMeasurement) => Float32Array | undefined,
  ) => {
    const present = episodes.map(array).filter((values) => values !== undefined && values.length > 0);
    return present.length === E
      ? [{ name, dtype: "F32" as const, shape, data: joined(present as Float32Array[]) }]
      : [];
  };
  const tensors = [
    ...tensor("actions", [E, V, S, K, T, D], (e) => e.dataActions),
    ...tensor("actions_normalised", [E, V, S, K, T, D], (e) => e.actions),
    ...tensor("oracle_actions", [E, V, S, K, T, D], (e) => e.dataOracle),
    ...tensor("budget_actions", [E, V, S, B, T, D], (e) => e.dataBudgetActions),
    ...tensor("budget_actions_normalised", [E, V, S, B, T, D], (e) => e.budgetActions),
    ...tensor("iterates", [E, V, S, K, M + 1, T, D], (e) => e.iterates),
    ...tensor("one_jump", [E, V, S, K, M, T, D], (e) => e.oneJump),
    ...tensor("zeroed_context", [E, V, S, T, D], (e) => e.zeroedContext),
    ...tensor("other_context", [E, V, S, T, D], (e) => e.otherContext),
    ...tensor("truth", [E, T, D], (e) => e.truth),
    ...tensor("truth_in_data_units", [E, T, D], (e) => e.dataTruth),
    ...tensor("hold_still", [E, T, D], (e) => e.holdStill),
  ];
  return encodeSafetensors(tensors, {
    episodes: episodes.map(({ episode }) => episode).join(","),
    probe_steps: probeSteps.join(","),
    video_steps: String(videoSteps),
    ...(budgets.length > 0 ? { budgets: budgets.join(",") } : {}),
    video_seeds: videoSeeds.join(","),
    action_seeds: actionSeeds === "same" ? "same" : actionSeeds.join(","),
    action_names: actionNames.join(","),
    trained_on: measurement.provenance.model.trainedOn,
    weights_sha256: measurement.provenance.model.weightsSha256,
  });
}

/** Little-endian bytes of several arrays; every platform with WebGPU is little-endian. */
export function joined(arrays: Float32Array[]): Uint8Array {
  const bytes = new Uint8Array(4 * arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    at += array.byteLength;
  }
  return bytes;
}

function reasonOf(error: unknown): string {
  const known: Record<string, string> = {
    EACCES: "permission denied",
    EPERM: "permission denied",
    EROFS: "the file system is read-only",
    ENOSPC: "the disk is full",
    ENOTDIR: "a part of its path is a file",
    EEXIST: "a part of its path is a file",
    ENOENT: "its folder does not exist and cannot be made",
  };
  const { code, message } = error as NodeJS.ErrnoException;
  return (code && known[code]) ?? message ?? String(error);
}
