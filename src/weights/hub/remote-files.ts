/** A model on the Hub before any of it is downloaded: its files by ranges, its configurations whole. */
import { HubError } from "../../errors.ts";
import { modelFilesOf } from "../model-files.browser.ts";
import type { ModelFiles } from "../model-files.ts";
import type { HubFile } from "./api.ts";
import type { HubClient } from "./client.ts";
import { rangeSource } from "./range-source.ts";
import { formatHubRef, type HubRef } from "./ref.ts";

/** Which files of a model a run needs, by their paths. */
export type Choose = (files: ModelFiles) => Promise<readonly string[]>;

/**
 * @param tree every file of the repository at `commit`
 * @param json a configuration, downloaded: small, needed anyway, and so a server without ranges serves too
 * @returns the files below the model's own path, and what a choice among them stands for
 */
export function remoteFiles(
  client: HubClient,
  ref: HubRef,
  commit: string,
  tree: readonly HubFile[],
  json: (file: HubFile) => Promise<unknown>,
): { readonly files: ModelFiles; readonly chosen: (choose: Choose) => Promise<HubFile[]> } {
  const root = ref.path === "" ? "" : `${ref.path}/`;
  const inside = new Map(
    tree.filter(({ path }) => path.startsWith(root)).map((file) => [file.path.slice(root.length), file]),
  );
  const sources = new Map(
    [...inside].map(([path, file]) => [path, rangeSource(client, ref.repo, commit, file)]),
  );
  const files: ModelFiles = {
    ...modelFilesOf(formatHubRef(ref), sources, commit),
    json: async (path) => {
      const file = inside.get(path);
      if (!file) throw new HubError(`${formatHubRef(ref)} has no ${path} at this revision.`);
      return json(file);
    },
  };
  const chosen = async (choose: Choose): Promise<HubFile[]> => {
    const paths = new Set(await choose(files));
    return [...inside].filter(([path]) => paths.has(path)).map(([, file]) => file);
  };
  return { files, chosen };
}
