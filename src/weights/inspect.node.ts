/** The checkpoints a path or a Hub name stands for, opened by their headers; on the Hub by ranges, no download. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { FormatError, HubError } from "../errors.ts";
import { listTree, resolveRevision } from "./hub/api.ts";
import { hubSettings } from "./hub/environment.node.ts";
import { looksLocal } from "./hub/local-path.node.ts";
import { rangeSource } from "./hub/range-source.ts";
import { type HubRef, parseHubRef } from "./hub/ref.ts";
import { resolveModel } from "./hub/resolve-model.node.ts";
import { isWeightsFile } from "./layout.ts";
import { openWeightsFile, type ReadOptions } from "./open.node.ts";
import { openAnyWeights } from "./open.ts";
import { openSharded, parseShardIndex } from "./sharded.ts";
import { type TensorSource } from "./source.ts";

/** What a place with weights offers, wherever it is. */
interface Place {
  readonly name: string;
  /** weights files, by path below the place */
  readonly files: readonly string[];
  open(file: string): Promise<TensorSource>;
  readText(file: string): Promise<string>;
}

/** Depth of folders looked into: a model, its parts, `episodes`. */
const maxDepth = 3;

/**
 * Yields each checkpoint of `target`: a file itself, of a folder or repository every weights file in it, the shards
 * of an index joined. The caller closes what it gets.
 * @throws FormatError as loading would; HubError
 */
export async function* openForInspection(
  target: string,
  options: ReadOptions = {},
): AsyncIterable<TensorSource> {
  const stats = await stat(target).catch(() => undefined);
  const local = stats !== undefined || (await looksLocal(target));
  // What is not there is opened too: it says why.
  if (local && stats?.isDirectory() !== true) {
    yield await openWeightsFile(target, options);
    return;
  }
  const ref = local ? undefined : parseHubRef(target);
  const place =
    ref === undefined
      ? await localPlace(await resolveModel(target), options)
      : await namedOnHub(target, ref, options);
  if (place.files.length === 0) throw new FormatError(`${place.name}: no weights in it.`);
  yield* openAll(place);
}

async function namedOnHub(target: string, ref: HubRef, options: ReadOptions): Promise<Place> {
  try {
    return await remotePlace(ref, options);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    // A misspelt path of two parts looks like a name on the Hub.
    throw new HubError(`There is no local "${target}". ${error.message}`, { cause: error });
  }
}

async function* openAll(place: Place): AsyncIterable<TensorSource> {
  const sharded = new Set<string>();
  for (const index of place.files.filter((file) => file.endsWith(".index.json"))) {
    const name = `${place.name}/${index}`;
    const beside = (shard: string) => (dirname(index) === "." ? shard : `${dirname(index)}/${shard}`);
    const weightMap = parseShardIndex(await place.readText(index), name);
    for (const shard of weightMap.values()) sharded.add(beside(shard));
    yield await openSharded(name, weightMap, (shard) => place.open(beside(shard)));
  }
  for (const file of place.files) {
    if (!file.endsWith(".index.json") && !sharded.has(file)) yield await place.open(file);
  }
}

async function localPlace(path: string, options: ReadOptions): Promise<Place> {
  if (!(await stat(path)).isDirectory()) {
    return {
      name: path,
      files: [""],
      open: () => openWeightsFile(path, options),
      readText: () => Promise.resolve(""),
    };
  }
  const files: string[] = [];
  const visit = async (below: string, depth: number, above: readonly string[]): Promise<void> => {
    const here = await realpath(join(path, below));
    // A link to a folder that this one lies in would begin all over.
    if (above.includes(here)) return;
    for (const entry of (await readdir(here, { withFileTypes: true })).sort(byName)) {
      const file = below === "" ? entry.name : `${below}/${entry.name}`;
      const kind = entry.isSymbolicLink() ? await stat(join(path, file)).catch(() => undefined) : entry;
      if (kind?.isDirectory() && depth < maxDepth) await visit(file, depth + 1, [...above, here]);
      // A link that leads nowhere is opened too: it says what is missing.
      else if ((kind === undefined || kind.isFile()) && isWeightsFile(file)) files.push(file);
    }
  };
  await visit("", 1, []);
  return {
    name: path,
    files,
    open: (file) => openWeightsFile(join(path, file), options),
    readText: (file) => readFile(join(path, file), "utf8"),
  };
}

async function remotePlace(ref: HubRef, options: ReadOptions): Promise<Place> {
  const { client, offline } = await hubSettings();
  if (offline)
    return localPlace(
      await resolveModel(`${ref.repo}@${ref.revision}${ref.path && `:${ref.path}`}`),
      options,
    );
  const commit = await resolveRevision(client, ref.repo, ref.revision);
  const tree = await listTree(client, ref.repo, commit);
  const within = tree.filter(
    ({ path }) => path === ref.path || ref.path === "" || path.startsWith(`${ref.path}/`),
  );
  const byPath = new Map(within.filter(({ path }) => isWeightsFile(path)).map((file) => [file.path, file]));
  const source = (path: string) => {
    const file = byPath.get(path);
    if (file === undefined) throw new FormatError(`${ref.repo}: an index names ${path}, which is not there.`);
    return rangeSource(client, ref.repo, commit, file);
  };
  return {
    name: ref.repo,
    files: [...byPath.keys()].sort(),
    open: async (file) =>
      openAnyWeights(source(file), { ...options, crc32: (bytes, previous) => crc32(bytes, previous) }),
    readText: async (file) => {
      const bytes = source(file);
      return new TextDecoder().decode(await bytes.read(0, bytes.size));
    },
  };
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
