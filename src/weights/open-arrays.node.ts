/** Tensors from a file that may also be a pickle of numpy arrays, as programs keep small results. */
import { FormatError } from "../errors.ts";
import { openFile } from "./files.node.ts";
import { openWeights } from "./open.node.ts";
import { looksPickled, openPickledArrays } from "./pickled-arrays.ts";
import type { TensorSource } from "./source.ts";

/** Arrays lie in one piece in a pickle, so all of it is read at once. */
const MOST_PICKLED_BYTES = 1 << 30;

/** As `openWeights`, and pickles of arrays. @throws FormatError when it is neither */
export async function openArrays(path: string): Promise<TensorSource> {
  const file = await openFile(path);
  try {
    if (!looksPickled(await file.read(0, Math.min(2, file.size)))) return await openWeights(path);
    if (file.size > MOST_PICKLED_BYTES)
      throw new FormatError(
        `${path}: a pickle of ${file.size} bytes; at most ${MOST_PICKLED_BYTES} are read.`,
      );
    return openPickledArrays(await file.read(0, file.size), path);
  } finally {
    await file.close?.();
  }
}
