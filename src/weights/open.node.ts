/** Weights from a path: a file, or a folder in any of the layouts the Hub uses. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { FormatError } from "../errors.ts";
import { openFile } from "./files.node.ts";
import { openAnyWeights } from "./open.ts";
import { openSharded, parseShardIndex } from "./sharded.ts";
import type { TensorSource } from "./source.ts";

/**
 * Opens weights by header only; tensors are read when asked for.
 *
 * A file is read by what it contains, safetensors or a torch zip. In a folder the first of these is taken:
 * `model.safetensors`, `diffusion_pytorch_model.safetensors`, the only `*.safetensors.index.json`, the only
 * `.safetensors`, then `pytorch_model.bin`.
 * @throws FormatError if nothing there is weights, if several could be meant, or if a file is malformed
 */
export async function openWeights(path: string): Promise<TensorSource> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new FormatError(`${path}: no such file or folder (${error.code}).`, { cause: error });
  });
  return stats.isDirectory() ? openFolder(path) : openWeightsFile(path);
}

async function openFolder(folder: string): Promise<TensorSource> {
  const files = await readdir(folder);
  const indexes = files.filter((file) => file.endsWith(".safetensors.index.json"));
  const singles = files.filter((file) => file.endsWith(".safetensors"));
  for (const usual of ["model.safetensors", "diffusion_pytorch_model.safetensors"]) {
    if (files.includes(usual)) return openWeightsFile(join(folder, usual));
  }
  if (indexes.length === 1) return openIndex(folder, indexes[0]);
  if (singles.length === 1 && indexes.length === 0) return openWeightsFile(join(folder, singles[0]));
  if (files.includes("pytorch_model.bin") && singles.length === 0)
    return openWeightsFile(join(folder, "pytorch_model.bin"));
  const choices = [...indexes, ...singles];
  throw new FormatError(
    choices.length > 1
      ? `${folder}: it holds several weights: ${choices.slice(0, 6).join(", ")}. Name one of them.`
      : `${folder}: no weights among its ${files.length} entries; a .safetensors file, an index of shards or ` +
          "pytorch_model.bin was looked for.",
  );
}

async function openIndex(folder: string, index: string): Promise<TensorSource> {
  const path = join(folder, index);
  const weightMap = parseShardIndex(await readFile(path, "utf8"), path);
  return openSharded(path, weightMap, (file) => openWeightsFile(join(folder, file)));
}

/** A single file by its first bytes: a zip is a torch checkpoint, anything else must be safetensors. */
export async function openWeightsFile(path: string): Promise<TensorSource> {
  const source = await openFile(path);
  try {
    return await openAnyWeights(source, { crc32: (bytes, previous) => crc32(bytes, previous) });
  } catch (error) {
    await source.close?.();
    throw error;
  }
}
