/** Result files of others, from the disk. */
import { FormatError } from "../../errors.ts";
import { openFile } from "../../weights/files.node.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { ProbeResult } from "./result.ts";
import { readResult } from "./read-result.ts";

/** Far beyond any result, and little enough to hold. */
const MOST_BYTES = 64 * 2 ** 20;

/**
 * Reads text of bounded size.
 * @throws FormatError if the file is missing, no regular file, too large, or no UTF-8
 */
export async function readText(path: string): Promise<string> {
  const file = await openFile(path);
  try {
    if (file.size > MOST_BYTES)
      throw new FormatError(
        `${path} has ${formatBytes(file.size)}; a result has ${formatBytes(MOST_BYTES)} at most. Name a probe.json.`,
      );
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.read(0, file.size));
  } catch (error) {
    if (error instanceof TypeError)
      throw new FormatError(`${path} is no UTF-8 text. Name a probe.json.`, { cause: error });
    throw error;
  } finally {
    await file.close?.();
  }
}

/**
 * A `probe.json`, checked.
 * @throws FormatError what `readText` and `readResult` throw
 */
export async function readResultFile(path: string): Promise<ProbeResult> {
  return readResult(await readText(path), path);
}
