import { describe, expect, it } from "vitest";
import { maxPool } from "../../src/kernels/max-pool.ts";
import { maxPoolReference } from "../../src/kernels/max-pool.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { uniform } from "../support/numbers.ts";

describe("maxPool", () => {
  it.each([
    { size: [2, 42, 41, 3] as const, taps: 3, stride: 2, padding: 1 },
    { size: [1, 5, 4, 17] as const, taps: 2, stride: 1, padding: 0 },
    { size: [3, 1, 1, 2] as const, taps: 3, stride: 2, padding: 1 },
    { size: [1, 7, 9, 1] as const, taps: 4, stride: 3, padding: 3 },
  ])("$size by windows of $taps, $stride apart", async ({ size, ...shape }) => {
    const gpu = await testGpu();
    // All negative: padding of zeros would win everywhere.
    const x = uniform(1, size[0] * size[1] * size[2] * size[3]).map((v) => v - 2);
    const tx = upload(gpu, size, x);
    const y = await compute(gpu, () => maxPool(tx, shape));
    expect([...y]).toEqual([...maxPoolReference(x, size, shape)]);
    release(gpu, tx);
  });

  it("passes NaN and the infinities on", async () => {
    const gpu = await testGpu();
    const frame = (values: number[]) =>
      upload(gpu, [1, 3, 3, 1], Float32Array.from([...values, ...new Array<number>(6).fill(-Infinity)]));
    for (const [values, expected] of [
      [[1, Number.NaN, 2], Number.NaN],
      [[Number.NaN, 5, 2], Number.NaN],
      [[1, 5, Number.NaN], Number.NaN],
      [[1, Infinity, 2], Infinity],
      [[-Infinity, -Infinity, -Infinity], -Infinity],
    ] as const) {
      const x = frame([...values]);
      const y = await compute(gpu, () => maxPool(x, { taps: 3, stride: 3, padding: 0 }));
      expect([...y]).toEqual([expected]);
      release(gpu, x);
    }
  });

  it("refuses windows that see nothing", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1, 3, 3, 1], uniform(1, 9));
    await expect(compute(gpu, () => maxPool(x, { taps: 2, stride: 1, padding: 2 }))).rejects.toThrow(
      /windows of 2/,
    );
    await expect(compute(gpu, () => maxPool(x, { taps: 4, stride: 1, padding: 0 }))).rejects.toThrow(
      /length of 3/,
    );
    release(gpu, x);
  });
});
