/** Which of a repository's files a model needs: not the other formats, precisions and examples beside them. */
import { HubError } from "../../errors.ts";
import { chooseWeights } from "../layout.ts";
import { parseShardIndex } from "../sharded.ts";
import { type Json, parseStrictJson } from "../strict-json.ts";
import { type HubFile } from "./api.ts";
import { isSafePath } from "./ref.ts";

/** Keys of `model.json` that name a part's folder. */
export const partKeys = ["transformer", "vae", "text_encoder", "tokenizer", "action_decoder"] as const;

/** What has to be read from the repository to know what else is needed. */
export type ReadText = (file: HubFile) => Promise<string>;

/**
 * The files for `path` of a listing: the file itself if it is one; the parts that `model.json` names, with
 * `episodes/` and the folder of episodes that it names; without a `model.json`, the folder's own configuration and weights and those of the folders in it.
 * @param read fetches a small file, for `model.json` and indexes of shards
 * @throws HubError if nothing is there, or `model.json` names a part that is not
 */
export async function neededFiles(
  repo: string,
  files: readonly HubFile[],
  path: string,
  read: ReadText,
): Promise<HubFile[]> {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const single = byPath.get(path);
  if (single !== undefined) return [single];
  const root = path === "" ? "" : `${path}/`;
  const inside = files.filter((file) => file.path.startsWith(root));
  if (inside.length === 0) {
    throw new HubError(`${repo}: it has no ${path === "" ? "files" : `"${path}"`} at this revision.`);
  }
  const composition = byPath.get(`${root}model.json`);
  if (composition === undefined) return folderOrParts(inside, root, read);

  const needed: HubFile[] = [composition];
  const text = await read(composition);
  const where = `${repo}:${composition.path}`;
  for (const folder of composedFolders(text, where)) {
    const part = await partFiles(inside, `${root}${folder}/`, read);
    if (part.length === 0) {
      throw new HubError(
        `${repo}: ${composition.path} names the folder "${folder}", which has no files there.`,
      );
    }
    needed.push(...part);
  }
  for (const folder of ["episodes", ...composedFolders(text, where, ["episodes"])])
    needed.push(...inside.filter((file) => file.path.startsWith(`${root}${folder}/`)));
  return [...new Set(needed)];
}

/**
 * The folders that a `model.json` names, by default those of parts.
 * @throws HubError if one is not a path inside the model
 */
export function composedFolders(text: string, where: string, keys: readonly string[] = partKeys): string[] {
  const json: Json = parseStrictJson(text, where);
  const folders = new Set<string>();
  for (const key of keys) {
    const value = json instanceof Map ? json.get(key) : undefined;
    if (value === undefined || value === null) continue;
    if (typeof value !== "string" || !isSafePath(value)) {
      throw new HubError(`${where}: "${key}" is ${JSON.stringify(value)}, not a folder inside the model.`);
    }
    folders.add(value);
  }
  return [...folders];
}

async function folderOrParts(files: readonly HubFile[], root: string, read: ReadText): Promise<HubFile[]> {
  // In a repository of a diffusers pipeline, weights at the root are the same once more in another format.
  const isPipeline = files.some(({ path }) => path === `${root}model_index.json`);
  const own = await partFiles(files, root, read, !isPipeline);
  const folders = new Set(
    files
      .map((file) => file.path.slice(root.length).split("/"))
      .filter((parts) => parts.length === 2)
      .map(([folder]) => folder),
  );
  for (const folder of folders) own.push(...(await partFiles(files, `${root}${folder}/`, read)));
  return own;
}

/** Configuration, tokenizer and weights that lie directly in `folder`. */
async function partFiles(
  files: readonly HubFile[],
  folder: string,
  read: ReadText,
  withWeights = true,
): Promise<HubFile[]> {
  const direct = new Map<string, HubFile>();
  for (const file of files) {
    const name = file.path.slice(folder.length);
    if (file.path.startsWith(folder) && !name.includes("/")) direct.set(name, file);
  }
  const needed = [...direct].filter(([name]) => isConfiguration(name)).map(([, file]) => file);
  if (!withWeights) return needed;
  const chosen = chooseWeights(folder || "the repository", [...direct.keys()]);
  if (chosen === undefined) return needed;
  const weights = direct.get(chosen.file)!;
  if (chosen.kind === "file") return [...needed, weights];
  const shards = new Set(parseShardIndex(await read(weights), weights.path).values());
  for (const shard of shards) {
    const file = direct.get(shard);
    if (file === undefined)
      throw new HubError(`${weights.path} names the shard "${shard}", which is not beside it.`);
    needed.push(file);
  }
  return [...needed, weights];
}

function isConfiguration(name: string): boolean {
  return /\.json$/.test(name)
    ? !name.endsWith(".index.json")
    : /^(spiece|tokenizer)\.model$|^(vocab|merges)\.txt$/.test(name);
}
