import { describe, expect, it } from "vitest";
import { filteredResample } from "../../src/kernels/filtered-resample.ts";
import { filteredResampleReference } from "../../src/kernels/filtered-resample.reference.ts";
import { modulate } from "../../src/kernels/modulate.ts";
import { modulateReference } from "../../src/kernels/modulate.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

describe("filteredResample", () => {
  it.each([
    { size: [2, 6, 4, 3] as const, taps: 4 },
    { size: [1, 2, 2, 5] as const, taps: 2 },
    { size: [3, 8, 2, 1] as const, taps: 6 },
    { size: [2, 4, 6, 8] as const, taps: 4 },
  ])("$size by $taps taps that are not symmetric", async ({ size, taps }) => {
    const gpu = await testGpu();
    const [B, H, W, C] = size;
    const [x, filter] = [uniform(1, B * H * W * C), uniform(2, taps * taps)];
    const t = [upload(gpu, size, x), upload(gpu, [1, 1, taps, taps], filter)];
    for (const direction of ["up", "down"] as const) {
      const y = await compute(gpu, () => filteredResample(t[0], t[1], direction));
      expect(relativeError(y, filteredResampleReference(x, size, filter, direction))).toBeLessThan(1e-6);
    }
    release(gpu, ...t);
  });

  it("a constant keeps its value inside and loses some of it to the zeros outside", async () => {
    const gpu = await testGpu();
    const taps = [1, 3, 3, 1].map((v) => v / 8);
    const filter = Float32Array.from({ length: 16 }, (_, k) => taps[k >> 2] * taps[k % 4]);
    const t = [upload(gpu, [1, 8, 8, 1], new Float32Array(64).fill(1)), upload(gpu, [4, 4], filter)];
    const down = await compute(gpu, () => filteredResample(t[0], t[1], "down"));
    expect(down[5]).toBeCloseTo(1, 6);
    expect(down[0]).toBeCloseTo((7 / 8) ** 2, 6);
    const up = await compute(gpu, () => filteredResample(t[0], t[1], "up"));
    expect(up[16 * 8 + 8]).toBeCloseTo(1, 6);
    expect(up[0]).toBeCloseTo((3 / 4) ** 2, 6);
    release(gpu, ...t);
  });

  it("refuses odd filters and odd sizes", async () => {
    const gpu = await testGpu();
    const t = [upload(gpu, [1, 3, 4, 1], uniform(1, 12)), upload(gpu, [2, 2], uniform(2, 4))];
    await expect(compute(gpu, () => filteredResample(t[0], t[1], "down"))).rejects.toThrow(/must be even/);
    await expect(compute(gpu, () => filteredResample(t[0], t[0], "up"))).rejects.toThrow(/a square/);
    release(gpu, ...t);
  });
});

describe("modulate", () => {
  it.each([
    { size: [2, 5, 3] as const, scale: 4 },
    { size: [3, 1, 7] as const, scale: undefined },
  ])("$size, scale at $scale", async ({ size, scale }) => {
    const gpu = await testGpu();
    const [B, N, C] = size;
    const width = 2 * C + 4;
    const [x, table] = [uniform(1, B * N * C), uniform(2, B * width)];
    const t = [upload(gpu, size, x), upload(gpu, [B, width], table)];
    const y = await compute(gpu, () => modulate(t[0], { table: t[1], scale, shift: 1 }));
    expect(relativeError(y, modulateReference(x, size, { table, scale, shift: 1 }))).toBeLessThan(1e-6);
    await expect(compute(gpu, () => modulate(t[0], { table: t[1], shift: width }))).rejects.toThrow(
      /columns up to/,
    );
    release(gpu, ...t);
  });
});
