import { describe, expect, it } from "vitest";
import { linear } from "../../src/kernels/linear.ts";
import { linearReference } from "../../src/kernels/linear.reference.ts";
import type { Activation } from "../../src/kernels/activations.ts";
import { sigmoid } from "../../src/kernels/activations.reference.ts";
import { toFloat16, toFloat32 } from "../../src/weights/convert.ts";
import { VARIANTS } from "../../src/kernels/linear/variants.ts";
import { lacks } from "../../src/kernels/variants.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** [rows, in, out] */
const SHAPES = [
  [1, 1, 1],
  [1, 128, 384],
  [3, 7, 5],
  [8, 64, 8],
  [9, 65, 9],
  [17, 1365, 33],
  [80, 96, 288],
  [65_537, 3, 2],
] as const;

const roundToBf16 = (x: Float32Array): Uint16Array => {
  const bits = new Uint32Array(x.buffer.slice(0));
  return Uint16Array.from(bits, (b) => b >>> 16);
};
const widen = (x: Uint16Array): Float32Array => new Float32Array(Uint32Array.from(x, (b) => b << 16).buffer);

// Half precision is judged on the models' outputs; here only a wrong index must not hide in it.
const exact = (variant: string, tolerance: number): number =>
  variant === "subgroupMatrix" ? 1e-3 : tolerance;

// Rounding of a float32 sum of K products; the tile and quads add up 64 and 128 terms at a time, the others all of them in order.
const bound = (variant: string, inner: number): number =>
  exact(variant, 2e-7 + 2e-8 * Math.sqrt(/tile|quads/.test(variant) ? Math.min(inner, 64) : inner));

// Those of no software GPU, where the device has them.
const gpu = await testGpu();
const matrices = (["subgroupMatrix", "subgroupMatrixF32"] as const).filter(
  (name) => !lacks(gpu, VARIANTS[name]),
);

