import { describe, expect, it } from "vitest";
import {
  FLOAT32_EPSILON,
  foldedSize,
  foldPool,
  historyPool,
  mixedWeights,
  type PoolEnd,
  type PoolWeights,
  projectQuery,
} from "../../src/kernels/history-pool.ts";
import { historyPoolReference, modulateReference } from "../../src/kernels/history-pool.reference.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { compute, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** [batch, tokens an item, entries, most entries, D, R, r, shift from, scale of the history] */
const CASES = [
  [1, 1, 1, 4, 4, 2, 1, undefined, 1],
  [1, 1, 2, 2, 1, 2, 1, undefined, 1],
  [2, 3, 4, 7, 7, 2, 3, 1, 1],
  [5, 9, 10, 10, 36, 4, 8, 2, 1],
  [1, 5, 25, 25, 33, 6, 5, undefined, 1],
  // Branches enter the history through gates near σ(−5): mean squares around the epsilon, and far below it.
  [2, 6, 5, 7, 32, 4, 8, 1, 3e-4],
  [1, 3, 3, 4, 16, 4, 64, 0, 1e-6],
] as const;

describe.each(["fused", "mixed", "naive"])("historyPool, %s", (variant) => {
  it.each(CASES)(
    "batch %i, %i tokens, %i of %i entries, width %i, %i heads of %i, shift from %s, history × %f",
    async (batch, perItem, entries, most, dim, heads, headDim, shiftFrom, scale) => {
      const gpu = await testGpu({ variants: { historyPool: variant } });
      const [tokens, shape] = [batch * perItem, { dim, heads, headDim }];
      const raw = {
        query: uniform(1, dim, 2),
        gain: uniform(2, dim, 1.5),
        queries: uniform(3, heads * headDim * dim),
        keysValues: uniform(4, 4 * headDim * dim),
        out: uniform(5, dim * heads * headDim),
      };
      const past = uniform(6, most * tokens * dim, scale);
      const [width, scaleAt, shiftAt] = [3 * dim + 2, 1, 2 * dim];
      const rows = uniform(7, 3 * width);
      const rowOf = Uint32Array.from({ length: tokens }, (_, t) => (t * 5) % 3);

      const history = upload(gpu, [most, batch, perItem, dim], past);
      const packed = (values: Float32Array, out: number, inner: number): Matrix => {
        const weight = new Matrix(gpu, out, inner, "f32", "w");
        weight.upload(gpu, values);
        return weight;
      };
      const mixed = (): PoolWeights => {
        const { u, values, outs } = mixedWeights(raw, shape);
        return {
          kind: "mixed",
          u: upload(gpu, [dim, Math.ceil(heads / 4), 4], u),
          values: values.map((v) => packed(v, headDim, dim)),
          outs: outs.map((o) => packed(o, dim, (heads / 2) * headDim)),
        };
      };
      const weights: PoolWeights =
        variant === "fused"
          ? { kind: "fused", folded: upload(gpu, [foldedSize(shape)], foldPool(raw, shape)) }
          : variant === "mixed"
            ? mixed()
            : {
                kind: "naive",
                query: upload(
                  gpu,
                  [heads * headDim],
                  Float32Array.from(projectQuery(raw.query, raw.queries, dim)),
                ),
                gain: upload(gpu, [dim], raw.gain),
                keysValues: packed(raw.keysValues, 4 * headDim, dim),
                out: packed(raw.out, dim, heads * headDim),
              };
      const modulation = { table: upload(gpu, [3, width], rows), rowOf: upload(gpu, [tokens], rowOf) };
      const weight = upload(gpu, [dim], raw.gain);
      const l2: PoolEnd = {
        norm: { kind: "l2", epsilon: 1e-6, modulation, at: { scale: scaleAt, shift: shiftAt } },
        shiftFrom,
      };
      const rms: PoolEnd = { norm: { kind: "rms", epsilon: FLOAT32_EPSILON, weight } };

      const z = historyPoolReference(past, raw, { ...shape, entries, tokens });
      const ours = await compute(gpu, () => historyPool(history, entries, weights, shape, l2));
      const truth = modulateReference(z, { rows, width, scaleAt, shiftAt }, rowOf, 1e-6, {
        ...{ batch, perItem, dim, shiftFrom },
      });
      expect(relativeError(ours, truth)).toBeLessThan(3e-6);

      const normed = await compute(gpu, () => historyPool(history, entries, weights, shape, rms));
      const gained = z.map((value, i) => {
        const t = Math.floor(i / dim);
        const square = z.subarray(t * dim, (t + 1) * dim).reduce((sum, v) => sum + v * v, 0);
        return (value / Math.sqrt(square / dim + FLOAT32_EPSILON)) * raw.gain[i % dim];
      });
      expect(relativeError(normed, gained)).toBeLessThan(3e-6);
    },
  );
});
