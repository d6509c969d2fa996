import { describe, expect, it } from "vitest";
import { assign, concat, expand, permute, slice } from "../../src/kernels/copy.ts";
import { gather } from "../../src/kernels/gather.ts";
import { createTensor } from "../../src/tensor/tensor.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";

const counting = (n: number, from = 0): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: n }, (_, i) => i + from);

describe("copy", () => {
  it.each([
    ["eight axes", [2, 4, 3, 2, 2, 3, 2, 3], [3, 0, 7, 1, 2, 6, 5, 4]],
    ["axes of one element", [2, 1, 3, 2, 2, 1, 2, 3], [3, 0, 7, 1, 2, 6, 5, 4]],
    ["axes that stay together", [2, 3, 4, 2, 3], [3, 4, 0, 1, 2]],
    ["nothing", [2, 3, 4], [0, 1, 2]],
    ["one element", [1, 1], [1, 0]],
  ])("permutes %s", async (_, shape, axes) => {
    const gpu = await testGpu();
    const n = shape.reduce((a, b) => a * b);
    const x = upload(gpu, shape, counting(n));
    const y = await compute(gpu, () => permute(x, ...axes));
    const to = axes.map((a) => shape[a]);
    const digits = (i: number, s: number[]): number[] => {
      const d: number[] = [];
      for (let a = s.length - 1; a >= 0; a--) {
        d[a] = i % s[a];
        i = Math.floor(i / s[a]);
      }
      return d;
    };
    const truth = counting(n).map((_, i) => {
      const at: number[] = [];
      digits(i, to).forEach((v, a) => (at[axes[a]] = v));
      return at.reduce((sum, v, a) => sum * shape[a] + v, 0);
    });
    expect(y).toEqual(truth);
    release(gpu, x);
  });

  it("slices, joins and repeats", async () => {
    const gpu = await testGpu();
    const [a, b] = [upload(gpu, [2, 3, 2], counting(12)), upload(gpu, [2, 1, 2], counting(4, 100))];
    expect([...(await compute(gpu, () => slice(a, 1, 1, 3)))]).toEqual([2, 3, 4, 5, 8, 9, 10, 11]);
    const joined = [0, 1, 2, 3, 4, 5, 100, 101, 6, 7, 8, 9, 10, 11, 102, 103];
    expect([...(await compute(gpu, () => concat([a, b], 1)))]).toEqual(joined);
    expect([...(await compute(gpu, () => expand(b, 2, 2, 2)))]).toEqual([
      100, 101, 100, 101, 102, 103, 102, 103,
    ]);
    release(gpu, a, b);
  });

  it("copies more than 65,535 workgroups", async () => {
    const gpu = await testGpu();
    const n = 70_000 * 64;
    const x = upload(gpu, [n], counting(n));
    const y = createTensor(gpu, [n]);
    const seen = await compute(gpu, () => {
      assign(y, x);
      return y;
    });
    expect(seen.every((v, i) => v === Math.fround(i))).toBe(true);
    release(gpu, x, y);
  });

  it("refuses parts that do not fit", async () => {
    const gpu = await testGpu();
    const [a, b] = [upload(gpu, [2, 3], counting(6)), upload(gpu, [3, 3], counting(9))];
    await expect(compute(gpu, () => concat([a, b], 1))).rejects.toThrow(/\(2, 3\) and \(3, 3\)/);
    await expect(compute(gpu, () => slice(a, 1, 2, 4))).rejects.toThrow(/2 to 4/);
    release(gpu, a, b);
  });
});

describe("gather", () => {
  it("picks rows", async () => {
    const gpu = await testGpu();
    const t = [upload(gpu, [4, 2], counting(8)), upload(gpu, [3], Uint32Array.of(3, 0, 3))];
    expect([...(await compute(gpu, () => gather(t[0], t[1])))]).toEqual([6, 7, 0, 1, 6, 7]);
    release(gpu, ...t);
  });
});
