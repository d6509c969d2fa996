/**
 * The cache of the Python client, shared with it in both directions (layout from its documentation, "Understand
 * caching"):
 *
 *     <cache>/models--owner--name/refs/<revision>              the commit id, as text
 *                                 blobs/<hash>                 contents; sha256 or git blob id
 *                                 snapshots/<commit>/<path>    relative symlinks to ../../blobs/<hash>
 *
 * A blob under its name is complete and verified. What is under construction is `blobs/<hash>.<pid>.incomplete`:
 * another process takes it over only if that one is gone, so that two never write one file.
 */
import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { readlink, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { HubError } from "../../errors.ts";
import { formatBytes } from "../listing.ts";
import { type HubFile } from "./api.ts";
import { type PartialFile } from "./download.ts";
import { isSafePath } from "./ref.ts";

/** Part of a temporary name that no other process, and no other call in this one, uses at the same time. */
const ownName = (): string => `${process.pid}-${++names}`;
let names = 0;

/** Folders of one repository in the cache. */
export class RepoCache {
  readonly folder: string;

  constructor(cache: string, repo: string) {
    this.folder = join(cache, `models--${repo.replace("/", "--")}`);
  }

  /** The commit a revision stood for when last asked. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    if (!isSafePath(revision)) return undefined;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => undefined);
    return text !== undefined && /^[0-9a-f]{40}$/.test(text.trim()) ? text.trim() : undefined;
  }

  /** Notes the commit of a branch or tag; without effect if the cache is read-only. */
  async noteCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = join(this.folder, "refs", revision);
    try {
      await mkdir(dirname(path), { recursive: true });
      const fresh = `${path}.${ownName()}`;
      await writeFile(fresh, commit);
      await rename(fresh, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EROFS") throw explainDisk(error, path);
    }
  }

  /** Where files of a commit appear under their own names. */
  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  blob(file: HubFile): string {
    return join(this.folder, "blobs", file.hash);
  }

  /** Whether the file is there under its name, with its length. */
  async has(commit: string, file: HubFile): Promise<boolean> {
    const stats = await stat(join(this.snapshot(commit), file.path)).catch(() => undefined);
    return stats?.isFile() === true && stats.size === file.size;
  }

  /** Those of `files` that are not there. */
  async missing(commit: string, files: readonly HubFile[]): Promise<HubFile[]> {
    const missing: HubFile[] = [];
    for (const file of files) if (!(await this.has(commit, file))) missing.push(file);
    return missing;
  }

  /** Whether its content is there, perhaps under another commit. A blob of another length is not the file. */
  async hasBlob(file: HubFile): Promise<boolean> {
    const stats = await stat(this.blob(file)).catch(() => undefined);
    return stats?.isFile() === true && stats.size === file.size;
  }

  /**
   * Gives a complete blob its name in the snapshot.
   * @throws HubError if a folder on the way is a link that leads out of the snapshot
   */
  async link(commit: string, file: HubFile): Promise<void> {
    const pointer = join(this.snapshot(commit), file.path);
    try {
      await mkdir(dirname(pointer), { recursive: true });
      const expected = join(await realpath(this.folder), "snapshots", commit, dirname(file.path));
      const actual = await realpath(dirname(pointer));
      if (actual !== expected) {
        throw new HubError(
          `${dirname(pointer)} leads to ${actual}; files are not written through links. Remove it.`,
        );
      }
      const target = relative(dirname(pointer), this.blob(file));
      if ((await readlink(pointer).catch(() => undefined)) === target) return;
      const fresh = `${pointer}.${ownName()}.link`;
      await rm(fresh, { force: true });
      // Windows allows links to few; a second copy is what the Python client falls back to as well.
      await symlink(target, fresh).catch(() => copyFile(this.blob(file), fresh));
      await rename(fresh, pointer);
    } catch (error) {
      throw error instanceof HubError ? error : explainDisk(error, pointer);
    }
  }

  /** Opens the file under construction, taking over what a process that is gone has left. */
  async openPartial(file: HubFile): Promise<PartialBlob> {
    const blob = this.blob(file);
    const own = `${blob}.${process.pid}.incomplete`;
    try {
      await mkdir(dirname(blob), { recursive: true });
      const left = await this.#abandoned(file);
      if (left !== undefined) await rename(left, own).catch(() => {});
      const handle = await open(own, "a+");
      const stats = await handle.stat();
      if (!stats.isFile()) {
        await handle.close();
        throw new HubError(`${own} is not a regular file. Remove it.`);
      }
      return new PartialBlob(own, blob, handle, stats.size);
    } catch (error) {
      throw error instanceof HubError ? error : explainDisk(error, own);
    }
  }

  /** The longest file under construction that nobody is writing to; shorter ones are removed. */
  async #abandoned(file: HubFile): Promise<string | undefined> {
    const blobs = join(this.folder, "blobs");
    let best: { path: string; size: number } | undefined;
    for (const name of await readdir(blobs)) {
      const pid = new RegExp(`^${file.hash}\\.(\\d{1,7})\\.incomplete$`).exec(name)?.[1];
      if (pid === undefined || (Number(pid) !== process.pid && isAlive(Number(pid)))) continue;
      const path = join(blobs, name);
      const size = (await stat(path).catch(() => undefined))?.size ?? -1;
      const worse = best !== undefined && best.size >= size ? path : best?.path;
      if (worse !== path) best = { path, size };
      if (worse !== undefined) await rm(worse, { force: true });
    }
    return best?.path;
  }
}

/** A blob under construction. */
export class PartialBlob implements PartialFile {
  readonly #path: string;
  readonly #blob: string;
  readonly #handle: FileHandle;
  readonly length: number;

  constructor(path: string, blob: string, handle: FileHandle, length: number) {
    this.#path = path;
    this.#blob = blob;
    this.#handle = handle;
    this.length = length;
  }

  async *contents(): AsyncIterable<Uint8Array> {
    const buffer = new Uint8Array(4 * 1024 * 1024);
    for (let at = 0; ;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    try {
      await this.#handle.appendFile(bytes);
    } catch (error) {
      throw explainDisk(error, this.#path);
    }
  }

  async clear(): Promise<void> {
    await this.#handle.truncate(0);
  }

  /** Gives the verified file its name. Flushed first, or a power cut could leave the name on an empty file. */
  async finish(): Promise<void> {
    try {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#path, this.#blob);
    } catch (error) {
      throw explainDisk(error, this.#blob);
    }
  }

  /** Keeps what is there for the next run. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}

/** What a person needs to know of a failed write. */
export function explainDisk(error: unknown, path: string, neededBytes?: number): HubError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    const room = neededBytes === undefined ? "" : ` ${formatBytes(neededBytes)} more are needed.`;
    return new HubError(
      `${path}: the disk is full (${code}).${room} Make room, or set HF_HUB_CACHE to a folder on another disk; ` +
        "what has arrived is kept and resumed.",
      { cause: undefined },
    );
  }
  return new HubError(
    `${path}: cannot be written (${code ?? message}). Check permissions, or set HF_HUB_CACHE.`,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
