/** Random releases have every tensor of the published one. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import {
  backboneShapes,
  decoderShapes,
  PUBLISHED,
  type ReleaseSizes,
  vaeShapes,
} from "../../../bench/release/layout.ts";
import { writeRandomRelease } from "../../../bench/release/write.ts";
import { clipFile, clipOf } from "../../../src/systems/mimic-video-release/clip.ts";
import { Episodes } from "../../../src/systems/mimic-video-release/episodes.ts";
import { choosePolicy } from "../../../src/systems/mimic-video-release/policies.ts";
import { readStatistics } from "../../../src/systems/mimic-video-release/statistics.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { elementCount } from "../../../src/weights/source.ts";
import { COMPRESSION, folderOf } from "./miniatures.ts";

const count = (shapes: Readonly<Record<string, readonly number[]>>): number =>
  Object.values(shapes).reduce((sum, shape) => sum + elementCount(shape), 0);

test("parameters of the published networks", () => {
  const buffers = 128 + 21 + 22;
  expect(count(backboneShapes(PUBLISHED)) - buffers).toBe(1_956_413_440);
  expect(count(decoderShapes(PUBLISHED))).toBe(498_990_730);
  expect(count(vaeShapes(PUBLISHED))).toBe(126_892_531);
  // The backbone's file has four counters more, and a state of each block.
  expect([backboneShapes, decoderShapes, vaeShapes].map((of) => Object.keys(of(PUBLISHED)).length)).toEqual([
    574 - 4,
    509,
    194,
  ]);
});

/** The miniature `bridge` has these. */
const BRIDGE: ReleaseSizes = {
  ...PUBLISHED,
  backbone: { width: 64, headDim: 32, blocks: 4, textWidth: 24, feedForward: 256, rank: 16 },
  decoder: {
    ...{
      width: 64,
      headDim: 32,
      blocks: 3,
      feedForward: 256,
      rank: 16,
      pairRank: 64,
      hidden: [64, 64],
      chunk: 5,
    },
  },
  vae: { width: 8, multipliers: [1, 2, 4, 4], halvesTime: [false, true, true] },
  layer: 3,
};

test("a small one is read like a miniature", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "release-"));
  const name = await writeRandomRelease(folder, BRIDGE, 3);
  const files = await openModelFolder(folder);
  const policy = choosePolicy("random", files.paths, name);
  const mini = await openModelFolder(folderOf("bridge"));
  const theirs = choosePolicy("bridge", mini.paths, "bridge");
  for (const file of ["backbone", "decoder"] as const) {
    const [ours, reference] = await Promise.all([files.weights(policy[file]), mini.weights(theirs[file])]);
    const shown = (source: typeof ours) =>
      [...source.tensors.values()]
        .map(({ name, dtype, shape }) => `${name} ${dtype} ${shape.join("×")}`)
        .sort();
    const embedder = /_embedder\.layers/;
    const rest = (list: string[]) => list.filter((line) => !embedder.test(line));
    expect(rest(shown(ours))).toEqual(rest(shown(reference)));
    for (const { name, dtype } of ours.tensors.values()) {
      if (dtype !== "BF16") continue;
      expect(toFloat32(await ours.read(name), dtype).every(Number.isFinite), name).toBe(true);
    }
    await Promise.all([ours.close(), reference.close()]);
  }
  const clip = clipOf(await clipFile(files), "model/clip.json", COMPRESSION);
  expect(clip.latents).toEqual([3, 8, 8]);
  const statistics = readStatistics(await files.json(policy.statistics), "s", { state: 1, action: 5 });
  expect(statistics.family).toBe("bridge");
  const episodes = await Episodes.open(await openModelFolder(path.join(folder, "episodes")), clip, 5, true);
  expect(episodes.count).toBe(2);
  await episodes.close();

  const again = await mkdtemp(path.join(tmpdir(), "release-"));
  await writeRandomRelease(again, BRIDGE, 3);
  const [one, two] = await Promise.all([folder, again].map((f) => readFile(path.join(f, policy.decoder))));
  expect(one.equals(two)).toBe(true);
});
