/** A data set on the Hub, read by ranges: no file is downloaded, and only the list of the episodes' tables is asked for. */
import { FormatError, HubError } from "../../errors.ts";
import { DATASETS, listTree, resolveRevision } from "../../weights/hub/api.ts";
import type { HubClient } from "../../weights/hub/client.ts";
import { rangeSource, unlistedSource } from "../../weights/hub/range-source.ts";
import { type HubRef, parseHubRef } from "../../weights/hub/ref.ts";
import type { DataFiles } from "./files.ts";

/** `owner/name[@revision][:folder]`, with or without `datasets/` before it; undefined for what can be no name. */
export const parseDataRef = (text: string): HubRef | undefined =>
  parseHubRef(text.startsWith(DATASETS) ? text.slice(DATASETS.length) : text);

/**
 * @param ref its revision may be a branch, a tag such as `v2.1`, or a commit; it is pinned to a commit once
 * @throws HubError when there is no such data set, or no access
 */
export async function hubDataFiles(client: HubClient, ref: HubRef): Promise<DataFiles> {
  const repo = `${DATASETS}${ref.repo}`;
  const commit = await resolveRevision(client, repo, ref.revision);
  const root = ref.path === "" ? "" : `${ref.path}/`;
  const sizes = new Map<string, number>();
  return {
    name: ref.path === "" ? ref.repo : `${ref.repo}:${ref.path}`,
    revision: commit,
    bytes: async (path) => {
      const size = sizes.get(path);
      return size === undefined
        ? unlistedSource(client, repo, commit, root + path)
        : rangeSource(client, repo, commit, { path: root + path, size });
    },
    list: async (folder) => {
      const below = `${root}${folder}/`;
      const listed = (await listTree(client, repo, commit, root + folder)).filter(
        ({ path, problem }) => path.startsWith(below) && problem === undefined,
      );
      const paths = listed.map(({ path, size }) => [path.slice(root.length), size] as const);
      for (const [path, size] of paths) sizes.set(path, size);
      return paths.map(([path]) => path).sort();
    },
  };
}

/** Says that a name of two parts was asked for on the Hub, as a misspelt path looks like one. */
export function notOnHub(text: string, error: unknown): unknown {
  if (error instanceof HubError)
    return new HubError(`There is no local "${text}". ${error.message}`, { cause: error });
  return error;
}

/** @throws FormatError for what is neither */
export function neitherPathNorName(text: string): FormatError {
  return new FormatError(
    `${text}: no such folder, and not owner/name[@revision] of a data set on the Hub. Check the path.`,
  );
}
