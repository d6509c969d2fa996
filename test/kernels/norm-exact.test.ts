/** Norms where float32 is short of digits: constant rows, rows far from zero, magnitudes from 1e-3 to 1e5, widths from 1 to 8192. */
import { describe, expect, it } from "vitest";
import { groupNorm } from "../../src/kernels/group-norm.ts";
import { groupNormReference } from "../../src/kernels/group-norm.reference.ts";
import { norm, type NormKind } from "../../src/kernels/norm.ts";
import { normReference } from "../../src/kernels/norm.reference.ts";
import { qkNorm } from "../../src/kernels/qk-norm.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const WIDTHS = [1, 2, 7, 64, 100, 1000, 4096, 8191, 8192];
const MAGNITUDES = [1e-3, 0.1, 1, 37.3, 1e3, 12345.678, 1e5];
const EPSILON = 1e-6;
// One lane a row on a CPU adapter from 16 rows on, many lanes for fewer.
const ROWS = [2, 17];

const fill = (rows: number, dim: number, value: number): Float32Array =>
  new Float32Array(rows * dim).fill(value);

describe.each(WIDTHS)("rows of %i", (dim) => {
  const gains = (seed: number): Float32Array => uniform(seed, dim);

  it("that are constant are 0 in layer and group norm", async () => {
    const gpu = await testGpu();
    const weight = upload(gpu, [dim], gains(2));
    const zero = upload(gpu, [dim], new Float32Array(dim));
    for (const value of [...MAGNITUDES, -0.3, 1e30]) {
      const t = ROWS.map((rows) => upload(gpu, [rows, dim], fill(rows, dim, value)));
      for (const x of t) {
        const y = await compute(gpu, () => norm(x, { kind: "layer", epsilon: EPSILON }));
        expect([value, y.every((v) => v === 0)]).toEqual([value, true]);
      }
      const grouped = await compute(gpu, () => groupNorm(t[0], { weight, bias: zero, epsilon: EPSILON }));
      expect([value, grouped.every((v) => v === 0)]).toEqual([value, true]);
      release(gpu, ...t);
    }
    release(gpu, weight, zero);
  });

  it.each(["layer", "rms", "l2"] as const)("of every magnitude, around zero: %s", async (kind: NormKind) => {
    const gpu = await testGpu();
    for (const magnitude of MAGNITUDES) {
      const rows = magnitude === 1 ? 17 : 3;
      const x = uniform(dim + rows, rows * dim, magnitude);
      const t = upload(gpu, [rows, dim], x);
      const y = await compute(gpu, () => norm(t, { kind, epsilon: EPSILON }));
      expect(relativeError(y, normReference(x, dim, kind, EPSILON))).toBeLessThan(5e-7);
      release(gpu, t);
    }
  });

  it("far from zero, or behind an outlier: layer and group norm", async () => {
    const gpu = await testGpu();
    const [w, b] = [gains(3), gains(4)];
    const [weight, bias] = [upload(gpu, [dim], w), upload(gpu, [dim], b)];
    for (const [offset, spread, first, tolerance] of [
      [30, 1, undefined, 5e-7],
      [1000, 0.1, undefined, 5e-7],
      [-1e5, 1, undefined, 5e-7],
      [1e5, 0.02, undefined, 5e-7],
      [0, 1, 1e4, 5e-7],
      // A square a million times the others, to which they are added in float32.
      [1e3, 1e-3, 0, 4e-6],
    ] as const) {
      const rows = 3;
      const x = uniform(dim, rows * dim, spread).map((v) => v + offset);
      for (let r = 0; r < rows && first !== undefined; r++) x[r * dim] = first;
      const t = upload(gpu, [rows, dim], x);
      const layer = await compute(gpu, () => norm(t, { kind: "layer", epsilon: EPSILON }));
      const group = await compute(gpu, () => groupNorm(t, { weight, bias, epsilon: EPSILON }));
      const truths = [normReference(x, dim, "layer", EPSILON), groupNormReference(x, rows, w, b, EPSILON)];
      for (const [i, y] of [layer, group].entries()) {
        const error = relativeError(y, truths[i]);
        expect(error, `${["layer", "group"][i]}: ${offset} ± ${spread}, first ${first}`).toBeLessThan(
          tolerance,
        );
      }
      release(gpu, t);
    }
    release(gpu, weight, bias);
  });

  it("as heads of queries and keys", async () => {
    const gpu = await testGpu();
    const g = gains(5);
    const gain = upload(gpu, [dim], g);
    for (const magnitude of MAGNITUDES) {
      const x = uniform(dim, 3 * dim, magnitude);
      const t = upload(gpu, [1, 3, dim], x);
      const y = await compute(gpu, () => qkNorm(t, 1, gain, EPSILON));
      const truth = normReference(x, dim, "rms", EPSILON).map((v, i) => v * g[i % dim]);
      expect(relativeError(y, truth)).toBeLessThan(5e-7);
      release(gpu, t);
    }
    release(gpu, gain);
  });
});

it("one number that differs, far from zero, is found by layer and group norm", async () => {
  const gpu = await testGpu();
  const dim = 4096;
  const x = fill(2, dim, 1e5);
  x[17] = 1e5 + 2 ** -7; // the next float
  x[dim + 4095] = 1e5 - 2 ** -7;
  const t = upload(gpu, [2, dim], x);
  const [weight, bias] = [upload(gpu, [1], Float32Array.of(1)), upload(gpu, [1], Float32Array.of(0))];
  const layer = await compute(gpu, () => norm(t, { kind: "layer", epsilon: 1e-12 }));
  expect(relativeError(layer, normReference(x, dim, "layer", 1e-12))).toBeLessThan(1e-5);
  const group = await compute(gpu, () => groupNorm(t, { weight, bias, epsilon: 1e-12 }));
  expect(relativeError(group, groupNormReference(x, 2, [1], [0], 1e-12))).toBeLessThan(1e-5);
  release(gpu, t, weight, bias);
});
