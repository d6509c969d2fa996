/** Data sets in Node: a folder of this machine, or a repository of the Hub read by ranges. */
import { readdir, stat } from "node:fs/promises";
import { join, resolve, basename } from "node:path";
import { FormatError } from "../../errors.ts";
import { openFile } from "../../weights/files.node.ts";
import { isSafePath } from "../../weights/hub/ref.ts";
import { loadNodeDecoder } from "./decoder.node.ts";
import type { DataFiles } from "./files.ts";
import { LeRobotSet, type LeRobotOptions } from "./set.ts";

/** A folder's files. Links are followed, as the Hub's cache has them. @throws FormatError when it is no folder */
export async function dataFolder(folder: string): Promise<DataFiles> {
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory())
    throw new FormatError(`${folder} is not a folder. Give the folder of a LeRobot data set.`);
  return {
    ...nameOf(resolve(folder)),
    bytes: (path) => openFile(join(folder, path)),
    list: async (below) => {
      const entries = await readdir(join(folder, below), { recursive: true }).catch(() => [] as string[]);
      const paths = entries.map((entry) => `${below}/${entry.replaceAll("\\", "/")}`).filter(isSafePath);
      const kinds = await Promise.all(paths.map((path) => stat(join(folder, path)).catch(() => undefined)));
      return paths.filter((_, i) => kinds[i]?.isFile()).sort();
    },
  };
}

/** A folder's own name; in the Hub's cache, where that is a hash, the repository's with its commit. */
function nameOf(folder: string): Pick<DataFiles, "name" | "revision"> {
  const cached = /datasets--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})$/.exec(folder);
  return cached
    ? { name: `${cached[1]}/${cached[2]}`, revision: cached[3] }
    : { name: basename(folder), revision: "unversioned" };
}

/** A set with the decoder of this platform. @throws as `LeRobotSet.open` */
export function openLeRobot(files: DataFiles, options: LeRobotOptions = {}): Promise<LeRobotSet> {
  return LeRobotSet.open(files, { loadDecoder: loadNodeDecoder, ...options });
}
