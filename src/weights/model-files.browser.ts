/**
 * Model folders in a browser: a map from paths to bytes, wherever they come from. Files beside the page are fetched
 * when they are first read, dropped ones are read by slices, those of the Hub lie in OPFS (hub/opfs.browser.ts).
 */
import { FormatError } from "../errors.ts";
import { blobSource, bytesSource } from "./blob.ts";
import { streamingHasher } from "./hub/hash.ts";
import { chooseWeights } from "./layout.ts";
import type { ModelFiles } from "./model-files.ts";
import { openAnyWeights } from "./open.ts";
import { openSharded, parseShardIndex } from "./sharded.ts";
import { type ByteSource, streamRange } from "./source.ts";

/** Path below the model's folder, with "/" between its parts → bytes. */
export type FolderSources = ReadonlyMap<string, ByteSource>;

/** Files that count as weights in a hash, as in model-files.node.ts, so that both give the same one. */
const WEIGHTS = /\.(safetensors|pt|pth|ckpt|bin)$/;

/** A model folder over `sources`. */
export function modelFilesOf(name: string, sources: FolderSources, revision = "unversioned"): ModelFiles {
  const inside = (folder: string): string[] =>
    [...sources.keys()]
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1))
      .filter((rest) => !rest.includes("/"));
  const sourceAt = (path: string): ByteSource => {
    const source = sources.get(path);
    if (source) return source;
    throw new FormatError(`${name} has no ${path}. A model folder needs it; see the toy's for an example.`);
  };
  const text = async (path: string): Promise<string> => {
    const source = sourceAt(path);
    return new TextDecoder().decode(await source.read(0, source.size));
  };
  return {
    name,
    revision,
    paths: [...sources.keys()].sort(),
    bytes: async (path) => sourceAt(path),
    json: async (path) => {
      const content = await text(path);
      try {
        return JSON.parse(content) as unknown;
      } catch (error) {
        throw new FormatError(`${name}/${path} is not JSON: ${(error as Error).message}`);
      }
    },
    weights: async (path) => {
      if (sources.has(path)) return openAnyWeights(sourceAt(path));
      const chosen = chooseWeights(`${name}/${path}`, inside(path));
      if (!chosen)
        throw new FormatError(`${name}/${path} holds no weights among ${inside(path).length} files.`);
      const file = `${path}/${chosen.file}`;
      if (chosen.kind === "file") return openAnyWeights(sourceAt(file));
      const map = parseShardIndex(await text(file), `${name}/${file}`);
      return openSharded(`${name}/${file}`, map, (shard) => openAnyWeights(sourceAt(`${path}/${shard}`)));
    },
    sha256: async (paths) => {
      const hash = streamingHasher("sha256");
      for (const path of paths) {
        if (!sources.has(path) && inside(path).length === 0)
          throw new FormatError(`${name}/${path} does not exist`);
        const within = inside(path).filter((file) => WEIGHTS.test(file));
        const files = sources.has(path) ? [path] : within.sort().map((file) => `${path}/${file}`);
        for (const file of files) {
          const source = sourceAt(file);
          for await (const chunk of streamRange(source, 0, source.size)) hash.update(chunk);
        }
      }
      return hash.hex();
    },
  };
}

/** A subfolder of a model folder as a folder of its own. */
export function subfolder(sources: FolderSources, folder: string): FolderSources {
  const within = [...sources].filter(([path]) => path.startsWith(`${folder}/`));
  return new Map(within.map(([path, source]) => [path.slice(folder.length + 1), source]));
}

/** A file that was dropped or chosen, with its path as the browser gave it. */
export interface DroppedFile {
  readonly path: string;
  readonly file: File;
}

/**
 * The model folder among dropped files: the one that holds the topmost `model.json`.
 * @throws FormatError when there is none
 */
export function droppedFolder(dropped: readonly DroppedFile[]): { name: string; sources: FolderSources } {
  const depth = (path: string): number => path.split("/").length;
  const found = dropped
    .map(({ path }) => path)
    .filter((path) => /(^|\/)model\.json$/.test(path))
    .sort((a, b) => depth(a) - depth(b));
  if (found.length === 0) {
    const some = dropped.slice(0, 3).map(({ path }) => path);
    throw new FormatError(
      `there is no model.json among the ${dropped.length} dropped files (${some.join(", ") || "none"}${dropped.length > 3 ? ", …" : ""}). ` +
        "Drop the whole folder of a model: model.json, its parts, and episodes/.",
    );
  }
  const root = found[0].slice(0, -"model.json".length);
  const inside = dropped.filter(({ path }) => path.startsWith(root));
  return {
    name: root.split("/").at(-2) ?? "dropped model",
    sources: new Map(inside.map(({ path, file }) => [path.slice(root.length), blobSource(file, path)])),
  };
}

/** A file beside the page. */
export interface ListedFile {
  readonly path: string;
  readonly size: number;
}

/**
 * Files below `base`, each fetched whole when it is first read: a static host need not answer ranges, and what is kept
 * is what the model reads.
 * @param onBytes told of every chunk that arrives
 */
export function fetchedFolder(
  base: string,
  files: readonly ListedFile[],
  onBytes?: (path: string, count: number) => void,
): FolderSources {
  return new Map(files.map((file) => [file.path, fetchedSource(base, file, onBytes)]));
}

function fetchedSource(
  base: string,
  { path, size }: ListedFile,
  onBytes?: (path: string, count: number) => void,
): ByteSource {
  let whole: Promise<ByteSource> | undefined;
  const download = async (): Promise<ByteSource> => {
    const url = new URL(path, base).href;
    const response = await fetch(url).catch((cause: Error) => {
      throw new FormatError(
        `${path} could not be fetched (${cause.message}). Check the connection and reload.`,
      );
    });
    if (!response.ok || !response.body) {
      throw new FormatError(`${url} answered ${response.status}. The page was not published with its model.`);
    }
    const bytes = new Uint8Array(size);
    let length = 0;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (length + value.byteLength <= size) bytes.set(value, length);
      length += value.byteLength;
      onBytes?.(path, value.byteLength);
    }
    if (length !== size) {
      throw new FormatError(`${url} has ${length} bytes, ${size} were published. Reload, past the cache.`);
    }
    return bytesSource(bytes, path);
  };
  return {
    name: path,
    size,
    read: async (offset, length) => {
      whole ??= download();
      // A failed download may be tried again.
      whole.catch(() => (whole = undefined));
      return (await whole).read(offset, length);
    },
  };
}
