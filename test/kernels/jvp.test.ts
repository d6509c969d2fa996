/** What `jvp` promises besides its rules: known zeros, views, writing in place, what is refused, and that nothing changes outside. */
import { readdir, readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { countingGpu } from "../../src/gpu/counting.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { attention } from "../../src/kernels/attention.ts";
import { centreRows } from "../../src/kernels/centre-rows.ts";
import { changes } from "../../src/kernels/changes.ts";
import { combine } from "../../src/kernels/combine.ts";
import { conv1d } from "../../src/kernels/conv1d.ts";
import { convTranspose1d } from "../../src/kernels/conv-transpose1d.ts";
import { assign, permute } from "../../src/kernels/copy.ts";
import { activation, add, affine, multiply } from "../../src/kernels/elementwise.ts";
import { advance } from "../../src/kernels/flow.ts";
import { gatedResidual } from "../../src/kernels/gated-residual.ts";
import { gram } from "../../src/kernels/gram.ts";
import { groupNorm } from "../../src/kernels/group-norm.ts";
import { haar, inverseHaar } from "../../src/kernels/haar.ts";
import { toHalf } from "../../src/kernels/half.ts";
import { jvp, type Moved, tangentOf } from "../../src/kernels/jvp.ts";
import { linear } from "../../src/kernels/linear.ts";
import { maxPool } from "../../src/kernels/max-pool.ts";
import { modulatedNorm, norm } from "../../src/kernels/norm.ts";
import { pairProducts } from "../../src/kernels/pair-products.ts";
import { qkNorm } from "../../src/kernels/qk-norm.ts";
import { averagePool } from "../../src/kernels/resample.ts";
import { spatialSoftmax } from "../../src/kernels/spatial-softmax.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import {
  constant,
  createTensor,
  readTensor,
  releaseTensor,
  result,
  rowsOf,
  type Tensor,
} from "../../src/tensor/tensor.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";
import { matrix } from "../support/rules.ts";

/** A value and its tangent, read. */
async function derivative<T extends Readonly<Record<string, Tensor>>>(
  gpu: Gpu,
  body: () => T,
  moved: readonly Moved[],
): Promise<{ value: Record<keyof T, Float32Array>; tangent: Record<keyof T, Float32Array> }> {
  const replay = await record(gpu, "test", () => jvp(body, moved));
  await replay.run();
  const read = async (of: T): Promise<Record<keyof T, Float32Array>> => {
    const names = Object.keys(of) as (keyof T)[];
    const all: [keyof T, Float32Array][] = [];
    for (const name of names) all.push([name, await readTensor(gpu, of[name])]);
    return Object.fromEntries(all) as Record<keyof T, Float32Array>;
  };
  const { value, tangent } = replay.outputs;
  const values = { value: await read(value), tangent: await read(tangent) };
  replay.dispose();
  return values;
}

