/** Adapters that are not merged: a view that merges them, in loops and on the GPU. */
import { describe, expect, test } from "vitest";
import { WeightsError } from "../../../src/errors.ts";
import { bfloat16 } from "../../../src/weights/rounded.ts";
import { productOnGpu } from "../../../src/systems/mimic-video-release/lora-product.ts";
import { hasAdapters, mergeAdapters, productInLoops } from "../../../src/systems/mimic-video-release/lora.ts";
import { toFloat32 } from "../../../src/weights/convert.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import type { TensorInfo, TensorSource } from "../../../src/weights/source.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError, uniform } from "../../support/numbers.ts";
import { folderOf } from "./miniatures.ts";

type Stored = Readonly<Record<string, { shape: readonly number[]; values: Float32Array }>>;

function sourceOf(stored: Stored): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { shape, values }] of Object.entries(stored)) {
    tensors.set(name, { name, dtype: "F32", shape, bytes: values.byteLength });
  }
  const read = (name: string) => {
    const { buffer, byteOffset, byteLength } = stored[name].values;
    return Promise.resolve(new Uint8Array(buffer, byteOffset, byteLength));
  };
  return {
    name: "adapted",
    tensors,
    read,
    async *stream(name, chunkBytes = 1000) {
      const all = await read(name);
      for (let at = 0; at < all.length; at += chunkBytes) yield all.slice(at, at + chunkBytes);
    },
    close: () => Promise.resolve(),
  };
}

function adapted(out: number, inner: number, rank: number): Stored {
  return {
    "net.x.base_layer.weight": { shape: [out, inner], values: uniform(1, out * inner) },
    "net.x.lora_A.default.weight": { shape: [rank, inner], values: uniform(2, rank * inner) },
    "net.x.lora_B.default.weight": { shape: [out, rank], values: uniform(3, out * rank) },
    "net.norm.weight": { shape: [inner], values: uniform(4, inner) },
  };
}

/** W₀ + (32 / r)·B·A in float64. */
function truth(stored: Stored): Float64Array {
  const w0 = stored["net.x.base_layer.weight"];
  const [a, b] = ["A", "B"].map((letter) => stored[`net.x.lora_${letter}.default.weight`]);
  const [out, inner] = w0.shape;
  const [rank] = a.shape;
  return Float64Array.from({ length: out * inner }, (_, at) => {
    const [o, i] = [Math.floor(at / inner), at % inner];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += b.values[o * rank + r] * a.values[r * inner + i];
    return w0.values[at] + (32 / rank) * sum;
  });
}

describe.each([
  ["loops", () => Promise.resolve(productInLoops)],
  ["the GPU", async () => productOnGpu(await testGpu())],
])("in %s", (_, product) => {
  test.each([
    [7, 12, 256],
    [33, 20, 5],
    [130, 70, 64],
    [9, 300, 256],
  ])("%i×%i of rank %i", async (out, inner, rank) => {
    const stored = adapted(out, inner, rank);
    const merged = mergeAdapters(sourceOf(stored), await product());
    expect([...merged.tensors.keys()]).toEqual(["net.x.weight", "net.norm.weight"]);
    const info = merged.tensors.get("net.x.weight")!;
    expect(info).toMatchObject({ dtype: "BF16", shape: [out, inner], bytes: 2 * out * inner });
    const values = toFloat32(await merged.read("net.x.weight"), "BF16");
    const exact = truth(stored);
    // float32 sums may round to the neighbouring bfloat16 now and then, never further
    expect(relativeError(values, exact.map(bfloat16))).toBeLessThan(3e-4);
    expect(relativeError(values, exact)).toBeLessThan(2.5e-3);
    const others = toFloat32(await merged.read("net.norm.weight"), "F32");
    expect(others).toEqual(stored["net.norm.weight"].values);
    const pieces: number[] = [];
    for await (const piece of merged.stream("net.x.weight")) pieces.push(...toFloat32(piece, "BF16"));
    expect(pieces).toEqual([...values]);
  });
});

test("what is missing or does not fit is named", () => {
  const stored = adapted(4, 6, 2);
  const without = (key: string): Stored =>
    Object.fromEntries(Object.entries(stored).filter(([name]) => name !== key));
  expect(() => mergeAdapters(sourceOf(without("net.x.lora_B.default.weight")))).toThrow(WeightsError);
  expect(() => mergeAdapters(sourceOf(without("net.x.lora_B.default.weight")))).toThrow(/not net\.x\.lora_B/);
  expect(() => mergeAdapters(sourceOf(without("net.x.base_layer.weight")))).toThrow(/not net\.x\.base_layer/);
  const wrong = { ...stored, "net.x.lora_A.default.weight": { shape: [2, 5], values: uniform(2, 10) } };
  expect(() => mergeAdapters(sourceOf(wrong))).toThrow(/\(4, 6\) with adapters A \(2, 5\)/);
});

test("a merged file is left alone, and the miniature has every key of one", async () => {
  const fused = await (
    await openModelFolder(folderOf("bridge"))
  ).weights("video_backbone/v2w_pretrained_cosmos.pt");
  expect(hasAdapters(fused)).toBe(false);
  expect(mergeAdapters(fused)).toBe(fused);
  const files = await openModelFolder(folderOf("lora"));
  const apart = await files.weights(files.paths.find((path) => /video_backbone\/v2w_.*\.pt$/.test(path))!);
  const keys = new Set(mergeAdapters(apart).tensors.keys());
  // the fused file of another miniature, of as many blocks or more
  const plain = [...fused.tensors.keys()].filter((key) => !/_extra_state|accum_|pos_embedder/.test(key));
  for (const key of plain.filter((key) => !/blocks\.[2-9]/.test(key))) expect(keys, key).toContain(key);
  expect([...keys].filter((key) => /lora|base_layer/.test(key))).toEqual([]);
  await Promise.all([fused.close(), apart.close()]);
});
