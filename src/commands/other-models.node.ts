/** Folders and repositories that a checkpoint names: where the person says, beside the checkpoint, or on the Hub. */
import { stat } from "node:fs/promises";
import path from "node:path";
import type { SystemOptions } from "../systems/system.ts";
import type { FetchOptions } from "../weights/hub/fetch-model.node.ts";
import { resolveModel } from "../weights/hub/resolve-model.node.ts";
import { openModelFolder } from "../weights/model-files.node.ts";

/**
 * @param model folder or name of the checkpoint: owner/name lies beside owner/name
 * @param frozen what the person says
 */
export function otherModels(
  model: string,
  frozen: string | undefined,
  onProgress?: FetchOptions["onProgress"],
): SystemOptions["openModel"] {
  return async (name, choose) => {
    const beside = path.join(path.resolve(model), "..", "..", name);
    const isBeside = (await stat(beside).catch(() => undefined))?.isDirectory();
    const folder = await resolveModel(frozen ?? (isBeside ? beside : name), { choose, onProgress });
    return openModelFolder(folder, /snapshots[\\/]([0-9a-f]{40})/.exec(folder)?.[1]);
  };
}