describe.each(["quads", "tile", "shared64", "shared128", "split", "naive", ...matrices])(
  "linear, %s",
  (variant) => {
    const options = { variants: { linear: variant } };

    it.each(SHAPES)("%i × %i → %i", async (rows, inner, out) => {
      const gpu = await testGpu(options);
      const [x, w, bias] = [uniform(1, rows * inner), uniform(2, out * inner), uniform(3, out)];
      const weight = new Matrix(gpu, out, inner, "f32", "w");
      weight.upload(gpu, w);
      const [tx, tb] = [upload(gpu, [rows, inner], x), upload(gpu, [out], bias)];
      const y = await compute(gpu, () => linear(tx, weight, { bias: tb }));
      expect(relativeError(y, linearReference(x, w, rows, inner, out, { bias }))).toBeLessThan(
        bound(variant, inner),
      );
      release(gpu, tx, tb);
      weight.release(gpu);
    });

    it.each(["relu", "silu", "gelu", "geluTanh", "tanh", "mish"] satisfies Activation[])(
      "%s, then a residual",
      async (activation) => {
        const gpu = await testGpu(options);
        const [rows, inner, out] = [13, 20, 11];
        const [x, w, r] = [uniform(4, rows * inner, 3), uniform(5, out * inner), uniform(6, rows * out)];
        const weight = new Matrix(gpu, out, inner, "f32", "w");
        weight.upload(gpu, w);
        const [tx, tr] = [upload(gpu, [rows, inner], x), upload(gpu, [rows, out], r)];
        const y = await compute(gpu, () => linear(tx, weight, { activation, residual: tr }));
        expect(
          relativeError(y, linearReference(x, w, rows, inner, out, { activation, residual: r })),
        ).toBeLessThan(exact(variant, 4e-7));
        release(gpu, tx, tr);
        weight.release(gpu);
      },
    );

    it.each([
      [1, 1, 1],
      [5, 9, 13],
      [23, 16, 40],
    ])(
      "gates its result by rows of a table and writes it into a larger tensor: %i × %i → %i",
      async (rows, inner, out) => {
        const gpu = await testGpu(options);
        const [times, at, shift, firstRow] = [3, 5, -2, 4];
        const [x, w, table] = [
          uniform(1, rows * inner),
          uniform(2, out * inner),
          uniform(3, times * (at + out), 4),
        ];
        const rowOf = Uint32Array.from({ length: rows }, (_, m) => (m * 7) % times);
        const weight = new Matrix(gpu, out, inner, "f32", "w");
        weight.upload(gpu, w);
        const target = upload(gpu, [rows + 9, out], new Float32Array((rows + 9) * out).fill(7));
        const tensors = [
          upload(gpu, [rows, inner], x),
          upload(gpu, [times, at + out], table),
          upload(gpu, [rows], rowOf),
        ];
        const y = await compute(gpu, () =>
          linear(tensors[0], weight, {
            gate: { table: tensors[1], rowOf: tensors[2], at, shift },
            into: { tensor: target, firstRow },
          }),
        );
        const plain = linearReference(x, w, rows, inner, out);
        const truth = new Float64Array((rows + 9) * out).fill(7);
        plain.forEach((value, i) => {
          const [m, n] = [Math.floor(i / out), i % out];
          truth[firstRow * out + i] = value * sigmoid(table[rowOf[m] * (at + out) + at + n] + shift);
        });
        expect(relativeError(y, truth)).toBeLessThan(exact(variant, 5e-7));
        release(gpu, target, ...tensors);
        weight.release(gpu);
      },
    );

    it("reads bfloat16 weights exactly", async () => {
      const gpu = await testGpu(options);
      const [rows, inner, out] = [5, 30, 21];
      const [x, w] = [uniform(7, rows * inner), roundToBf16(uniform(8, out * inner))];
      const weight = new Matrix(gpu, out, inner, "bf16", "w");
      weight.upload(gpu, w);
      const tx = upload(gpu, [rows, inner], x);
      const y = await compute(gpu, () => linear(tx, weight));
      expect(relativeError(y, linearReference(x, widen(w), rows, inner, out))).toBeLessThan(
        bound(variant, inner),
      );
      release(gpu, tx);
      weight.release(gpu);
    });

    it("reads float16 weights exactly, the smallest too", async () => {
      const gpu = await testGpu(options);
      const [rows, inner, out] = [5, 30, 21];
      const x = uniform(7, rows * inner);
      const { bytes } = toFloat16(new Uint8Array(uniform(8, out * inner).buffer), "F32");
      const bits = new Uint16Array(bytes.buffer);
      bits.set([0x0001, 0x83ff, 0x7bff]);
      const weight = new Matrix(gpu, out, inner, "f16", "w");
      weight.upload(gpu, bits);
      const tx = upload(gpu, [rows, inner], x);
      const y = await compute(gpu, () => linear(tx, weight));
      expect(relativeError(y, linearReference(x, toFloat32(bytes, "F16"), rows, inner, out))).toBeLessThan(
        bound(variant, inner),
      );
      release(gpu, tx);
      weight.release(gpu);
    });

    it("splits a weight that is larger than one binding", async () => {
      const gpu = await testGpu({ ...options, maxBindingBytes: 4096 });
      const [rows, inner, out] = [4, 33, 70];
      const [x, w] = [uniform(9, rows * inner), uniform(10, out * inner)];
      const weight = new Matrix(gpu, out, inner, "f32", "w");
      weight.upload(gpu, w);
      expect(weight.blocks.length).toBeGreaterThan(1);
      const tx = upload(gpu, [rows, inner], x);
      const y = await compute(gpu, () => linear(tx, weight));
      expect(relativeError(y, linearReference(x, w, rows, inner, out))).toBeLessThan(bound(variant, inner));
      release(gpu, tx);
      weight.release(gpu);
    });
  },
);

describe("linear", () => {
  it("names the numbers of a weight that cannot be bound at all", async () => {
    const gpu = await testGpu({ maxBindingBytes: 4096 });
    expect(() => new Matrix(gpu, 8, 2000, "f32", "ff.weight")).toThrow(
      /row of ff\.weight needs 8000 bytes.*4096/s,
    );
  });

  it("refuses an input of the wrong width", async () => {
    const gpu = await testGpu();
    const weight = new Matrix(gpu, 4, 6, "f32", "w");
    weight.upload(gpu, new Float32Array(24));
    const x = upload(gpu, [2, 5], new Float32Array(10));
    await expect(compute(gpu, () => linear(x, weight))).rejects.toThrow(/\(2, 5\).*6/);
  });
});
