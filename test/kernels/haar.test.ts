import { describe, expect, it } from "vitest";
import { haar, inverseHaar } from "../../src/kernels/haar.ts";
import { haarReference, inverseHaarReference } from "../../src/kernels/haar.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe("haar", () => {
  it.each([
    { shape: [1, 2, 2, 2, 1], lead: 0 },
    { shape: [1, 1, 2, 2, 3], lead: 3 },
    { shape: [2, 1, 2, 7, 3], lead: 1 },
    { shape: [2, 5, 3, 5, 2], lead: 0 },
    { shape: [1, 4, 6, 3, 5], lead: 3 },
    { shape: [1, 3, 9, 2, 24], lead: 0 },
  ])("$shape with $lead more frames", async ({ shape, lead }) => {
    const gpu = await testGpu();
    const x = uniform(1, size(shape));
    const tx = upload(gpu, shape, x);
    const z = await compute(gpu, () => haar(tx, lead));
    expect(relativeError(z, haarReference(x, shape, lead))).toBeLessThan(2e-7);
    release(gpu, tx);
  });

  it.each([
    { shape: [1, 1, 1, 1, 8], drop: 0 },
    { shape: [1, 1, 1, 1, 8], drop: 1 },
    { shape: [2, 2, 3, 1, 24], drop: 3 },
    { shape: [1, 3, 2, 5, 40], drop: 0 },
  ])("inverse of $shape without $drop frames", async ({ shape, drop }) => {
    const gpu = await testGpu();
    const z = uniform(2, size(shape));
    const tz = upload(gpu, shape, z);
    const x = await compute(gpu, () => inverseHaar(tz, drop));
    expect(relativeError(x, inverseHaarReference(z, shape, drop))).toBeLessThan(2e-7);
    release(gpu, tz);
  });

  it("comes back from two levels and the copies of the first frame", async () => {
    const gpu = await testGpu();
    const shape = [1, 5, 8, 12, 3];
    const x = uniform(3, size(shape));
    const tx = upload(gpu, shape, x);
    const back = await compute(gpu, () => inverseHaar(inverseHaar(haar(haar(tx, 3))), 3));
    // The reference's 1/√2 is rounded to float32; twelve factors of it are off by 2e-7.
    expect(relativeError(back, x)).toBeLessThan(6e-7);
    release(gpu, tx);
  });

  it("refuses a single row, which has nothing to mirror", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1, 2, 1, 4, 1], new Float32Array(8));
    await expect(compute(gpu, () => haar(x))).rejects.toThrow(/\(1, 2, 1, 4, 1\)/);
    release(gpu, x);
  });
});
