/**
 * A checkpoint in several files: `*.safetensors.index.json` or `*.bin.index.json` maps each key to the file that holds
 * it (`weight_map`), and all the files lie beside the index.
 */
import { FormatError } from "../errors.ts";
import { quoted, type TensorInfo, type TensorSource, tensorInfo } from "./source.ts";
import { parseStrictJson } from "./strict-json.ts";

/**
 * Reads an index: key → file name.
 * @throws FormatError if it is not an index, or names a file that is not a plain neighbour of it
 */
export function parseShardIndex(text: string, where: string): ReadonlyMap<string, string> {
  // A byte order mark, which some editors leave, means nothing.
  const json = parseStrictJson(text.replace(/^\uFEFF/, ""), where);
  const map = json instanceof Map ? json.get("weight_map") : undefined;
  if (!(map instanceof Map)) {
    throw new FormatError(`${where}: it has no "weight_map" object, so it is not an index of shards.`);
  }
  for (const [key, file] of map) {
    if (typeof file !== "string" || !isPlainFileName(file)) {
      throw new FormatError(
        `${where}: key ${quoted(key)} points to ${quoted(file)}; only the name of a file beside ` +
          "the index is allowed, so that an index cannot reach other files.",
      );
    }
  }
  return map as Map<string, string>;
}

/** True for one component that no file system reads as a path: no separators, drives, dots alone or controls. */
export function isPlainFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\:\p{Cc}]/u.test(name);
}

/**
 * Joins shards into one source. The index and the files must agree in both directions: a key that the index
 * promises and the file lacks, or one that lies in a file unannounced, is an error before any tensor is read.
 * @param openShard opens a shard by its file name
 * @throws FormatError listing the disagreements
 */
export async function openSharded(
  name: string,
  weightMap: ReadonlyMap<string, string>,
  openShard: (file: string) => Promise<TensorSource>,
): Promise<TensorSource> {
  const shards = new Map<string, TensorSource>();
  const close = async () => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const file of [...new Set(weightMap.values())].sort()) shards.set(file, await openShard(file));
    const tensors = new Map<string, TensorInfo>();
    const wrong: string[] = [];
    for (const [key, file] of weightMap) {
      const info = shards.get(file)!.tensors.get(key);
      if (info === undefined) wrong.push(`${key} is missing in ${file}`);
      else tensors.set(key, info);
    }
    for (const [file, shard] of shards) {
      for (const key of shard.tensors.keys()) {
        if (weightMap.get(key) !== file) wrong.push(`${key} in ${file} is not in the index`);
      }
    }
    if (wrong.length > 0) {
      throw new FormatError(
        `${name}: index and files disagree in ${wrong.length} keys: ${wrong.slice(0, 5).join("; ")}` +
          `${wrong.length > 5 ? "; …" : ""}. Fetch the whole set again.`,
      );
    }
    const joined: TensorSource = {
      name,
      tensors,
      metadata: new Map([...shards.values()].reverse().flatMap(({ metadata }) => [...(metadata ?? [])])),
      skipped: [...shards.values()].flatMap(({ skipped }) => skipped ?? []),
      read: async (key) => shardOf(key).read(key),
      stream: (key, chunkBytes) => shardOf(key).stream(key, chunkBytes),
      close,
    };
    const shardOf = (key: string) => shards.get(weightMap.get(tensorInfo(joined, key).name)!)!;
    return joined;
  } catch (error) {
    await close();
    throw error;
  }
}