describe("tangents", () => {
  it("of what does not depend are zeros, and belong to storages, whatever the view", async () => {
    const gpu = await testGpu();
    const [x, dx, c] = [1, 2, 3].map((seed) => upload(gpu, [64, 2], uniform(seed, 128)));
    const { value, tangent } = await derivative(gpu, () => {
      const y = affine(x, 2);
      return {
        still: affine(c, 3),
        given: c,
        late: rowsOf(y, 32, 64),
        square: multiply(y, y).reshape(2, 64),
      };
    }, [[x, dx]]);
    const direction = await readTensor(gpu, dx);
    expect(tangent.still.every((v) => v === 0)).toBe(true);
    expect(tangent.given.every((v) => v === 0)).toBe(true);
    expect(
      relativeError(
        tangent.late,
        direction.subarray(64).map((v) => 2 * v),
      ),
    ).toBeLessThan(1e-7);
    const at = await readTensor(gpu, x);
    expect(
      relativeError(
        tangent.square,
        direction.map((v, i) => 8 * at[i] * v),
      ),
    ).toBeLessThan(1e-6);
    expect(value.square.length).toBe(128);
    release(gpu, x, dx, c);
  });

  it("follow what is written in place, and leave what they were given alone", async () => {
    const gpu = await testGpu();
    const [x, dx, c] = [4, 5, 6].map((seed) => upload(gpu, [8], uniform(seed, 8)));
    const [before, still] = [await readTensor(gpu, x), await readTensor(gpu, c)];
    const direction = await readTensor(gpu, dx);
    const { tangent } = await derivative(gpu, () => {
      const kept = affine(x, 3);
      const same = add(kept, c); // its tangent is the one of `kept`
      assign(kept, c);
      const constantNow = affine(kept, 5);
      assign(x, same);
      return { same, kept, constantNow, x: affine(x, 1) };
    }, [[x, dx]]);
    const thrice = direction.map((v) => 3 * v);
    expect(relativeError(tangent.same, thrice)).toBeLessThan(1e-7);
    expect(tangent.kept.every((v) => v === 0)).toBe(true);
    expect(tangent.constantNow.every((v) => v === 0)).toBe(true);
    expect(relativeError(tangent.x, thrice)).toBeLessThan(1e-7);
    expect(await readTensor(gpu, dx)).toEqual(direction);
    expect(
      relativeError(
        await readTensor(gpu, x),
        before.map((v, i) => 3 * v + still[i]),
      ),
    ).toBeLessThan(1e-6);
    release(gpu, x, dx, c);
  });

  it("of rows written into a larger tensor stand in those rows", async () => {
    const gpu = await testGpu();
    const [x, dx] = [uniform(7, 12), uniform(8, 12)];
    const t = [upload(gpu, [3, 4], x), upload(gpu, [3, 4], dx)];
    const w = uniform(9, 16);
    const { tangent } = await derivative(gpu, () => {
      const history = result([2, 3, 4], "history");
      assign(history, constant([24], uniform(1, 24)));
      const weight = matrix(gpu, 4, 4, w);
      linear(t[0], weight, { into: { tensor: history, firstRow: 3 } });
      const table = constant([1, 4], Float32Array.of(1, 2, 3, 4));
      const gated = result([3, 4], "gated");
      gatedResidual(t[0], t[0], { table, rowOf: constant([3], new Uint32Array(3)) }, 0, gated);
      return { history, gated };
    }, [[t[0], t[1]]]);
    const expected = Float64Array.from({ length: 24 }, (_, i) => {
      const [row, o] = [Math.floor(i / 4) - 3, i % 4];
      if (row < 0) return 0;
      return [0, 1, 2, 3].reduce((sum, k) => sum + w[o * 4 + k] * dx[row * 4 + k], 0);
    });
    expect(relativeError(tangent.history, expected)).toBeLessThan(1e-6);
    expect(
      relativeError(
        tangent.gated,
        dx.map((v, i) => v * (2 + (i % 4))),
      ),
    ).toBeLessThan(1e-6);
    release(gpu, ...t);
  });

  it("are linear in the direction", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [4, 6], uniform(1, 24));
    const [a, b] = [uniform(2, 24), uniform(3, 24)];
    const along = async (direction: Float32Array) => {
      const dx = upload(gpu, [4, 6], direction);
      const { tangent } = await derivative(
        gpu,
        () => ({ y: activation(norm(x, { kind: "layer", epsilon: 1e-5 }), "silu") }),
        [[x, dx]],
      );
      releaseTensor(gpu, dx);
      return tangent.y;
    };
    const [one, other] = [await along(a), await along(b)];
    const sum = await along(a.map((v, i) => 2 * v - b[i]));
    expect(
      relativeError(
        sum,
        one.map((v, i) => 2 * v - other[i]),
      ),
    ).toBeLessThan(1e-6);
    release(gpu, x);
  });

  it("are the same in row blocks", async () => {
    const rows = 150;
    const values = [1, 2, 3, 4].map((seed) => uniform(seed, rows * 64));
    const tables = [5, 6].map((seed) => uniform(seed, 3 * 128));
    const all = async (gpu: Gpu): Promise<Record<string, Float32Array>> => {
      const [x, dx, y, dy] = values.map((v) => upload(gpu, [2, rows / 2, 64], v));
      const [table, dTable] = tables.map((v) => upload(gpu, [3, 128], v));
      const rowOf = upload(
        gpu,
        [rows],
        Uint32Array.from({ length: rows }, (_, i) => i % 3),
      );
      const vector = upload(gpu, [64], uniform(7, 64));
      const weight = new Matrix(gpu, 64, 64, "f32", "weight");
      weight.upload(gpu, uniform(8, 64 * 64));
      const { tangent } = await derivative(gpu, () => {
        const told = { table, rowOf };
        return {
          product: multiply(x, y),
          repeated: multiply(x, vector),
          norm: modulatedNorm(x, "layer", 1e-5, told, { scale: 0, shift: 64 }),
          gated: gatedResidual(x, y, told, 64),
          linear: linear(x, weight, { activation: "gelu" }),
          heads: qkNorm(x, 4, constant([16], uniform(9, 16)), 1e-5),
        };
      }, [
        [x, dx],
        [y, dy],
        [table, dTable],
      ]);
      weight.release(gpu);
      release(gpu, x, dx, y, dy, table, dTable, rowOf, vector);
      return tangent;
    };
    const whole = await all(await testGpu());
    const parts = await all(await testGpu({ maxBindingBytes: 128 * 64 * 4 }));
    for (const [name, tangent] of Object.entries(whole)) expect(parts[name], name).toEqual(tangent);
  });
});

