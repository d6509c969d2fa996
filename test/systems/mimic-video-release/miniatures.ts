/** The miniatures of the release, opened for tests. */
import { fileURLToPath } from "node:url";
import { Episodes } from "../../../src/systems/mimic-video-release/episodes.ts";
import { type Clip, clipFile, clipOf } from "../../../src/systems/mimic-video-release/clip.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import type { ModelFiles } from "../../../src/weights/model-files.ts";
import { relativeError } from "../../support/numbers.ts";

export const MINIATURES = ["bridge", "libero", "lora"] as const;
export type Miniature = (typeof MINIATURES)[number];

/** What pixels become in every network of the release. */
export const COMPRESSION = { spatial: 8, temporal: 4, patch: 2 };

const CHUNKS: Readonly<Record<Miniature, number>> = { bridge: 5, libero: 8, lora: 6 };

export const folderOf = (name: Miniature): string =>
  fileURLToPath(new URL(`../../release-mini/${name}`, import.meta.url));

export async function openMiniature(
  name: Miniature,
): Promise<{ files: ModelFiles; clip: Clip; episodes: Episodes }> {
  const files = await openModelFolder(folderOf(name));
  const clip = clipOf(await clipFile(files), "model/clip.json", COMPRESSION);
  const data = await openModelFolder(`${folderOf(name)}/episodes`);
  return { files, clip, episodes: await Episodes.open(data, clip, CHUNKS[name]) };
}

export const relative = relativeError;
