import { describe, expect, it } from "vitest";
import { spatialSoftmax } from "../../src/kernels/spatial-softmax.ts";
import { spatialSoftmaxReference } from "../../src/kernels/spatial-softmax.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

describe("spatialSoftmax", () => {
  it.each([
    { size: [2, 9, 32] as const, scale: 1 },
    { size: [3, 96, 5] as const, scale: 40 },
    { size: [1, 1, 3] as const, scale: 1 },
    { size: [4, 35, 1] as const, scale: 300 },
  ])("$size, logits up to $scale", async ({ size: [B, N, K], scale }) => {
    const gpu = await testGpu();
    const [x, grid] = [uniform(1, B * N * K, scale), uniform(2, 2 * N)];
    const [tx, tg] = [upload(gpu, [B, N, K], x), upload(gpu, [N, 2], grid)];
    const y = await compute(gpu, () => spatialSoftmax(tx, tg));
    expect(relativeError(y, spatialSoftmaxReference(x, [B, N, K], grid))).toBeLessThan(1e-6);
    release(gpu, tx, tg);
  });

  it("a single bright pixel is where it is; an even map is the middle", async () => {
    const gpu = await testGpu();
    const grid = Float32Array.of(-1, -1, 1, -1, -1, 1, 1, 1);
    const maps = Float32Array.from({ length: 8 }, (_, i) => (i % 2 === 0 && i === 2 ? 200 : 0));
    const [x, g] = [upload(gpu, [1, 4, 2], maps), upload(gpu, [4, 2], grid)];
    const y = await compute(gpu, () => spatialSoftmax(x, g));
    expect([...y].map((v) => (Math.abs(v) < 1e-30 ? 0 : v))).toEqual([1, -1, 0, 0]);
    release(gpu, x, g);
  });

  it("a NaN anywhere in a map is seen, in the other maps not", async () => {
    const gpu = await testGpu();
    for (const at of [0, 4, 6]) {
      const maps = uniform(3, 8);
      maps[at] = Number.NaN;
      const [x, g] = [upload(gpu, [1, 4, 2], maps), upload(gpu, [4, 2], uniform(4, 8))];
      const y = await compute(gpu, () => spatialSoftmax(x, g));
      expect([...y].map(Number.isNaN)).toEqual([true, true, false, false]);
      release(gpu, x, g);
    }
  });

  it("refuses a grid of other pixels", async () => {
    const gpu = await testGpu();
    const [x, g] = [upload(gpu, [1, 4, 2], uniform(1, 8)), upload(gpu, [3, 2], uniform(2, 6))];
    await expect(compute(gpu, () => spatialSoftmax(x, g))).rejects.toThrow(
      /\(1, 4, 2\) do not fit a grid \(3, 2\)/,
    );
    release(gpu, x, g);
  });
});