describe("outside of a derivative", () => {
  it("the same is recorded as ever, and inside, f16 is not used", async () => {
    const gpu = await countingGpu({
      ...{
        features: new Set(["shader-f16"]),
        limits: { maxComputeWorkgroupStorageSize: 32768 },
        software: false,
        arithmetic: "f16",
      },
    });
    const [x, dx] = [createTensor(gpu, [1, 300, 64]), createTensor(gpu, [1, 300, 64])];
    const weight = new Matrix(gpu, 64, 64, "f32", "weight");
    weight.upload(gpu, new Float32Array(4096));
    const body = (): Tensor => {
      const y = { tensor: linear(x, weight, { activation: "silu" }) };
      return add(attention(y, y, y, { heads: 2, headDim: 32 }), x);
    };
    const plain = await record(gpu, "plain", body);
    const moved = await record(gpu, "moved", () => jvp(body, [[x, dx]]));
    const after = await record(gpu, "after", body);
    const names = (replay: typeof plain | typeof moved) =>
      replay.dispatches.map(({ program }) => program.name);
    expect(names(plain)).toEqual(["linear shared64F16", "attention flashF16", "add"]);
    expect(names(after)).toEqual(names(plain));
    expect(names(moved)).toEqual([
      ...["linear shared64", "linear shared64", "silu and tangent"],
      ...["attention and tangent, tile", "add and tangent"],
    ]);
    expect(moved.flops).toBe(2 * (2 * 300 * 64 * 64) + 3 * (4 * 300 * 300 * 64));
  });
});

