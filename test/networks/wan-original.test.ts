/** The Wan autoencoder in its original layout: keys, dimensions, statistics, weights rounded once. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { bf16LatentStatistics, readWanOriginalConfig } from "../../src/networks/wan-vae/config.ts";
import {
  hasWanOriginalKeys,
  wanConfigFromShapes,
  wanWeights,
} from "../../src/networks/wan-vae/original-keys.ts";
import { readWanVaeConfig, WanVae } from "../../src/networks/wan-vae/vae.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { testGpu } from "../support/gpu.ts";
import { parameters, sourceOf } from "./shapes-only.ts";

/** All tensors of the original layout. */
function original(dim: number, mult: number[], blocks: number, z: number, halvesTime: boolean[]) {
  const shapes: Record<string, number[]> = {};
  const conv = (at: string, out: number, inner: number, ...taps: number[]) => {
    shapes[`${at}.weight`] = [out, inner, ...taps];
    shapes[`${at}.bias`] = [out];
  };
  const residual = (at: string, inner: number, out: number) => {
    shapes[`${at}.residual.0.gamma`] = [inner, 1, 1, 1];
    conv(`${at}.residual.2`, out, inner, 3, 3, 3);
    shapes[`${at}.residual.3.gamma`] = [out, 1, 1, 1];
    conv(`${at}.residual.6`, out, out, 3, 3, 3);
    if (inner !== out) conv(`${at}.shortcut`, out, inner, 1, 1, 1);
  };
  const middle = (at: string, width: number) => {
    residual(`${at}.middle.0`, width, width);
    shapes[`${at}.middle.1.norm.gamma`] = [width, 1, 1];
    conv(`${at}.middle.1.to_qkv`, 3 * width, width, 1, 1);
    conv(`${at}.middle.1.proj`, width, width, 1, 1);
    residual(`${at}.middle.2`, width, width);
  };
  const widths = mult.map((m) => dim * m);
  const deepest = widths[widths.length - 1];
  conv("conv1", 2 * z, 2 * z, 1, 1, 1);
  conv("conv2", z, z, 1, 1, 1);
  conv("encoder.conv1", dim, 3, 3, 3, 3);
  let [n, inner] = [0, dim];
  widths.forEach((out, level) => {
    for (let i = 0; i < blocks; i++, inner = out) residual(`encoder.downsamples.${n++}`, inner, out);
    if (level === widths.length - 1) return;
    conv(`encoder.downsamples.${n}.resample.1`, out, out, 3, 3);
    if (halvesTime[level]) conv(`encoder.downsamples.${n}.time_conv`, out, out, 3, 1, 1);
    n++;
  });
  middle("encoder", deepest);
  shapes["encoder.head.0.gamma"] = [deepest, 1, 1, 1];
  conv("encoder.head.2", 2 * z, deepest, 3, 3, 3);
  conv("decoder.conv1", deepest, z, 3, 3, 3);
  middle("decoder", deepest);
  [n, inner] = [0, deepest];
  [...widths].reverse().forEach((out, level) => {
    for (let i = 0; i <= blocks; i++, inner = out) residual(`decoder.upsamples.${n++}`, inner, out);
    if (level === widths.length - 1) return;
    conv(`decoder.upsamples.${n}.resample.1`, out / 2, out, 3, 3);
    if ([...halvesTime].reverse()[level]) conv(`decoder.upsamples.${n}.time_conv`, 2 * out, out, 3, 1, 1);
    inner = out / 2;
    n++;
  });
  shapes["decoder.head.0.gamma"] = [widths[0], 1, 1, 1];
  conv("decoder.head.2", 3, widths[0], 3, 3, 3);
  return shapes;
}

const PUBLISHED = original(96, [1, 2, 4, 4], 2, 16, [false, true, true]);

