/** Products of halves, sums in float32: where an adapter has shader-f16 (Mesa's lavapipe 25 has, SwiftShader has not). */
import { describe, expect, it } from "vitest";
import { AdapterError } from "../../src/errors.ts";
import { countingGpu } from "../../src/gpu/counting.ts";
import { attention } from "../../src/kernels/attention.ts";
import { attentionReference } from "../../src/kernels/attention.reference.ts";
import { linear } from "../../src/kernels/linear.ts";
import { linearReference } from "../../src/kernels/linear.reference.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, toFloat16, uniform } from "../support/numbers.ts";

const able = (await testGpu()).device.features.has("shader-f16");
if (!able) console.log("half-precision arithmetic is not tested: the adapter has no shader-f16");

const rounded = (x: Float32Array): Float32Array => Float32Array.from(x, toFloat16);

describe.skipIf(!able).each(["quadsF16", "tileF16", "shared64F16", "shared128F16"])("linear, %s", (name) => {
  it.each([
    [1, 1, 1],
    [5, 7, 9],
    [67, 130, 70],
    [130, 64, 129],
    [9, 1365, 33],
  ])("multiplies halves: %i × %i → %i", async (rows, inner, columns) => {
    const gpu = await testGpu({ variants: { linear: name } });
    const [x, w] = [uniform(1, rows * inner), uniform(2, columns * inner)];
    const weight = new Matrix(gpu, columns, inner, "f32", "weight");
    weight.upload(gpu, w);
    const tx = upload(gpu, [rows, inner], x);
    const y = await compute(gpu, () => linear(tx, weight));
    const truth = linearReference(rounded(x), rounded(w), rows, inner, columns);
    // In workgroup memory operands are halves and products exact; elsewhere a product is a half too.
    expect(relativeError(y, truth)).toBeLessThan(name.startsWith("shared") ? 1e-6 : 6e-4);
    // It is not float32.
    if (inner > 1)
      expect(relativeError(y, linearReference(x, w, rows, inner, columns))).toBeGreaterThan(1e-5);
    weight.release(gpu);
    release(gpu, tx);
  });
});

describe.skipIf(!able).each(["flashF16", "splitF16"])("attention, %s", (name) => {
  it.each([
    [1, 70, 150, 2, 32],
    [2, 9, 13, 2, 7],
    [1, 66, 65, 1, 132],
    [1, 5, 1300, 2, 64],
    // Lavapipe takes minutes to build the program of wide heads, the first time.
  ])("batch %i, %i queries, %i keys, %i heads of %i", { timeout: 600_000 }, async (B, N, S, heads, d) => {
    const gpu = await testGpu({ variants: { attention: name } });
    const width = heads * d;
    const [q, k, v] = [uniform(1, B * N * width), uniform(2, B * S * width), uniform(3, B * S * width)];
    const tensors = [
      upload(gpu, [B, N, width], q),
      upload(gpu, [B, S, width], k),
      upload(gpu, [B, S, width], v),
    ];
    const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
    const out = await compute(gpu, () => attention(tq, tk, tv, { heads, headDim: d }));
    const shape = { batch: B, queries: N, keys: S, heads, keyValueHeads: heads, headDim: d };
    // Half a unit of the last of 11 bits, on each of several operands.
    expect(relativeError(out, attentionReference(q, k, v, shape))).toBeLessThan(1e-3);
    expect(relativeError(out, attentionReference(q, rounded(k), rounded(v), shape))).toBeLessThan(6e-4);
    release(gpu, ...tensors);
  });
});

describe("half-precision arithmetic", () => {
  it("is refused where the adapter has no shader-f16", async () => {
    const asked = (features: string[]) =>
      countingGpu({ features: new Set(features), limits: {}, software: false, arithmetic: "f16" });
    await expect(asked([])).rejects.toThrow(AdapterError);
    await expect(asked([])).rejects.toThrow(/needs shader-f16/);
    expect((await asked(["shader-f16"])).arithmetic).toBe("f16");
  });

  it.skipIf(!able)("is what products of many rows run in", async () => {
    const gpu = await testGpu({ arithmetic: "f16" });
    const weight = new Matrix(gpu, 16, 16, "f32", "weight");
    weight.upload(gpu, uniform(2, 256));
    const x = upload(gpu, [40, 16], uniform(1, 640));
    await compute(gpu, () => linear(x, weight));
    expect(gpu.variantsRan.linear.every((name) => name.endsWith("F16"))).toBe(true);
    weight.release(gpu);
    release(gpu, x);
  });
});
