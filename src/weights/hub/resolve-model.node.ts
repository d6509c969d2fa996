/** `--model`: a local path, or a place on the Hub brought into the cache. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError, HubError, MimicVideoError } from "../../errors.ts";
import { chooseWeights } from "../layout.ts";
import { openModelFolder } from "../model-files.node.ts";
import { parseShardIndex } from "../sharded.ts";
import { RepoCache } from "./cache.node.ts";
import { hubSettings, type HubSettings } from "./environment.node.ts";
import { fetchModel, type FetchOptions } from "./fetch-model.node.ts";
import { isUnreachable } from "./http.ts";
import { composedFolders } from "./needed.ts";
import { looksLocal } from "./local-path.node.ts";
import { ProgressLine } from "./progress.ts";
import { formatHubRef, type HubRef, parseHubRef } from "./ref.ts";

/**
 * The local folder or file that `text` stands for. A path that exists is returned unchanged; otherwise
 * `owner/name[@revision][:subfolder]` is downloaded into the cache of the Python client, only the files needed.
 * Environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE as in Python.
 * @throws FormatError if it is neither a path nor a name; HubError if the Hub cannot give it
 */
export async function resolveModel(text: string, options: FetchOptions = {}): Promise<string> {
  if (await exists(text)) return text;
  const ref = (await looksLocal(text)) ? undefined : parseHubRef(text);
  if (ref === undefined) {
    throw new FormatError(
      `${text}: no such file or folder, and not owner/name[@revision][:subfolder] on the Hub. Check the path.`,
    );
  }
  const settings = await hubSettings();
  const progress = options.onProgress === undefined ? progressOnTerminal() : undefined;
  try {
    return await resolveHubRef(settings, ref, {
      ...options,
      onProgress: options.onProgress ?? progress?.show,
    });
  } finally {
    progress?.end();
  }
}

/** The same with settings at hand. */
export async function resolveHubRef(
  settings: HubSettings,
  ref: HubRef,
  options: FetchOptions = {},
): Promise<string> {
  const cached = await findInCache(settings, ref, options.choose);
  if (settings.offline) {
    if (cached.missing === undefined) return cached.path;
    throw new HubError(
      `${formatHubRef(ref)}: HF_HUB_OFFLINE is set, and the cache ${settings.cache} lacks ${cached.missing}. ` +
        "Unset it to download, or copy the cache of a machine that has it.",
      { cause: cached.cause },
    );
  }
  try {
    return await fetchModel(settings, ref, { ...options, impatient: cached.missing === undefined });
  } catch (error) {
    // As in Python: without an answer from the Hub, what was downloaded before serves.
    if (isUnreachable(error) && cached.missing === undefined) return cached.path;
    throw error;
  }
}

interface Cached {
  readonly path: string;
  /** the first thing that the cache lacks */
  readonly missing?: string;
  readonly cause?: unknown;
}

/** Where the cache has `ref`, and the first thing it lacks. */
async function findInCache(
  settings: HubSettings,
  ref: HubRef,
  choose: FetchOptions["choose"],
): Promise<Cached> {
  const cache = new RepoCache(settings.cache, ref.repo);
  const commit = await cache.commitOf(ref.revision);
  if (commit === undefined) return { path: "", missing: `revision ${ref.revision}` };
  const path = join(cache.snapshot(commit), ref.path);
  const missing = await firstMissing(path);
  if (missing !== undefined || !choose || !(await stat(path)).isDirectory()) return { path, missing };
  // Whoever knows the kind of model knows what it needs.
  try {
    const files = await openModelFolder(path, commit);
    const absent = (await choose(files)).find((file) => !files.paths.includes(file));
    return { path, missing: absent && join(path, absent) };
  } catch (cause) {
    if (!(cause instanceof MimicVideoError)) throw cause;
    return { path, missing: `what is needed: ${cause.message}`, cause };
  }
}

/** What a model folder still needs, as far as its own files tell. */
async function firstMissing(path: string): Promise<string | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) return path;
  if (stats.isFile()) return undefined;
  const files = await present(path);
  if (!files.includes("model.json")) {
    // Which parts a folder of parts should have, only the Hub knows; what lies here decides.
    return (await missingShard(path, files)) ?? (files.length === 0 ? path : undefined);
  }
  for (const folder of composedFolders(
    await readFile(join(path, "model.json"), "utf8"),
    join(path, "model.json"),
  )) {
    const part = join(path, folder);
    const inside = await present(part);
    const isTokenizer = inside.some((file) => /^(tokenizer\.json|(tokenizer|spiece)\.model)$/.test(file));
    if (!isTokenizer && !inside.includes("config.json")) return join(part, "config.json");
    if (!isTokenizer && chooseWeights(part, inside) === undefined) return `weights in ${part}`;
    const shard = await missingShard(part, inside);
    if (shard !== undefined) return shard;
  }
  return undefined;
}

/** Names in a folder, without links whose target is gone; none where there is no folder. */
async function present(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const there = await Promise.all(names.map((name) => exists(join(folder, name))));
  return names.filter((_, i) => there[i]);
}

async function missingShard(folder: string, files: readonly string[]): Promise<string | undefined> {
  const index = files.find((file) => /\.(safetensors|bin)\.index\.json$/.test(file));
  if (index === undefined) return undefined;
  const shards = parseShardIndex(await readFile(join(folder, index), "utf8"), join(folder, index)).values();
  for (const shard of shards) if (!files.includes(shard)) return join(folder, shard);
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** A line that renews itself on a terminal; in a log, one every ten seconds and one at the end. */
function progressOnTerminal() {
  const { stderr } = process;
  const lines = new ProgressLine();
  let [shownAt, shown, current] = [performance.now() / 1000, "", ""];
  return {
    show: ((progress) => {
      const now = performance.now() / 1000;
      if (now - shownAt < (stderr.isTTY ? 0.2 : 10) && progress.files < progress.totalFiles) return;
      current = lines.line(progress, now);
      if (current === shown) return;
      // The remainder of a longer line before must not stand behind a shorter one.
      stderr.write(stderr.isTTY ? `\r${current.padEnd(shown.length)}` : `${current}\n`);
      [shownAt, shown] = [now, current];
    }) satisfies FetchOptions["onProgress"],
    end: () => {
      if (stderr.isTTY && shown !== "") stderr.write("\n");
    },
  };
}
