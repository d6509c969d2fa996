/** Files of the local disk as byte sources and sinks. */
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
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
    const what = code === "ENOENT" ? "there is no such file" : `it cannot be opened (${code})`;
    throw new FormatError(`${path}: ${what}. Check the path and its permissions.`, { cause: error });
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
}

/**
 * Writes `path` through a neighbour `path.incomplete`, so that a broken run never leaves half a file under the name.
 * @throws FormatError if the folder cannot be written or the disk is full
 */
export async function createFile(path: string): Promise<FileSink> {
  const partial = `${path}.incomplete`;
  const explain = (error: unknown): never => {
    const full = (error as NodeJS.ErrnoException).code === "ENOSPC";
    throw new FormatError(
      `${path}: writing failed (${full ? "the disk is full; make room and run again" : (error as Error).message}).`,
      { cause: error },
    );
  };
  const handle = await open(partial, "w").catch(explain);
  let unfinished = true;
  return {
    write: async (bytes) => {
      for (let at = 0; at < bytes.byteLength;) {
        at += (await handle.write(bytes, at, bytes.byteLength - at).catch(explain)).bytesWritten;
      }
    },
    finish: async () => {
      unfinished = false;
      await handle.close().catch(explain);
      await rename(partial, path).catch(explain);
    },
    abandon: async () => {
      if (!unfinished) return;
      unfinished = false;
      await handle.close();
      await rm(partial, { force: true });
    },
  };
}
