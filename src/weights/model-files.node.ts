/** A model folder on local disk. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { FormatError } from "../errors.ts";
import type { ModelFiles } from "./model-files.ts";
import { openFile } from "./files.node.ts";
import { openWeights } from "./open.node.ts";

/** Files that count as weights; configurations are part of the result file already. */
const WEIGHTS = /\.(safetensors|pt|pth|ckpt|bin)$/;

/**
 * A folder with a model.json, or any folder that is read the same way.
 * @param options.expected what the folder should hold, for the message when there is none
 * @throws FormatError when it is no folder
 */
export async function openModelFolder(
  folder: string,
  revision = "unversioned",
  options: { readonly verify?: boolean; readonly expected?: string } = {},
): Promise<ModelFiles> {
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) {
    throw new FormatError(
      `${folder} is not a folder. Give ${options.expected ?? "a folder that holds a model.json, such as weights/toy"}.`,
    );
  }
  return {
    name: nameOf(path.resolve(folder)),
    revision,
    paths: (await filesBelow(folder)).sort(),
    bytes: (file) => openFile(path.join(folder, file)),
    json: (file) => readJson(path.join(folder, file)),
    weights: (file) => openWeights(path.join(folder, file), options),
    sha256: async (files) => {
      const hash = createHash("sha256");
      for (const file of files) {
        for (const full of await weightFiles(path.join(folder, file))) {
          for await (const chunk of createReadStream(full)) hash.update(chunk as Buffer);
        }
      }
      return hash.digest("hex");
    },
  };
}

/** A folder's own name; in the Hub's cache, where that is a hash, the repository's. */
function nameOf(folder: string): string {
  const parts = folder.split(path.sep);
  const at = parts.lastIndexOf("snapshots");
  const repo = /^models--(.+)--(.+)$/.exec(parts[at - 1] ?? "");
  return repo && /^[0-9a-f]{40}$/.test(parts[at + 1] ?? "")
    ? [repo[1], repo[2], ...parts.slice(at + 2)].join("/")
    : path.basename(folder);
}

/** Deeper than any published layout; a folder of data sets beside a model is not walked for ever. */
const MOST_DEPTH = 8;

/** Files and links to files, as paths below `folder`; linked folders, as the Hub's cache has none, are followed too. */
async function filesBelow(folder: string, below = "", depth = 0): Promise<string[]> {
  if (depth > MOST_DEPTH) return [];
  const entries = await readdir(path.join(folder, below), { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    entries
      .filter(({ name }) => !name.startsWith("."))
      .map(async (entry) => {
        const inside = below === "" ? entry.name : `${below}/${entry.name}`;
        const linked = entry.isSymbolicLink()
          ? await stat(path.join(folder, inside)).catch(() => undefined)
          : entry;
        if (linked?.isDirectory()) return filesBelow(folder, inside, depth + 1);
        return linked?.isFile() ? [inside] : [];
      }),
  );
  return found.flat();
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new FormatError(`${file} cannot be read (${cause.code ?? cause.message})`);
  });
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${file} is not JSON: ${(error as Error).message}`);
  }
}

async function weightFiles(place: string): Promise<string[]> {
  const found = await stat(place).catch(() => {
    throw new FormatError(`${place} does not exist`);
  });
  if (!found.isDirectory()) return [place];
  const names = (await readdir(place)).filter((name) => WEIGHTS.test(name)).sort();
  return names.map((name) => path.join(place, name));
}
