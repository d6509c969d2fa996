/** Files of one commit into the cache: which are missing, room for them, several at a time, verified. */
import { createHash } from "node:crypto";
import { readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { HubError } from "../../errors.ts";
import { formatBytes } from "../listing.ts";
import type { ModelFiles } from "../model-files.ts";
import { openModelFolder } from "../model-files.node.ts";
import { type HubFile, listTree, resolveRevision } from "./api.ts";
import { RepoCache } from "./cache.node.ts";
import { downloadFile, type NewHasher } from "./download.ts";
import { type HubSettings } from "./environment.node.ts";
import { neededFiles } from "./needed.ts";
import { type Machine } from "./machine.node.ts";
import { type Progress } from "./progress.ts";
import { WholeFilesOnlyError } from "./range-source.ts";
import { type HubRef } from "./ref.ts";
import { type Choose, remoteFiles } from "./remote-files.ts";

export interface FetchOptions {
  /** told at every step; the object is the same and changes */
  readonly onProgress?: (progress: Progress) => void;
  /** bytes free where the cache is, for tests */
  readonly freeBytes?: (folder: string) => Promise<number>;
  /** which processes are seen, for tests */
  readonly machine?: Machine;
  /** chooses among the files, shown by ranges, by their paths; default: what `neededFiles` finds */
  readonly choose?: Choose;
  /**
   * shown the files by ranges when some are to be downloaded, before the first is; what it throws prevents
   * that, unless the server does not answer ranges
   */
  readonly beforeDownload?: (files: ModelFiles) => Promise<void>;
  /** give up early when the Hub does not answer at all, because the cache can serve */
  readonly impatient?: boolean;
}

/** Connections at a time: enough to fill a line with small files, few enough not to be turned away. */
const parallel = 4;

/**
 * Brings what `ref` needs into the cache.
 * @returns the local folder or file it stands for
 * @throws HubError
 */
export async function fetchModel(
  settings: HubSettings,
  ref: HubRef,
  options: FetchOptions = {},
): Promise<string> {
  const { client } = settings;
  const cache = new RepoCache(settings.cache, ref.repo, options.machine);
  const asking = options.impatient ? { ...client, retry: { ...client.retry, attempts: 2 } } : client;
  const commit = await resolveRevision(asking, ref.repo, ref.revision);
  // The whole tree: a shared part may lie outside the subfolder's own listing, and one call is one call.
  const tree = await listTree(client, ref.repo, commit);
  const get = (files: readonly HubFile[], onProgress?: FetchOptions["onProgress"]) =>
    fetchFiles(settings, cache, ref.repo, commit, files, { ...options, onProgress });
  const { files, chosen } = remoteFiles(asking, ref, commit, tree, async (file) => {
    await get([file]);
    return (await openModelFolder(cache.snapshot(commit), commit)).json(file.path);
  });
  const needed = options.choose
    ? await chosen(options.choose)
    : await neededFiles(ref.repo, tree, ref.path, async (file) => {
        await get([file]);
        return readFile(join(cache.snapshot(commit), file.path), "utf8");
      });
  if (options.beforeDownload && (await cache.missing(commit, needed)).length > 0) {
    await options.beforeDownload(files).catch((error: unknown) => {
      // What cannot be known beforehand is no reason not to download.
      if (!(error instanceof WholeFilesOnlyError)) throw error;
    });
  }
  await get(needed, options.onProgress);
  await cache.noteCommit(ref.revision, commit);
  return join(cache.snapshot(commit), ref.path);
}

async function fetchFiles(
  settings: HubSettings,
  cache: RepoCache,
  repo: string,
  commit: string,
  files: readonly HubFile[],
  options: FetchOptions,
): Promise<void> {
  const missing = await cache.missing(commit, files);
  if (missing.length === 0) return;
  // Files of equal content share a blob: one download, several names.
  const byHash = new Map<string, HubFile>();
  for (const file of missing) if (!(await cache.hasBlob(file))) byHash.set(file.hash, file);
  const blobs = [...byHash.values()];

  const progress: Progress = {
    name: repo,
    totalBytes: blobs.reduce((sum, { size }) => sum + size, 0),
    totalFiles: blobs.length,
    bytes: 0,
    files: 0,
  };
  let lacking = 0;
  for (const file of blobs) lacking += await cache.lackingBytes(file);
  await checkRoom(cache.folder, settings.cache, lacking, options.freeBytes ?? freeBytes);
  const queue = blobs.values();
  const stop = { failed: false };
  const worker = async () => {
    for (const file of queue) {
      if (stop.failed) return;
      await fetchBlob(settings, cache, repo, commit, file, (count) => {
        progress.bytes += count;
        options.onProgress?.(progress);
      }).catch((error: unknown) => {
        stop.failed = true;
        throw error;
      });
      progress.files++;
      options.onProgress?.(progress);
    }
  };
  // All are awaited even when one fails, so that nothing writes on after the error is reported.
  const ended = await Promise.allSettled(Array.from({ length: parallel }, worker));
  const failure = ended.find((end) => end.status === "rejected");
  if (failure !== undefined) throw failure.reason;
  for (const file of missing) await cache.link(commit, file);
}

const underWay = new Map<string, Promise<void>>();

/** One download of a blob at a time in this process; whoever asks for the same waits for it. */
async function fetchBlob(
  settings: HubSettings,
  cache: RepoCache,
  repo: string,
  commit: string,
  file: HubFile,
  onBytes: (count: number) => void,
): Promise<void> {
  const key = cache.blob(file);
  const running = underWay.get(key);
  if (running !== undefined) {
    await running;
    onBytes(file.size);
    return;
  }
  const download = (async () => {
    const part = await cache.openPartial(file);
    try {
      await downloadFile(settings.client, repo, commit, file, part, nodeHasher, onBytes);
      await part.finish();
    } catch (error) {
      // Asleep for an hour, it may have been taken over, and finished by someone else.
      if (!(await cache.hasBlob(file))) throw error;
    } finally {
      await part.close();
    }
  })();
  underWay.set(key, download);
  try {
    await download;
  } finally {
    underWay.delete(key);
  }
}

const nodeHasher: NewHasher = (algorithm) => {
  const hash = createHash(algorithm);
  return { update: (bytes) => hash.update(bytes), hex: () => hash.digest("hex") };
};

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

async function checkRoom(
  folder: string,
  cache: string,
  needed: number,
  free: (folder: string) => Promise<number>,
): Promise<void> {
  let existing = folder;
  let available: number | undefined;
  // The folder may not exist yet; its nearest ancestor that does is on the same disk.
  for (;;) {
    available = await free(existing).catch(() => undefined);
    const parent = join(existing, "..");
    if (available !== undefined || parent === existing) break;
    existing = parent;
  }
  if (available !== undefined && available < needed) {
    throw new HubError(
      `${formatBytes(needed)} are to be downloaded, but ${cache} has room for ${formatBytes(available)}. ` +
        "Make room, or set HF_HUB_CACHE to a folder on another disk.",
    );
  }
}
