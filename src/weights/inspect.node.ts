/** The checkpoints a path or a Hub name stands for, opened by header. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../errors.ts";
import { openWeights } from "./open.node.ts";
import { type TensorSource } from "./source.ts";

/**
 * Yields each checkpoint of `target`: of a file itself, of a folder its weights or, where there are none but
 * subfolders have some, those of each subfolder. The caller closes what it gets.
 * @throws FormatError as loading would
 */
export async function* openForInspection(target: string): AsyncIterable<TensorSource> {
  const parts = await weightFolders(target);
  for (const part of parts) yield await openWeights(part);
}

async function weightFolders(target: string): Promise<string[]> {
  const stats = await stat(target).catch(() => undefined);
  if (!stats?.isDirectory() || (await hasWeights(target))) return [target];
  const found: string[] = [];
  for (const entry of (await readdir(target)).sort()) {
    const path = join(target, entry);
    const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
    if (isFolder && (await hasWeights(path))) found.push(path);
  }
  if (found.length === 0) {
    throw new FormatError(`${target}: no weights in this folder or the folders in it.`);
  }
  return found;
}

async function hasWeights(folder: string): Promise<boolean> {
  return (await readdir(folder)).some((file) =>
    /\.safetensors(\.index\.json)?$|^pytorch_model\.bin$/.test(file),
  );
}
