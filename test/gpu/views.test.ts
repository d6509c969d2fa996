import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { record } from "../../src/gpu/recording.ts";
import { permute } from "../../src/kernels/copy.ts";
import { add, affine } from "../../src/kernels/elementwise.ts";
import { linear } from "../../src/kernels/linear.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import {
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  result,
  rowsOf,
  rowStep,
  writeTensor,
} from "../../src/tensor/tensor.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

describe("rows of a tensor", () => {
  it("are read, written and copied where they stand", async () => {
    const gpu = await testGpu();
    const values = uniform(1, 3 * 4 * 64);
    const x = upload(gpu, [3, 4, 64], values);
    const rows = rowsOf(x, 5, 9);
    expect(rows.shape).toEqual([4, 64]);
    expect(await readTensor(gpu, rows)).toEqual(values.slice(5 * 64, 9 * 64));
    expect(await readTensor(gpu, rowsOf(rows, 1, 3))).toEqual(values.slice(6 * 64, 8 * 64));
    writeTensor(gpu, rowsOf(x, 6, 7), new Float32Array(64).fill(7));
    values.fill(7, 6 * 64, 7 * 64);
    const other = upload(gpu, [2, 64], uniform(9, 128));
    copyTensor(gpu, rowsOf(other, 1, 2), rowsOf(x, 8, 12), { from: 3, to: 70, count: 50 });
    values.set(uniform(9, 128).subarray(64 + 3, 64 + 53), 8 * 64 + 70);
    expect(() => copyTensor(gpu, rowsOf(x, 0, 1), rowsOf(x, 8, 9))).toThrow(UsageError);
    expect(await readTensor(gpu, x)).toEqual(values);
    const doubled = await compute(gpu, () => affine(rowsOf(x, 5, 9).reshape(2, 128), 2));
    expect(doubled).toEqual(values.slice(5 * 64, 9 * 64).map((v) => 2 * v));
    release(gpu, x, other);
  });

  it("begin where a binding may, or are refused with the step that fits", async () => {
    const gpu = await testGpu();
    const x = createTensor(gpu, [16, 24]);
    expect(rowStep(x)).toBe(8);
    expect(() => rowsOf(x, 3, 5)).toThrow(UsageError);
    expect(() => rowsOf(x, 3, 5)).toThrow(/row 3 of \(16, 24\) begins at byte 288 .*multiple of 8 rows/);
    expect(rowsOf(x, 8, 11).offset).toBe(768);
    for (const [from, to] of [
      [-8, 2],
      [8, 8],
      [8, 17],
      [0.5, 2],
    ])
      expect(() => rowsOf(x, from, to)).toThrow(UsageError);
    release(gpu, x);
  });

  it("of intermediate results share their memory, also when returned", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [8, 64], uniform(2, 512));
    const replay = await record(gpu, "views", () => {
      const y = affine(x, 3);
      for (let i = 0; i < 5; i++) affine(x, i);
      return rowsOf(y, 4, 8);
    });
    await replay.run();
    expect(await readTensor(gpu, replay.outputs)).toEqual(
      uniform(2, 512)
        .slice(256)
        .map((v) => Math.fround(3 * v)),
    );
    replay.dispose();
    release(gpu, x);
  });

  it("make work of a tensor that is larger than a binding", async () => {
    const [small, large] = [await testGpu({ maxBindingBytes: 4096 }), await testGpu()];
    const [values, w] = [uniform(3, 40 * 64), uniform(4, 70 * 64)];
    const product = async (blocked: boolean): Promise<Float32Array> => {
      const gpu = blocked ? small : large;
      const x = upload(gpu, [40, 64], values); // 10,240 bytes
      const weight = new Matrix(gpu, 64, 64, "f32", "w");
      weight.upload(gpu, w.subarray(0, 64 * 64));
      const y = await compute(gpu, () => {
        if (!blocked) return linear(x, weight);
        const all = result([40, 64], "all");
        for (let from = 0; from < 40; from += 16) {
          const to = Math.min(40, from + 16);
          linear(rowsOf(x, from, to), weight, { into: { tensor: rowsOf(all, from, to), firstRow: 0 } });
        }
        return all;
      });
      weight.release(gpu);
      release(gpu, x);
      return y;
    };
    // Fewer rows may run another program, which sums in another order.
    expect(relativeError(await product(true), await product(false))).toBeLessThan(1e-6);
    const x = createTensor(small, [40, 64]);
    // What mixes rows cannot be split.
    await expect(record(small, "whole", () => permute(x, 1, 0))).rejects.toThrow(
      /10240 bytes in one binding.*4096/,
    );
    release(small, x);
  });

  it("cannot be written while others of the same buffer are read: said when recorded", async () => {
    const gpu = await testGpu();
    const x = createTensor(gpu, [16, 64]);
    const weight = new Matrix(gpu, 64, 64, "f32", "w");
    weight.upload(gpu, uniform(4, 64 * 64));
    const inPlace = record(gpu, "in place", () =>
      linear(rowsOf(x, 0, 8), weight, { into: { tensor: rowsOf(x, 8, 16), firstRow: 0 } }),
    );
    await expect(inPlace).rejects.toThrow(UsageError);
    await expect(inPlace).rejects.toThrow(/linear.*"tensor" is written and bound once more/);
    weight.release(gpu);
    releaseTensor(gpu, x);
  });

  it("are added to one another, as both are only read", async () => {
    const gpu = await testGpu();
    const values = uniform(5, 16 * 64);
    const x = upload(gpu, [16, 64], values);
    const y = await compute(gpu, () => add(rowsOf(x, 0, 8), rowsOf(x, 8, 16)));
    expect(y).toEqual(values.slice(0, 512).map((v, i) => Math.fround(v + values[512 + i])));
    release(gpu, x);
  });
});
