/** Memory plans of the published sizes, walked without weights; and that a run takes what its plan says. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { backboneShapes, decoderShapes, PUBLISHED, vaeShapes } from "../../../bench/release/layout.ts";
import { AdapterError } from "../../../src/errors.ts";
import { countingGpu } from "../../../src/gpu/counting.ts";
import { cosmosWeights } from "../../../src/networks/cosmos/original-keys.ts";
import { wanWeights } from "../../../src/networks/wan-vae/original-keys.ts";
import { world2ActionWeights } from "../../../src/networks/world2action/config.ts";
import { folderCache } from "../../../src/systems/cache.node.ts";
import { clipOf } from "../../../src/systems/mimic-video-release/clip.ts";
import { ReleaseModel } from "../../../src/systems/mimic-video-release/model.ts";
import { planMemory, walkMemory } from "../../../src/systems/mimic-video-release/plan.ts";
import { choosePolicy } from "../../../src/systems/mimic-video-release/policies.ts";
import { Normaliser } from "../../../src/systems/mimic-video-release/statistics.ts";
import { mimicVideoRelease } from "../../../src/systems/mimic-video-release/system.ts";
import type { Held } from "../../../src/probe/subject.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openGpu } from "../../../src/gpu/open.node.ts";
import { sourceOf } from "../../networks/shapes-only.ts";
import { COMPRESSION, folderOf } from "./miniatures.ts";

/** The published networks on a card like those that run them, of which nothing can be read. */
async function published(futureFrames: number): Promise<ReleaseModel> {
  const gpu = await countingGpu({
    features: new Set(["subgroups", "timestamp-query"]),
    limits: { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 - 4 },
    software: false,
  });
  const backbone = Object.fromEntries(
    Object.entries(backboneShapes(PUBLISHED)).filter(([key]) => !key.includes("pos_embedder")),
  );
  const checkpoints = {
    tokenizer: wanWeights(sourceOf(vaeShapes(PUBLISHED))),
    backbone: cosmosWeights(sourceOf(backbone)),
    decoder: world2ActionWeights(sourceOf(decoderShapes(PUBLISHED))),
  };
  const paths = { decoder: "w2a.pt", backboneName: "b", backbone: "v2w.pt", statistics: "s.json" };
  return ReleaseModel.of(
    gpu,
    checkpoints,
    { dtype: "bf16" },
    {
      policy: { name: "bridge", layer: 20, ...paths },
      clip: () => clipOf({ future_frames: futureFrames }, "clip.json", COMPRESSION),
      statistics: () => ({ family: "bridge", state: new Normaliser(1), action: new Normaliser(15) }),
    },
  );
}

const GB = 2 ** 30;

describe("the published sizes", () => {
  test.each([
    [56, 12],
    [16, 8],
  ])("5 + %i frames on a card of %i GB", { timeout: 60_000 }, async (future, gigabytes) => {
    const model = await published(future);
    const plan = await planMemory(model, gigabytes * GB, false);
    expect(plan.peak).toBeLessThanOrEqual(gigabytes * GB);
    expect(plan.contextStorage).toBe("float32");
    const unknown = await planMemory(model, undefined, false);
    expect(unknown.contextStorage).toBe("float32");
    expect(unknown.lines.join()).toContain("--gpu-memory");
  });

  test.each([
    [10, "half"],
    [8, "recompute"],
  ] as const)(
    "61 frames on a card of %i GB: keys and values %s",
    { timeout: 60_000 },
    async (gigabytes, storage) => {
      const plan = await planMemory(await published(56), gigabytes * GB, false);
      expect(plan.contextStorage).toBe(storage);
      expect(plan.peak).toBeLessThanOrEqual(gigabytes * GB);
    },
  );

  test("too little is said with the numbers", { timeout: 60_000 }, async () => {
    const model = await published(56);
    await expect(planMemory(model, 6 * GB, false)).rejects.toThrow(AdapterError);
    await expect(planMemory(model, 6 * GB, false)).rejects.toThrow(
      /61 frames of 480×640, 19200 tokens.*fewer or smaller frames/s,
    );
  });
});

test("a run takes what its plan says", { timeout: 120_000 }, async () => {
  const gpu = await openGpu();
  const files = await openModelFolder(folderOf("bridge"));
  const cache = folderCache(await mkdtemp(path.join(tmpdir(), "plan-")));
  const opened = await mimicVideoRelease.open(gpu, files, { policy: "bridge", cache });
  const subject = await opened.subject(await openModelFolder(`${folderOf("bridge")}/episodes`));
  await opened.load({});
  const item = await subject.items.read(0);
  const V = 2;
  const encoded = (await subject.encode(item, V)) as Held;
  const noise = [0, 1].map((seed) => subject.noise(item, seed));
  const readNoise = [[0, 1].map((seed) => subject.readNoise(item, seed))];
  for await (const state of subject.denoise(encoded, noise, { last: 1 })) {
    const tap = await state.tap("hidden");
    await subject.read([{ tap, time: state.time }], encoded, readNoise, undefined, {});
  }
  encoded.dispose();
  const { peak } = gpu.memory.usage;
  await subject.close();
  await opened.release();
  gpu.destroy();
  const again = await openGpu();
  const model = await ReleaseModel.open(again, files, choosePolicy("", files.paths, "bridge"), {
    dtype: "bf16",
  });
  const { reading } = await walkMemory(model, V, "float32", false);
  await model.close();
  again.destroy();
  // The plan has four taps more, which a whole run keeps.
  expect(peak).toBeLessThanOrEqual(reading);
  expect(peak).toBeGreaterThan(0.9 * reading);
  expect(reading).toBeLessThan(opened.plan.peak);
});