describe("refused", () => {
  const moving = async (body: (x: Tensor, gpu: Gpu) => unknown, shape: readonly number[]) => {
    const gpu = await testGpu();
    const size = shape.reduce((a, b) => a * b, 1);
    const [x, dx] = [upload(gpu, shape, uniform(1, size)), upload(gpu, shape, uniform(2, size))];
    try {
      await record(gpu, "test", () => jvp(() => body(x, gpu), [[x, dx]]));
    } finally {
      release(gpu, x, dx);
    }
  };
  const ids = (...values: number[]): Tensor => constant([values.length], Uint32Array.from(values));

  it.each<[string, readonly number[], (x: Tensor, gpu: Gpu) => unknown, RegExp?]>([
    [
      "groupNorm",
      [2, 8],
      (x) =>
        groupNorm(x, {
          weight: constant([8], uniform(1, 8)),
          bias: constant([8], uniform(1, 8)),
          epsilon: 1,
        }),
    ],
    ["gram", [1, 2, 4], gram],
    ["haar", [1, 2, 2, 2, 1], (x) => haar(x)],
    ["inverseHaar", [1, 1, 1, 1, 8], (x) => inverseHaar(x)],
    ["half", [4], (x) => toHalf(x)],
    ["maxPool", [1, 4, 4, 1], (x) => maxPool(x, { taps: 2, stride: 2, padding: 0 }), /max pool/],
    [
      "pairProducts",
      [2, 1, 2, 2],
      (x) => pairProducts(x, ids(0, 1).reshape(1, 2), ids(0, 1).reshape(1, 2)),
      /pair/i,
    ],
    ["averagePool", [1, 2, 2, 2, 1], (x) => averagePool(x, [1, 2, 2])],
    ["spatial softmax", [1, 4, 2], (x) => spatialSoftmax(x, constant([4, 2], uniform(1, 8)))],
    ["conv1d", [1, 4, 4], (x, gpu) => conv1d(x, matrix(gpu, 2, 12, uniform(1, 24)), { taps: 3 }), /unfold/],
    [
      "conv transpose 1d",
      [1, 4, 4],
      (x, gpu) => convTranspose1d(x, matrix(gpu, 6, 4, uniform(1, 24)), { taps: 3 }),
    ],
    ["changes", [2, 1, 4], changes],
    ["centre rows", [1, 2, 4], centreRows],
    ["combine", [4], (x) => combine([x], constant([1], Float32Array.of(2)))],
    [
      "advance",
      [1, 2, 2],
      (x) => {
        const at = { times: constant([1], Float32Array.of(0)), rowOf: ids(0, 0) };
        const trace = {
          step: ids(0),
          iterates: result([2, 1, 2, 2], "i"),
          oneJump: result([1, 1, 2, 2], "j"),
        };
        advance(x, constant([1, 2, 2], uniform(1, 4)), at, 1, 0, trace);
      },
    ],
    [
      "a gain that moves",
      [8],
      (x) => norm(constant([2, 8], uniform(1, 16)), { kind: "rms", epsilon: 1, weight: x }),
      /norm.*no rule/,
    ],
    [
      "attention with a memory",
      [1, 2, 8],
      (x) => {
        const kv = { tensor: constant([1, 2, 8], uniform(1, 16)) };
        const memory = constant([1, 2, 8], uniform(2, 16));
        return attention({ tensor: x }, kv, { ...kv, offset: 4 }, { heads: 1, headDim: 4, memory });
      },
      /no rule for the tangent of a call with a memory/,
    ],
  ])("%s", async (name, shape, body, message = new RegExp(`${name}.*carries a tangent.*no rule`)) => {
    const attempt = moving(body, shape);
    await expect(attempt).rejects.toThrow(UsageError);
    await expect(attempt).rejects.toThrow(message);
  });

  it("a derivative inside of one, a direction of another shape, part of a tensor, one given twice", async () => {
    const gpu = await testGpu();
    const [x, dx, ids32] = [
      upload(gpu, [64, 2], uniform(1, 128)),
      upload(gpu, [64, 2], uniform(2, 128)),
      upload(gpu, [64, 2], new Uint32Array(128)),
    ];
    const attempt = (moved: readonly Moved[], body: () => unknown = () => affine(x, 2)) =>
      record(gpu, "test", () => jvp(body, moved));
    await expect(attempt([[x, dx]], () => jvp(() => x, []))).rejects.toThrow(/inside of another/);
    await expect(attempt([[x, dx.reshape(128)]])).rejects.toThrow(/its tangent \(128\)/);
    await expect(attempt([[rowsOf(x, 32, 64), rowsOf(dx, 32, 64)]])).rejects.toThrow(/256 of 512 bytes/);
    await expect(
      attempt([
        [x, dx],
        [x, dx],
      ]),
    ).rejects.toThrow(/given once/);
    await expect(attempt([[x, ids32]])).rejects.toThrow(/of u32/);
    // A failed one leaves nothing behind.
    const replay = await record(gpu, "test", () => ({ y: affine(x, 2), dot: tangentOf(x) }));
    expect(replay.outputs.dot).toBeUndefined();
    replay.dispose();
    release(gpu, x, dx, ids32);
  });

  it("and whatever file declares a kernel has a rule or is refused here", async () => {
    const refused =
      /^(changes|centre-rows|combine|conv-transpose1d|gram|group-norm|haar|half|max-pool|pair-products|resample|spatial-softmax|unfold)\.ts$/;
    // Parts of operations: their rules stand in the file of the operation.
    const parts = /^(kernel|jvp|norm-tangent|channel-group-norm-tangent)\.ts$/;
    const unknown: string[] = [];
    for (const name of await readdir("src/kernels")) {
      if (!name.endsWith(".ts") || refused.test(name) || parts.test(name)) continue;
      const text = await readFile(`src/kernels/${name}`, "utf8");
      if (/\bkernel\(\{/.test(text) && !text.includes('from "./jvp.ts"')) unknown.push(name);
    }
    expect(unknown).toEqual([]);
  });
});

it("permuted twice is as it was", async () => {
  const gpu = await testGpu();
  const [x, dx] = [upload(gpu, [2, 3, 4], uniform(1, 24)), upload(gpu, [2, 3, 4], uniform(2, 24))];
  const { tangent } = await derivative(gpu, () => ({ y: permute(permute(x, 2, 0, 1), 1, 2, 0) }), [[x, dx]]);
  expect(tangent.y).toEqual(await readTensor(gpu, dx));
  release(gpu, x, dx);
});
