/** Files of the local disk as byte sources and sinks. */
import { randomBytes } from "node:crypto";
import { constants, rmSync } from "node:fs";
import { type FileHandle, open, readlink, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { FormatError } from "../errors.ts";
import { type ByteSink, type ByteSource, checkRange } from "./source.ts";

/**
 * Opens a file for reading by ranges.
 * @throws FormatError if it is missing, not a regular file, or cannot be read
 */
export async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle;
  try {
    // Non-blocking, or opening a named pipe would wait for a writer for ever; the kind is checked below.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw (await danglingLink(path)) ?? noSuchFile(path);
    throw new FormatError(`${path}: it cannot be opened (${code}). Check the path and its permissions.`, {
      cause: error,
    });
  }
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw new FormatError(`${path}: it is not a regular file. Give the path of a weights file.`);
  }
  const source: ByteSource = {
    name: path,
    size: stats.size,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length);
      for (let filled = 0; filled < length;) {
        const { bytesRead } = await readAt(handle, path, bytes, filled, offset + filled);
        if (bytesRead === 0) {
          throw new FormatError(
            `${path}: it ended at byte ${offset + filled} while ${source.size} were announced. ` +
              "It was changed during reading; start again.",
          );
        }
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
  return source;
}

function noSuchFile(path: string): FormatError {
  return new FormatError(`${path}: there is no such file. Check the path and its permissions.`);
}

/** What to say of a link whose target is gone, as in a cache that was cleaned or whose download was cut short. */
async function danglingLink(path: string): Promise<FormatError | undefined> {
  const target = await readlink(path).catch(() => undefined);
  if (target === undefined) return undefined;
  const cached = /models--([^/]+)--([^/]+)\/snapshots\//.exec(resolve(path));
  const remedy =
    cached === null
      ? "Restore it, or remove the link."
      : `Fetch the model again by its name on the Hub, ${cached[1]}/${cached[2]}; only what is missing is downloaded.`;
  return new FormatError(`${path}: a link to ${target}, which is not there. ${remedy}`);
}

async function readAt(handle: FileHandle, path: string, into: Uint8Array, at: number, position: number) {
  try {
    // One call of the system reads at most 2 GiB.
    return await handle.read(into, at, Math.min(into.byteLength - at, 2 ** 30), position);
  } catch (error) {
    throw new FormatError(`${path}: reading at byte ${position} failed (${(error as Error).message}).`, {
      cause: error,
    });
  }
}

/** A sink into a file that takes its name only when complete. */
export interface FileSink extends ByteSink {
  /** gives the file its name */
  finish(): Promise<void>;
  /** removes what was written; without effect after `finish` */
  abandon(): Promise<void>;
  /** the same at once, for a process that ends */
  remove(): void;
}

/**
 * Writes `path` through a neighbour `path.<random>.incomplete`, so that a broken run never leaves half a file under the name.
 * @throws FormatError if the folder cannot be written or the disk is full
 */
export async function createFile(path: string): Promise<FileSink> {
  const partial = `${path}.${randomBytes(4).toString("hex")}.incomplete`;
  const explain = (error: unknown): never => {
    const full = (error as NodeJS.ErrnoException).code === "ENOSPC";
    throw new FormatError(
      `${path}: writing failed (${full ? "the disk is full; make room and run again" : (error as Error).message}).`,
      { cause: error },
    );
  };
  const handle = await open(partial, "wx").catch(explain);
  let unfinished = true;
  return {
    write: async (bytes) => {
      for (let at = 0; at < bytes.byteLength;) {
        at += (await handle.write(bytes, at, bytes.byteLength - at).catch(explain)).bytesWritten;
      }
    },
    finish: async () => {
      unfinished = false;
      try {
        // Or a power cut could leave the name on an empty file.
        await handle.sync();
        await handle.close();
        await rename(partial, path);
      } catch (error) {
        await handle.close().catch(() => {});
        await rm(partial, { force: true });
        explain(error);
      }
    },
    abandon: async () => {
      if (!unfinished) return;
      unfinished = false;
      await handle.close();
      await rm(partial, { force: true });
    },
    remove: () => {
      if (unfinished) rmSync(partial, { force: true });
    },
  };
}
