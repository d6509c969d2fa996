/** A model loaded, asked and released again and again: the same bytes, and no memory that stays. */
import { expect, it } from "vitest";
import { openGpu } from "../../../src/gpu/open.node.ts";
import { mimicVideo } from "../../../src/systems/mimic-video/system.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";

it("four loads", { timeout: 300_000 }, async () => {
  const gpu = await openGpu({ adapter: process.env.MIMIC_VIDEO_ADAPTER });
  const files = await openModelFolder("weights/toy");
  const data = await openModelFolder("weights/toy/episodes");
  const seen: { values: Float32Array; inUse: number; held: number; created: number }[] = [];
  for (let load = 0; load < 4; load++) {
    const opened = await mimicVideo.open(gpu, files, {});
    const subject = await opened.subject(data);
    await opened.load({});
    const item = await subject.items.read(0);
    const encoded = (await subject.encode(item, 1)) as { dispose(): void };
    const noises = [[subject.readNoise(item, 0)]];
    let values = new Float32Array(0);
    for await (const state of subject.denoise(encoded, [subject.noise(item, 0)], { steps: 2 })) {
      if (state.step < 2) continue;
      const tap = await state.tap("hidden");
      const [reading] = await subject.read([{ tap, time: state.time }], encoded, noises, 2, {});
      values = Float32Array.from(reading.values);
    }
    encoded.dispose();
    await subject.close();
    await opened.release();
    const { inUse, held } = gpu.memory.usage;
    seen.push({ values, inUse, held, created: gpu.memory.created });
  }
  expect(seen[0].values.length).toBe(24 * 3);
  expect(seen[0].inUse).toBe(0);
  for (const again of seen) expect(again).toEqual(seen[0]);
  gpu.destroy();
});
