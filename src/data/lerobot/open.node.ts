/** `--data` in Node: a folder of this machine, or a data set of the Hub. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { HubError } from "../../errors.ts";
import { DATASETS } from "../../weights/hub/api.ts";
import { RepoCache } from "../../weights/hub/cache.node.ts";
import { hubSettings, type HubSettings } from "../../weights/hub/environment.node.ts";
import { isUnreachable } from "../../weights/hub/http.ts";
import { looksLocal } from "../../weights/hub/local-path.node.ts";
import { formatHubRef, type HubRef } from "../../weights/hub/ref.ts";
import type { DataFiles } from "./files.ts";
import { dataFolder } from "./files.node.ts";
import { hubDataFiles, neitherPathNorName, notOnHub, parseDataRef } from "./hub.ts";
import { INFO } from "./info.ts";

/** Whether a local folder holds a LeRobot set. */
export const isLeRobotFolder = (folder: string): Promise<boolean> =>
  stat(join(folder, INFO)).then(
    (found) => found.isFile(),
    () => false,
  );

/**
 * The files that `text` names: a local folder, else `owner/name[@revision][:folder]` on the Hub, read by ranges. What the Python client has
 * downloaded serves where HF_HUB_OFFLINE is set or the Hub is out of reach. Environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE.
 * @throws FormatError when it is neither; HubError when the Hub cannot give it
 */
export async function resolveData(text: string): Promise<DataFiles> {
  if (await stat(text).catch(() => undefined)) return dataFolder(text);
  const ref = (await looksLocal(text)) ? undefined : parseDataRef(text);
  if (!ref) throw neitherPathNorName(text);
  const settings = await hubSettings();
  if (settings.offline) return cached(settings, ref);
  try {
    return await hubDataFiles(settings.client, ref);
  } catch (error) {
    const kept = isUnreachable(error) ? await cached(settings, ref).catch(() => undefined) : undefined;
    if (kept) return kept;
    throw notOnHub(text, error);
  }
}

/** A snapshot that the Python client has made. */
async function cached({ cache }: HubSettings, ref: HubRef): Promise<DataFiles> {
  const repo = new RepoCache(cache, `${DATASETS}${ref.repo}`);
  const commit = await repo.commitOf(ref.revision);
  const folder = commit && join(repo.snapshot(commit), ref.path);
  if (folder && (await isLeRobotFolder(folder))) return dataFolder(folder);
  throw new HubError(
    `${formatHubRef(ref)}: HF_HUB_OFFLINE is set, and the cache ${cache} lacks it. ` +
      "Unset it to read from the Hub, or copy the cache of a machine that has it.",
  );
}
