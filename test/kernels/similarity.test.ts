/** What taps are compared with: rows centred, products of rows and of pairs of matrices, changes along a stack. */
import { describe, expect, it } from "vitest";
import { changes } from "../../src/kernels/changes.ts";
import { changesReference } from "../../src/kernels/changes.reference.ts";
import { centreRows } from "../../src/kernels/centre-rows.ts";
import { centreRowsReference } from "../../src/kernels/centre-rows.reference.ts";
import { gram } from "../../src/kernels/gram.ts";
import { gramReference } from "../../src/kernels/gram.reference.ts";
import { pairProducts } from "../../src/kernels/pair-products.ts";
import { pairProductsReference } from "../../src/kernels/pair-products.reference.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { record } from "../../src/gpu/recording.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

describe("centreRows", () => {
  it.each([
    [1, 2, 1],
    [3, 65, 7],
    [2, 200, 24],
  ])("%i × %i rows of %i", async (batch, rows, dim) => {
    const gpu = await testGpu();
    // Far from zero, so that a plain mean would lose its digits.
    const values = uniform(1, batch * rows * dim).map((x, i) => x + 1000 * (i % dim));
    const x = upload(gpu, [batch, rows, dim], values);
    const replay = await record(gpu, "centre", () => centreRows(x));
    await replay.run();
    const ours = await readTensor(gpu, x);
    expect(relativeError(ours, centreRowsReference(values, batch, rows, dim))).toBeLessThan(1e-6);
    replay.dispose();
    release(gpu, x);
  });
});

describe("gram", () => {
  it.each([
    [1, 1, 1],
    [2, 5, 3],
    [1, 9, 260],
    [3, 16, 8],
    [2, 33, 300],
  ])("%i × %i rows of %i", async (batch, rows, dim) => {
    const gpu = await testGpu();
    const values = uniform(2, batch * rows * dim);
    const x = upload(gpu, [batch, rows, dim], values);
    const ours = await compute(gpu, () => gram(x));
    expect(relativeError(ours, gramReference(values, batch, rows, dim))).toBeLessThan(1e-6);
    for (let i = 0; i < ours.length; i++) {
      const [b, r, c] = [Math.floor(i / rows ** 2), Math.floor(i / rows) % rows, i % rows];
      expect(ours[i]).toBe(ours[(b * rows + c) * rows + r]);
    }
    release(gpu, x);
  });
});

describe("pairProducts", () => {
  const PAIRS = [
    [0, 0],
    [0, 2],
    [2, 1],
  ] as const;
  it.each([
    { batch: 1, rows: 2, columns: 1, both: false },
    { batch: 2, rows: 7, columns: 5, both: false },
    { batch: 1, rows: 40, columns: 130, both: false },
    { batch: 3, rows: 11, columns: 11, both: true },
    { batch: 1, rows: 70, columns: 70, both: true },
  ])("$batch × $rows × $columns, both permuted: $both", async ({ batch, rows, columns, both }) => {
    const gpu = await testGpu();
    const values = uniform(3, 3 * batch * rows * columns);
    const order = [
      Array.from({ length: rows }, (_, p) => p),
      Array.from({ length: rows }, (_, p) => rows - 1 - p),
      Array.from({ length: rows }, (_, p) => (p + 1) % rows),
    ];
    const x = upload(gpu, [3, batch, rows, columns], values);
    const pairs = upload(gpu, [PAIRS.length, 2], Uint32Array.from(PAIRS.flat()));
    const orders = upload(gpu, [order.length, rows], Uint32Array.from(order.flat()));
    const ours = await compute(gpu, () => pairProducts(x, pairs, orders, both));
    const truth = pairProductsReference(values, { batch, rows, columns }, PAIRS, order, both);
    expect(relativeError(ours, truth)).toBeLessThan(1e-5);
    release(gpu, x, pairs, orders);
  });

  it("refuses orders of another number of rows", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [2, 1, 3, 4], new Float32Array(24));
    const pairs = upload(gpu, [1, 2], new Uint32Array(2));
    const order = upload(gpu, [1, 4], new Uint32Array(4));
    await expect(compute(gpu, () => pairProducts(x, pairs, order))).rejects.toThrow(
      /\(2, 1, 3, 4\).*\(1, 4\)/,
    );
    release(gpu, x, pairs, order);
  });
});

describe("changes", () => {
  it.each([
    [1, 1, 1],
    [4, 2, 13],
    [2, 3, 5000],
  ])("%i steps of %i × %i", async (steps, batch, length) => {
    const gpu = await testGpu();
    const values = uniform(4, steps * batch * length);
    const x = upload(gpu, [steps, batch, length], values);
    const ours = await compute(gpu, () => changes(x));
    expect(relativeError(ours, changesReference(values, steps, batch, length))).toBeLessThan(1e-6);
    release(gpu, x);
  });
});
