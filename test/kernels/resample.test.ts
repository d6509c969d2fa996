import { describe, expect, it } from "vitest";
import * as kernels from "../../src/kernels/resample.ts";
import * as reference from "../../src/kernels/resample.reference.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

const SHAPES = [
  [1, 1, 1, 1, 1],
  [2, 1, 1, 9, 3],
  [2, 3, 5, 4, 7],
  [1, 4, 2, 3, 10],
];

async function error(
  shape: readonly number[],
  ours: (x: Tensor) => Tensor,
  truth: (x: Float32Array) => ArrayLike<number>,
): Promise<number> {
  const gpu = await testGpu();
  const x = uniform(1, size(shape));
  const tx = upload(gpu, shape, x);
  const y = await compute(gpu, () => ours(tx));
  release(gpu, tx);
  return relativeError(y, truth(x));
}

describe("averagePool", () => {
  it.each([
    { shape: [1, 1, 1, 1, 1], factors: [2, 1, 1] as const, lead: 1 },
    { shape: [2, 4, 3, 5, 3], factors: [2, 1, 1] as const, lead: 1 },
    { shape: [2, 5, 3, 5, 3], factors: [2, 1, 1] as const, lead: 1 },
    { shape: [1, 2, 6, 7, 9], factors: [1, 2, 2] as const, lead: 0 },
    { shape: [2, 7, 5, 9, 2], factors: [3, 2, 4] as const, lead: 2 },
  ])("$factors of $shape behind $lead copies", async ({ shape, factors, lead }) => {
    const e = await error(
      shape,
      (x) => kernels.averagePool(x, factors, lead),
      (x) => reference.averagePoolReference(x, shape, factors, lead),
    );
    expect(e).toBeLessThan(1e-7);
  });

  it("refuses what holds no block", async () => {
    const one = error(
      [1, 1, 1, 4, 2],
      (x) => kernels.averagePool(x, [1, 2, 2]),
      (x) => x,
    );
    await expect(one).rejects.toThrow(/\(1, 1, 1, 4, 2\).*\(1, 2, 2\)/);
  });
});

describe.each(SHAPES.map((shape) => ({ shape })))("copies of $shape", ({ shape }) => {
  it.each([1, 2, 3])("enlarged %i times", async (factor) => {
    const e = await error(
      shape,
      (x) => kernels.enlargeFrames(x, factor),
      (x) => reference.enlargeFramesReference(x, shape, factor),
    );
    expect(e).toBe(0);
  });

  it("later frames doubled", async () => {
    const e = await error(shape, kernels.doubleLaterFrames, (x) =>
      reference.doubleLaterFramesReference(x, shape),
    );
    expect(e).toBe(0);
  });

  it.each([1, 3])("behind %i copies of the first frame", async (count) => {
    const e = await error(
      shape,
      (x) => kernels.repeatFirstFrame(x, count),
      (x) => reference.repeatFirstFrameReference(x, shape, count),
    );
    expect(e).toBe(0);
  });
});

describe("patches", () => {
  it.each([
    { shape: [1, 2, 2, 2, 3], size: [2, 2, 2] as const, step: [4, 2, 1] as const },
    { shape: [2, 3, 4, 6, 3], size: [1, 2, 2] as const, step: [0, 1, 2] as const },
    { shape: [2, 4, 8, 4, 2], size: [4, 4, 4] as const, step: [16, 4, 1] as const },
    { shape: [1, 3, 2, 5, 4], size: [1, 1, 1] as const, step: [0, 0, 0] as const },
  ])("$size of $shape to channels and back", async ({ shape, size: blocks, step }) => {
    const layout = { size: blocks, step };
    const folded = await error(
      shape,
      (x) => kernels.foldPatches(x, layout),
      (x) => reference.foldPatchesReference(x, shape, layout),
    );
    const back = await error(
      shape,
      (x) => kernels.unfoldPatches(kernels.foldPatches(x, layout), layout),
      (x) => x,
    );
    expect([folded, back]).toEqual([0, 0]);
  });

  it("refuses blocks that do not divide", async () => {
    const odd = error(
      [1, 2, 3, 4, 1],
      (x) => kernels.foldPatches(x, { size: [1, 2, 2], step: [0, 1, 2] }),
      (x) => x,
    );
    await expect(odd).rejects.toThrow(/\(1, 2, 2\).*\(1, 2, 3, 4, 1\)/);
  });
});
