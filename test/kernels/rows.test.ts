/** Row blocks: which there are, and that operations in blocks give the same bits as at once. */
import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { add, affine, scaleShift } from "../../src/kernels/elementwise.ts";
import { gatedResidual } from "../../src/kernels/gated-residual.ts";
import { linear } from "../../src/kernels/linear.ts";
import { modulatedNorm, norm } from "../../src/kernels/norm.ts";
import { qkNorm } from "../../src/kernels/qk-norm.ts";
import { ranges } from "../../src/kernels/rows.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { createTensor, readTensor, releaseTensor, sizeOf, type Tensor } from "../../src/tensor/tensor.ts";
import { testGpu } from "../support/gpu.ts";
import { uniform } from "../support/numbers.ts";

describe("ranges", () => {
  it.each([
    [10, 100, 1],
    [1000, 300, 1],
    [1000, 300, 256],
    [19_200, 16_384, 64],
    [7, 3, 2],
    [130, 129, 64],
    [5, 0, 1],
  ])("of %i rows, at most %i, in steps of %i, follow one another", (rows, most, step) => {
    const all = ranges(rows, most, step);
    expect(all[0].from).toBe(0);
    expect(all.at(-1)!.to).toBe(rows);
    all.slice(1).forEach(({ from }, i) => expect(from).toBe(all[i].to));
    for (const { from, to } of all) {
      expect(from % step).toBe(0);
      expect(to - from).toBeGreaterThan(0);
      expect(to - from).toBeLessThanOrEqual(Math.max(most, step));
    }
  });
});

describe("operations in row blocks", () => {
  const [B, N, D] = [2, 75, 64];
  const rowOf = Uint32Array.from({ length: B * N }, (_, i) => (i * 7) % 3);

  const draw = (gpu: Gpu, seed: number, ...shape: number[]): Tensor =>
    createTensor(gpu, shape, uniform(seed, sizeOf(shape)));
  const operands = (gpu: Gpu) => ({
    x: draw(gpu, 1, B, N, D),
    other: draw(gpu, 2, B, N, D),
    table: draw(gpu, 3, 3, 3 * D),
    rowOf: createTensor(gpu, [B * N], rowOf),
    vector: draw(gpu, 4, D),
    gain: draw(gpu, 5, D / 4),
    cos: draw(gpu, 6, N, D / 8),
    sin: draw(gpu, 7, N, D / 8),
  });
  type Operands = ReturnType<typeof operands>;

  const OPERATIONS: Record<string, (given: Operands, w: Matrix) => Tensor> = {
    affine: ({ x }) => affine(x, 2, 1),
    "a sum": ({ x, other }) => add(x, other.reshape(-1, D)),
    "what repeats": ({ x, vector }) => scaleShift(x, vector, vector),
    "what repeats over several rows": ({ x, sin }) => add(x, sin),
    norm: ({ x, vector: weight }) => norm(x, { kind: "layer", epsilon: 1e-6, weight }),
    "a modulated norm": ({ x, ...modulation }) =>
      modulatedNorm(x, "layer", 1e-6, modulation, { shift: 0, scale: D }),
    "a gated residual": ({ x, other, ...modulation }) => gatedResidual(x, other, modulation, 2 * D),
    "a product": ({ x, other: residual, vector: bias }, w) =>
      linear(x, w, { residual, bias, activation: "gelu" }),
    "a gated product": ({ x, ...gate }, w) => linear(x, w, { gate: { ...gate, at: 5, shift: 0.3 } }),
    "norms of heads, rotated": ({ x, gain, cos, sin }) => qkNorm(x, 4, gain, 1e-6, { cos, sin }),
  };

  it.each(Object.keys(OPERATIONS))("%s", async (name) => {
    const run = async (limits: { maxBindingBytes?: number }) => {
      const gpu = await testGpu(limits);
      const given = operands(gpu);
      const w = new Matrix(gpu, D, D, "f32", "w");
      w.upload(gpu, uniform(5, D * D));
      const replay = await record(gpu, name, () => OPERATIONS[name](given, w));
      await replay.run();
      const values = await readTensor(gpu, replay.outputs);
      const { length } = replay.dispatches;
      replay.dispose();
      w.release(gpu);
      for (const tensor of Object.values(given)) releaseTensor(gpu, tensor);
      return { values, dispatches: length };
    };
    const whole = await run({});
    const blocked = await run({ maxBindingBytes: 20_480 });
    expect(whole.dispatches).toBe(1);
    expect(blocked.dispatches).toBeGreaterThan(1);
    expect(blocked.values).toEqual(whole.values);
  });
});
