/** What a person needs to know of a write to the cache that failed. */
import { HubError } from "../../errors.ts";
import { formatBytes } from "../listing.ts";

/** The cache belongs to someone else or lies on a file system that is mounted for reading. */
export function isReadOnly(error: unknown): boolean {
  return ["EROFS", "EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "");
}

export function explainDisk(error: unknown, path: string, neededBytes?: number): HubError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    const room = neededBytes === undefined ? "" : ` ${formatBytes(neededBytes)} more are needed.`;
    return new HubError(
      `${path}: the disk is full (${code}).${room} Make room, or set HF_HUB_CACHE to a folder on another disk; ` +
        "what has arrived is kept and resumed.",
    );
  }
  const what =
    code === "EROFS"
      ? "lies on a read-only file system (EROFS), so nothing can be downloaded to it"
      : code === "EACCES" || code === "EPERM"
        ? `cannot be written (${code}): it belongs to someone else`
        : `cannot be written (${code ?? message})`;
  return new HubError(`${path}: ${what}. Check permissions, or set HF_HUB_CACHE to a folder of your own.`);
}
