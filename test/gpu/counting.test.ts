/** A walk on a device that only counts takes the memory that the same walk takes on a real one. */
import { describe, expect, it } from "vitest";
import { countingGpu, countingLike } from "../../src/gpu/counting.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/gpu/open.node.ts";
import { EpisodeData } from "../../src/systems/mimic-video/episodes.ts";
import { MimicVideo } from "../../src/systems/mimic-video/model.ts";
import { MimicVideoSubject } from "../../src/systems/mimic-video/subject.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";

/** Encodes an episode, takes one step, reads out its tap; the peak in bytes. */
async function walk(gpu: Gpu, weights: "load" | "reserve"): Promise<number> {
  const plan = await MimicVideo.plan(gpu, await openModelFolder("weights/toy"));
  if (weights === "load") await plan.load();
  else plan.reserve();
  const { model } = plan;
  const files = await openModelFolder("weights/toy/episodes");
  const data = await EpisodeData.open(files, "", model.description, model.episodeShape);
  const subject = await MimicVideoSubject.bind(model, data);
  const item = await subject.items.read(0);
  const encoded = await subject.encode(item, 2);
  const noise = [0, 1].map((seed) => subject.noise(item, seed));
  const readNoise = [[0, 1].map((seed) => subject.readNoise(item, seed))];
  for await (const state of subject.denoise(encoded, noise, { steps: 2, last: 1 })) {
    if (state.step === 0) continue;
    const tap = await state.tap("hidden");
    await subject.read([{ tap, time: state.time }], encoded, readNoise, 2, {});
  }
  encoded.dispose();
  await subject.close();
  model.release();
  return gpu.memory.usage.peak;
}

describe("a counting device", () => {
  it("takes the same memory as the real one", { timeout: 60_000 }, async () => {
    const gpu = await openGpu();
    try {
      const counted = await walk(await countingLike(gpu), "reserve");
      const real = await walk(gpu, "load");
      expect(counted).toBe(real);
    } finally {
      gpu.destroy();
    }
  });

  it("has the limits it is given", async () => {
    const gpu = await countingGpu({
      features: new Set(),
      limits: {},
      software: false,
      maxBindingBytes: 4096,
    });
    expect(gpu.maxBindingBytes).toBe(4096);
    expect(() => gpu.checkBinding(5000, "a row")).toThrow(/a row needs 5000 bytes/);
  });
});
