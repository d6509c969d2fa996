import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { record } from "../../src/gpu/recording.ts";
import { readWanVaeConfig, WanVae } from "../../src/networks/wan-vae/vae.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const folder = fileURLToPath(new URL("../golden/vae-wan-small/", import.meta.url));
const CONFIG = { base_dim: 8, z_dim: 4, dim_mult: [1, 2, 2, 2], num_res_blocks: 1 };

/** Means of a clip and the clip decoded from them. */
async function both(pixelsAtOnce: number | undefined, frames: number): Promise<Float32Array[]> {
  const gpu = await testGpu();
  const source = await openWeights(`${folder}weights.safetensors`);
  const loader = WeightLoader.from(gpu, source);
  const vae = new WanVae(readWanVaeConfig(CONFIG), loader, "both", pixelsAtOnce);
  await loader.load();
  await source.close();
  const video = upload(gpu, [1, 3, frames, 16, 8], uniform(1, 3 * frames * 16 * 8));
  const replay = await record(gpu, "test", () => {
    const { mean } = vae.encode(video);
    return [mean, vae.decode(mean)];
  });
  await replay.run();
  const values = [await readTensor(gpu, replay.outputs[0]), await readTensor(gpu, replay.outputs[1])];
  replay.dispose();
  loader.release();
  release(gpu, video);
  return values;
}

describe("WanVae", () => {
  it("gives the same frame by frame as chunk by chunk", async () => {
    const [whole, single] = [await both(undefined, 9), await both(1, 9)];
    expect(relativeError(single[0], whole[0])).toBeLessThan(1e-6);
    expect(relativeError(single[1], whole[1])).toBeLessThan(1e-6);
  });

  it("leaves out the frames after the last group of four", async () => {
    const [mean, decoded] = await both(undefined, 8);
    expect([mean.length, decoded.length]).toEqual([4 * 2 * 2, 3 * 5 * 16 * 8]);
  });

  it("names the option it does not support", () => {
    expect(() => readWanVaeConfig({ ...CONFIG, is_residual: true, attn_scales: [1] })).toThrow(/attn_scales/);
    expect(() => readWanVaeConfig({ ...CONFIG, tiling: 2 })).toThrow(/"tiling"/);
    expect(() => readWanVaeConfig({ ...CONFIG, temperal_downsample: [true] })).toThrow(/1 values for 3/);
    expect(() => readWanVaeConfig({ ...CONFIG, latents_mean: [1, 2, 3] })).toThrow(/expected 4 numbers/);
  });
});
