import { describe, expect, it } from "vitest";
import { gatedResidual } from "../../src/kernels/gated-residual.ts";
import { modulatedNorm, norm, type NormKind } from "../../src/kernels/norm.ts";
import { normReference, rotateReference } from "../../src/kernels/norm.reference.ts";
import { qkNorm } from "../../src/kernels/qk-norm.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** [rows, dim]: one lane a row, many lanes a row, one element, rows that do not fill a workgroup */
const SHAPES = [
  [1, 1],
  [1, 5000],
  [3, 33],
  [17, 96],
  [640, 10],
  [5, 129],
] as const;

const KINDS: [NormKind, number][] = [
  ["layer", 1e-6],
  ["rms", 1.1920929e-7],
  ["l2", 1e-6],
];

describe.each(KINDS)("norm, %s", (kind, epsilon) => {
  it.each(SHAPES)("%i rows of %i", async (rows, dim) => {
    const gpu = await testGpu();
    const x = uniform(1, rows * dim).map((v) => v + 0.25);
    const [weight, bias] = [uniform(2, dim), uniform(3, dim)];
    const t = [upload(gpu, [rows, dim], x), upload(gpu, [dim], weight), upload(gpu, [dim], bias)];
    const y = await compute(gpu, () =>
      norm(t[0], { kind, epsilon, weight: t[1], weightOffset: 1, bias: t[2] }),
    );
    const truth = normReference(x, dim, kind, epsilon).map(
      (v, i) => v * (weight[i % dim] + 1) + bias[i % dim],
    );
    expect(relativeError(y, truth)).toBeLessThan(dim === 1 && kind === "layer" ? 1e-6 : 5e-7);
    release(gpu, ...t);
  });

  // Rows of 12 are read four at a time, rows of 10 are not.
  it.each([12, 10])("modulates each row by its own entry of the table, width %i", async (dim) => {
    const gpu = await testGpu();
    const rows = 21;
    const [x, table] = [uniform(4, rows * dim), uniform(5, 3 * 3 * dim)];
    const rowOf = Uint32Array.from({ length: rows }, (_, i) => (i * 7) % 3);
    const t = [upload(gpu, [rows, dim], x), upload(gpu, [3, 3 * dim], table), upload(gpu, [rows], rowOf)];
    const modulation = { table: t[1], rowOf: t[2] };
    const y = await compute(gpu, () =>
      modulatedNorm(t[0], kind, epsilon, modulation, { scale: dim, shift: 2 * dim }),
    );
    const truth = normReference(x, dim, kind, epsilon).map((v, i) => {
      const at = rowOf[Math.floor(i / dim)] * 3 * dim + (i % dim);
      return v * (1 + table[at + dim]) + table[at + 2 * dim];
    });
    expect(relativeError(y, truth)).toBeLessThan(5e-7);
    release(gpu, ...t);
  });
});

describe("norm", () => {
  it("repeats channel gains along a long row, as group norm needs", async () => {
    const gpu = await testGpu();
    const [rows, dim, channels] = [2, 60, 5];
    const [x, weight] = [uniform(6, rows * dim), uniform(7, channels)];
    const t = [upload(gpu, [rows, dim], x), upload(gpu, [channels], weight)];
    const y = await compute(gpu, () => norm(t[0], { kind: "layer", epsilon: 1e-6, weight: t[1] }));
    const truth = normReference(x, dim, "layer", 1e-6).map((v, i) => v * weight[i % channels]);
    expect(relativeError(y, truth)).toBeLessThan(5e-7);
    release(gpu, ...t);
  });

  it("keeps tiny rows finite under the floor", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [2, 8], uniform(8, 16, 1e-12));
    const y = await compute(gpu, () => norm(x, { kind: "l2", epsilon: 1e-6 }));
    expect(relativeError(y, normReference(uniform(8, 16, 1e-12), 8, "l2", 1e-6))).toBeLessThan(5e-7);
    release(gpu, x);
  });
});

describe("qkNorm", () => {
  it.each([
    [2, 5, 3, 8],
    [1, 1, 1, 2],
    [3, 7, 2, 14],
  ])("%i × %i tokens, %i heads of %i, with and without rotation", async (batch, tokens, heads, dim) => {
    const gpu = await testGpu();
    const [x, gain, angles] = [
      uniform(1, batch * tokens * heads * dim),
      uniform(2, dim),
      uniform(3, (tokens * dim) / 2, 40),
    ];
    const half = [tokens, dim / 2];
    const t = [
      upload(gpu, [batch, tokens, heads * dim], x),
      upload(gpu, [dim], gain),
      upload(gpu, half, Float32Array.from(angles, Math.cos)),
      upload(gpu, half, Float32Array.from(angles, Math.sin)),
    ];
    const normed = normReference(x, dim, "rms", 1e-5).map((v, i) => v * gain[i % dim]);
    const plain = await compute(gpu, () => qkNorm(t[0], heads, t[1], 1e-5));
    expect(relativeError(plain, normed)).toBeLessThan(5e-7);
    const rotated = await compute(gpu, () => qkNorm(t[0], heads, t[1], 1e-5, { cos: t[2], sin: t[3] }));
    expect(relativeError(rotated, rotateReference(normed, heads, dim, tokens, angles))).toBeLessThan(5e-7);
    // Neighbours are halves of the channels in another order.
    const apart = (c: number): number => (c % 2) * (dim / 2) + (c >> 1);
    const at = (i: number): number => i - (i % dim) + apart(i % dim);
    const halves = new Float64Array(normed.length);
    normed.forEach((v, i) => (halves[at(i)] = v));
    const turned = rotateReference(halves, heads, dim, tokens, angles);
    const neighbours = await compute(gpu, () =>
      qkNorm(t[0], heads, t[1], 1e-5, { cos: t[2], sin: t[3], pairs: "neighbours" }),
    );
    expect(
      relativeError(
        neighbours,
        Float64Array.from(normed, (_, i) => turned[at(i)]),
      ),
    ).toBeLessThan(5e-7);
    release(gpu, ...t);
  });
});

describe("gatedResidual", () => {
  it.each([6, 8])("adds the branch times its row's gate, width %i", async (dim) => {
    const gpu = await testGpu();
    const rows = 11;
    const [x, branch, table] = [uniform(1, rows * dim), uniform(2, rows * dim), uniform(3, 2 * 3 * dim)];
    const rowOf = Uint32Array.from({ length: rows }, (_, i) => i % 2);
    const t = [
      upload(gpu, [rows, dim], x),
      upload(gpu, [rows, dim], branch),
      upload(gpu, [2, 3 * dim], table),
      upload(gpu, [rows], rowOf),
    ];
    const y = await compute(gpu, () => gatedResidual(t[0], t[1], { table: t[2], rowOf: t[3] }, 2 * dim));
    const truth = x.map(
      (v, i) => v + table[rowOf[Math.floor(i / dim)] * 3 * dim + 2 * dim + (i % dim)] * branch[i],
    );
    expect(relativeError(y, truth)).toBeLessThan(2e-7);
    release(gpu, ...t);
  });
});