describe("the original layout of the Wan autoencoder", () => {
  it("of the published size gives every parameter to the model", async () => {
    expect(Object.keys(PUBLISHED).length).toBe(194);
    const source = wanWeights(sourceOf(PUBLISHED));
    const config = wanConfigFromShapes(source.tensors);
    expect(config).toEqual(readWanVaeConfig({}));
    const loader = WeightLoader.from(await testGpu(), source);
    new WanVae(config, loader);
    loader.compare();
    expect(parameters(loader.asked)).toBe(126_892_531);
  });

  it("loads either half alone", async () => {
    const gpu = await testGpu();
    const source = wanWeights(sourceOf(PUBLISHED));
    for (const parts of ["encoder", "decoder"] as const) {
      const loader = WeightLoader.from(gpu, source);
      new WanVae(wanConfigFromShapes(source.tensors), loader, parts);
      loader.compare();
      expect(loader.asked.every(({ key }) => key.startsWith(parts) || key.includes("quant_conv"))).toBe(true);
    }
    // A file that holds the encoder alone tells enough for it.
    const half = Object.fromEntries(
      Object.entries(PUBLISHED).filter(([key]) => !key.startsWith("decoder") && !key.startsWith("conv2")),
    );
    const encoder = wanWeights(sourceOf(half));
    const loader = WeightLoader.from(gpu, encoder);
    new WanVae(wanConfigFromShapes(encoder.tensors), loader, "encoder");
    loader.compare();
  });

  it.each([
    [6, [1, 2, 2, 2], 1, 16, [false, true, true]],
    [8, [1, 2, 4], 3, 4, [true, false]],
    [4, [2, 1, 3, 2, 2], 2, 8, [false, true, false, true]],
    [10, [1], 2, 16, []],
  ])("reads dim %i × %j, %i blocks, z %i, %j from shapes", async (dim, mult, blocks, z, times) => {
    const source = wanWeights(sourceOf(original(dim, mult, blocks, z, times)));
    const config = wanConfigFromShapes(source.tensors);
    const json = { dim, z_dim: z, dim_mult: mult, num_res_blocks: blocks, temperal_downsample: times };
    // Shapes tell nothing of the statistics.
    const { latentsMean, latentsStd } = config;
    expect(config).toEqual({ ...readWanOriginalConfig(json), latentsMean, latentsStd });
    expect(latentsMean.length).toBe(z === 16 ? 16 : 0);
    const loader = WeightLoader.from(await testGpu(), source);
    new WanVae(config, loader);
    loader.compare();
  });

  it("is told from diffusers' names, reports strange keys, and refuses uneven levels", async () => {
    const source = wanWeights(sourceOf({ ...PUBLISHED, "encoder.downsamples.0.bias": [3] }));
    const loader = WeightLoader.from(await testGpu(), source);
    new WanVae(wanConfigFromShapes(source.tensors), loader);
    expect(() => loader.compare()).toThrow(/unexpected: encoder\.down_blocks\.0\.bias/);
    expect(hasWanOriginalKeys(source.tensors.keys())).toBe(false);
    const uneven = { ...PUBLISHED, "encoder.downsamples.1.residual.2.weight": [97, 96, 3, 3, 3] };
    expect(() => wanConfigFromShapes(wanWeights(sourceOf(uneven)).tensors)).toThrow(/level 0 of the encoder/);
  });

  it("agrees with the configuration of the golden case", async () => {
    const folder = fileURLToPath(new URL("../golden-wan/vae-wan-original/", import.meta.url));
    const stored = await openWeights(`${folder}weights.safetensors`);
    const config = wanConfigFromShapes(wanWeights(stored).tensors);
    await stored.close();
    const json = { dim: 6, z_dim: 16, dim_mult: [1, 2, 2, 2], num_res_blocks: 1 };
    expect(config).toEqual(readWanOriginalConfig({ ...json, temperal_downsample: [false, true, true] }));
    expect(() => readWanOriginalConfig({ ...json, attn_scales: [0.5] })).toThrow(/attn_scales/);
  });
});

describe("latent statistics in bfloat16", () => {
  it("are the ones the release computes with", () => {
    const { mean, inverseStd } = bf16LatentStatistics(readWanVaeConfig({}));
    expect(mean).toEqual([
      ...[
        -0.7578125, -0.70703125, -0.91015625, 0.107421875, -0.1748046875, 0.96484375, -0.1513671875,
        1.5546875,
      ],
      ...[0.4140625, -0.0712890625, 0.55078125, -0.36328125, -0.1923828125, -0.94921875, 0.25, -0.29296875],
    ]);
    expect(inverseStd).toEqual([
      ...[0.35546875, 0.6875, 0.4296875, 0.376953125, 0.8203125, 0.5625, 0.3828125, 0.48046875],
      ...[0.306640625, 0.462890625, 0.349609375, 0.64453125, 0.609375, 0.890625, 0.353515625, 0.5234375],
    ]);
  });
});
