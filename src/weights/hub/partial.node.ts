/**
 * Blobs under construction. Each download writes a file of its own, `blobs/<hash>.<owner>.incomplete`, so that no two
 * processes, containers or hosts that share a cache ever write one file. What another has left is taken over
 *
 *     <hash>.free-<random>.incomplete                   given up by its owner: by whoever renames it first
 *     <hash>.<place>-<pid>-<start>-<random>.incomplete  if that process is of this place and gone: likewise
 *                                                       if it is of another place: after an hour of silence, and
 *                                                       then its content is moved into a file of ours, as its
 *                                                       owner may only have slept
 *
 * Files of the Python client (`<hash>.incomplete`, under a lock of its own) are left alone.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { HubError } from "../../errors.ts";
import { explainDisk } from "./disk.ts";
import { type PartialFile } from "./download.ts";
import { type Machine } from "./machine.node.ts";

/** A writer waits at most 5 minutes, for a Hub that asks it to; after this it is gone, whatever the clocks say. */
const silenceMs = 3_600_000;

/** Bytes read, or moved, at a time. */
const stepBytes = 4 * 1024 * 1024;

interface Leftover {
  readonly path: string;
  readonly bytes: number;
  /** nobody can be writing to it */
  readonly proven: boolean;
}

const random = (): string => randomBytes(4).toString("hex");

const ownName = (blob: string, { place, pid, started }: Machine, suffix = "incomplete"): string =>
  `${blob}.${place}-${pid}-${started}-${random()}.${suffix}`;

/** What has been left of `blob` and may be taken over, longest first. */
async function leftovers(blob: string, machine: Machine): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const pattern = new RegExp(
    `^${basename(blob)}\\.(?:free-[0-9a-f]{8}|([0-9a-f]{12})-(\\d+)-(\\d+)-[0-9a-f]{8}|\\d{1,7})\\.(incomplete|moving)$`,
  );
  for (const name of await readdir(dirname(blob)).catch(() => [] as string[])) {
    const match = pattern.exec(name);
    if (match === null) continue;
    const [, place, pid, started, kind] = match;
    const path = join(dirname(blob), name);
    const stats = await lstat(path).catch(() => undefined);
    if (stats?.isFile() !== true) continue;
    const free = name.includes(".free-");
    if (place === machine.place && (await machine.runs(Number(pid), started))) continue;
    const proven = free || place === machine.place;
    if (!proven && Date.now() - stats.mtimeMs < silenceMs) continue;
    // What was being moved when its mover ended has holes.
    found.push({ path, bytes: kind === "moving" ? -1 : stats.size, proven });
  }
  return found.sort((a, b) => b.bytes - a.bytes);
}

/** Bytes of `blob` that a download would not have to fetch again. */
export async function leftoverBytes(blob: string, size: number, machine: Machine): Promise<number> {
  const [longest] = await leftovers(blob, machine);
  return longest === undefined || longest.bytes > size ? 0 : Math.max(0, longest.bytes);
}

/**
 * Opens a file of our own for `blob`, with the longest beginning that may be taken over; the others are removed.
 * @param blob path it gets when complete, in a folder that exists
 * @throws HubError if the folder cannot be written
 */
export async function openPartialBlob(blob: string, machine: Machine): Promise<PartialBlob> {
  const own = ownName(blob, machine);
  try {
    let taken: Leftover | undefined;
    for (const left of await leftovers(blob, machine)) {
      if (taken !== undefined || left.bytes < 0) await rm(left.path, { force: true }).catch(() => {});
      // Of several who rename it, one succeeds; the others find the next.
      else if (await renamed(left.path, own)) taken = left;
    }
    const kept = taken === undefined || taken.proven ? own : await moved(own, blob, machine);
    const handle = await open(kept, constants.O_RDWR | (taken === undefined ? createNew : 0), 0o666);
    return new PartialBlob(kept, blob, handle, (await handle.stat()).size);
  } catch (error) {
    throw error instanceof HubError ? error : explainDisk(error, own);
  }
}

const createNew = constants.O_CREAT | constants.O_EXCL;

async function renamed(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    () => false,
  );
}

/**
 * The content of `from` in a new file, which a former owner of `from` that wakes up cannot write to. From the end, and
 * what has been copied is cut off, so that a disk with room for the rest of a download has room for this.
 */
async function moved(from: string, blob: string, machine: Machine): Promise<string> {
  const fresh = ownName(blob, machine, "moving");
  const [source, target] = [await open(from, "r+"), await open(fresh, "wx")];
  try {
    const buffer = new Uint8Array(stepBytes);
    for (let end = (await source.stat()).size; end > 0;) {
      const start = Math.max(0, end - stepBytes);
      const { bytesRead } = await source.read(buffer, 0, end - start, start);
      await writeAll(target, buffer.subarray(0, bytesRead), start);
      await source.truncate(start);
      end = start;
    }
  } finally {
    await source.close();
    await target.close();
  }
  await rm(from, { force: true });
  const named = ownName(blob, machine);
  await rename(fresh, named);
  return named;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    at += (await handle.write(bytes, at, bytes.byteLength - at, position + at)).bytesWritten;
  }
}

/** A file under construction that only this object writes. */
export class PartialBlob implements PartialFile {
  readonly #path: string;
  readonly #blob: string;
  readonly #handle: FileHandle;
  #end: number;
  #open = true;
  readonly length: number;

  constructor(path: string, blob: string, handle: FileHandle, length: number) {
    this.#path = path;
    this.#blob = blob;
    this.#handle = handle;
    this.length = this.#end = length;
  }

  async *contents(): AsyncIterable<Uint8Array> {
    const buffer = new Uint8Array(stepBytes);
    for (let at = 0; ;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    try {
      await writeAll(this.#handle, bytes, this.#end);
      this.#end += bytes.byteLength;
    } catch (error) {
      throw explainDisk(error, this.#path);
    }
  }

  async clear(): Promise<void> {
    await this.#handle.truncate(0);
    this.#end = 0;
  }

  /** On the disk, or a power cut could leave the blob's name on an empty file. */
  async flush(): Promise<void> {
    try {
      await this.#handle.sync();
    } catch (error) {
      throw explainDisk(error, this.#path);
    }
  }

  /** Gives the verified file its name. */
  async finish(): Promise<void> {
    try {
      this.#open = false;
      await this.#handle.close();
      await rename(this.#path, this.#blob);
    } catch (error) {
      throw explainDisk(error, this.#blob);
    }
  }

  /** Gives up what is there, for whoever goes on; without effect after `finish`. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close().catch(() => {});
    if (this.#end === 0) await rm(this.#path, { force: true }).catch(() => {});
    else await renamed(this.#path, `${this.#blob}.free-${random()}.incomplete`);
  }
}
