/** The published policy's true shapes, by name and number, and what its crop does at odd margins. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { countingGpu } from "../../src/gpu/counting.ts";
import { readDiffusionPolicyConfig } from "../../src/networks/diffusion-policy/config.ts";
import { cropOffset } from "../../src/networks/diffusion-policy/encoder.ts";
import { DiffusionPolicyNetworks } from "../../src/networks/diffusion-policy/policy.ts";
import { ResNet } from "../../src/networks/diffusion-policy/resnet.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import type { TensorInfo, TensorSource } from "../../src/weights/source.ts";

const json = JSON.parse(readFileSync("test/pusht-mini/published/config.json", "utf8")) as Record<
  string,
  unknown
>;

/** Headers that tell the widths of a ResNet-18. */
function resnet18(prefix: string): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const put = (key: string, ...shape: number[]) =>
    tensors.set(prefix + key, { name: prefix + key, dtype: "F32", shape, bytes: 4 * sizeOf(shape) });
  put("0.weight", 64, 3, 7, 7);
  [64, 128, 256, 512].forEach((width, i) => {
    for (const block of [0, 1]) put(`${4 + i}.${block}.conv1.weight`, width, 3, 3, 3);
  });
  return tensors;
}

test("lerobot/diffusion_pusht: 262,709,026 numbers of policy, the largest tensor within every adapter's binding", async () => {
  const gpu = await countingGpu({ features: new Set(), limits: {}, software: false });
  const config = readDiffusionPolicyConfig({
    ...json,
    down_dims: [512, 1024, 2048],
    diffusion_step_embed_dim: 128,
  });
  const tensors = resnet18("diffusion.rgb_encoder.backbone.");
  const source = { name: "published", tensors } as unknown as TensorSource;
  const loader = WeightLoader.from(gpu, source);
  new DiffusionPolicyNetworks(config, loader, tensors, "published");
  const count = (pattern: RegExp): number =>
    loader.asked.filter(({ key }) => pattern.test(key)).reduce((n, { shape }) => n + sizeOf(shape), 0);
  expect(count(/^diffusion\.unet\./)).toBe(251_511_938);
  // Beside its parameters the encoder keeps the places of 9 pixels.
  expect(count(/^diffusion\.rgb_encoder\./)).toBe(11_197_088 + 18);
  // Eight more are statistics.
  expect(loader.asked).toHaveLength(221 - 8);
  expect(loader.largest.bytes).toBeLessThan(2 ** 27);
});

test("a crop's margin is rounded to even, as Python rounds halves", () => {
  const margins = [
    [96, 84],
    [61, 52],
    [77, 75],
    [77, 74],
    [12, 12],
    [11, 8],
  ] as const;
  expect(margins.map(([length, crop]) => cropOffset(length, crop))).toEqual([6, 4, 1, 2, 0, 2]);
});

test("feature maps of pictures", () => {
  expect(ResNet.mapSize([84, 84])).toEqual([3, 3]);
  expect(ResNet.mapSize([52, 75])).toEqual([2, 3]);
});
