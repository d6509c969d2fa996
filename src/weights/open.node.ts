/** Weights from a path or a place on the Hub: a file, or a folder in any of the layouts the Hub uses. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { FormatError } from "../errors.ts";
import { openFile } from "./files.node.ts";
import { resolveModel } from "./hub/resolve-model.node.ts";
import { chooseWeights } from "./layout.ts";
import { openAnyWeights } from "./open.ts";
import { openSharded, parseShardIndex } from "./sharded.ts";
import { type TensorSource } from "./source.ts";

export interface ReadOptions {
  /** false reads torch checkpoints whose checksums do not fit; default true */
  readonly verify?: boolean;
}

/**
 * Opens weights by header only; tensors are read when asked for. A file is read by what it contains, safetensors
 * or a torch zip; of a folder the weights that `chooseWeights` finds.
 * @param target a file, a folder, or `owner/name[@revision][:path]`, which is downloaded first
 * @throws FormatError if nothing there is weights, if several could be meant, or if a file is malformed; HubError
 */
export async function openWeights(target: string, options: ReadOptions = {}): Promise<TensorSource> {
  const path = await resolveModel(target);
  if (!(await stat(path)).isDirectory()) return openWeightsFile(path, options);
  const files = await readdir(path);
  const chosen = chooseWeights(path, files);
  if (chosen === undefined) {
    throw new FormatError(
      `${path}: no weights among its ${files.length} entries; .safetensors, an index of shards, pytorch_model.bin, .pt or .ckpt ` +
        "was looked for.",
    );
  }
  return openWeightsFile(join(path, chosen.file), options);
}

/** A single local file, or an index of shards, which lie beside it. */
export async function openWeightsFile(path: string, options: ReadOptions = {}): Promise<TensorSource> {
  if (path.endsWith(".index.json")) return openIndex(path, options);
  const source = await openFile(path);
  try {
    return await openAnyWeights(source, { ...options, crc32: (bytes, previous) => crc32(bytes, previous) });
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

async function openIndex(path: string, options: ReadOptions): Promise<TensorSource> {
  const source = await openFile(path);
  try {
    const text = new TextDecoder().decode(await source.read(0, source.size));
    return await openSharded(path, parseShardIndex(text, path), (shard) =>
      openWeightsFile(join(dirname(path), shard), options),
    );
  } finally {
    await source.close?.();
  }
}
