import { describe, expect, it } from "vitest";
import type { Activation } from "../../src/kernels/activations.ts";
import { attention } from "../../src/kernels/attention.ts";
import { conv3d } from "../../src/kernels/conv3d.ts";
import * as elementwise from "../../src/kernels/elementwise.ts";
import { toFlow } from "../../src/kernels/flow.ts";
import { groupNorm } from "../../src/kernels/group-norm.ts";
import { gru, packRecurrent } from "../../src/kernels/gru.ts";
import { historyPool, mixedWeights, foldPool, foldedSize } from "../../src/kernels/history-pool.ts";
import { linear } from "../../src/kernels/linear.ts";
import { meanTokens } from "../../src/kernels/mean-tokens.ts";
import { norm } from "../../src/kernels/norm.ts";
import { qkNorm } from "../../src/kernels/qk-norm.ts";
import { averagePool } from "../../src/kernels/resample.ts";
import { swiglu } from "../../src/kernels/swiglu.ts";
import { wideAttention } from "../../src/kernels/wide-attention.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import type { Shape, Tensor } from "../../src/tensor/tensor.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { compute, testGpu, upload } from "../support/gpu.ts";
import { uniform } from "../support/numbers.ts";

const ACTIVATIONS: readonly Activation[] = ["identity", "relu", "silu", "gelu", "geluTanh", "tanh", "mish"];
// As PyTorch, and processors, write it: with and without its sign bit.
const BOTH_NANS = new Float32Array(Uint32Array.of(0x7fc00000, 0xffc00000).buffer);

/** Uniform numbers of a shape with one NaN at `at`, the sign bit of which is set: the NaN that processors make. */
function withNaN(gpu: Gpu, shape: Shape, at: number, seed = 1): Tensor {
  const values = uniform(
    seed,
    shape.reduce((a, b) => a * b, 1),
  );
  values[at] = BOTH_NANS[1];
  return upload(gpu, shape, values);
}

/** Which rows of so many elements hold a NaN anywhere, and everywhere. */
const anyNaN = (values: Float32Array, width: number): boolean[] =>
  rowsOf(values, width).map((r) => r.some(Number.isNaN));
const allNaN = (values: Float32Array, width: number): boolean[] =>
  rowsOf(values, width).map((r) => r.every(Number.isNaN));
const rowsOf = (values: Float32Array, width: number): Float32Array[] =>
  Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));

function weight(gpu: Gpu, out: number, inner: number): Matrix {
  const w = new Matrix(gpu, out, inner, "f32", "w");
  w.upload(gpu, uniform(7, out * inner));
  return w;
}

describe("elementwise", () => {
  it.each(ACTIVATIONS)("%s of NaN is NaN", async (name) => {
    const gpu = await testGpu();
    const x = upload(gpu, [4], Float32Array.of(1, ...BOTH_NANS, -1));
    const y = await compute(gpu, () => elementwise.activation(x, name));
    expect([...y].map(Number.isNaN)).toEqual([false, true, true, false]);
  });

  it("relu of zeros, infinities and the smallest numbers is PyTorch's", async () => {
    const gpu = await testGpu();
    const x = Float32Array.of(-0, 0, -Infinity, Infinity, -1e-38, -3e38, 3e38);
    const t = upload(gpu, [x.length], x);
    const y = await compute(gpu, () => elementwise.activation(t, "relu"));
    // toEqual tells −0 from 0; torch.relu keeps −0 too.
    expect([...y]).toEqual([-0, 0, 0, Infinity, 0, 0, Math.fround(3e38)]);
  });

  it("clamp, standardize, gates and products", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [4], Float32Array.of(-9, ...BOTH_NANS, 9));
    const one = upload(gpu, [4], new Float32Array(4).fill(1));
    const pattern = [false, true, true, false];
    const { clamp, standardize, gatedGelu, sigmoidGate, gaussian, lerp } = elementwise;
    const operations: Record<string, () => Tensor> = {
      clamp: () => clamp(x, -1, 1),
      "standardize, values": () => standardize(x, one, one, 1e-6),
      "standardize, deviations": () => standardize(one, one, x, 1e-6),
      "gatedGelu, gates": () => gatedGelu(one, x),
      "sigmoidGate, gates": () => sigmoidGate(one, x),
      "gaussian, log variance": () => gaussian(one, x, one),
      lerp: () => lerp(x, one, 0.25),
    };
    for (const [name, body] of Object.entries(operations)) {
      expect([name, ...[...(await compute(gpu, body))].map(Number.isNaN)]).toEqual([name, ...pattern]);
    }
    expect([...(await compute(gpu, () => clamp(x, -1, 1)))]).toEqual([-1, Number.NaN, Number.NaN, 1]);
  });

  it("swiglu, from value and gate", async () => {
    const gpu = await testGpu();
    const u = withNaN(gpu, [3, 4], 1);
    const v = withNaN(gpu, [3, 4], 11);
    expect(anyNaN(await compute(gpu, () => swiglu(u)), 2)).toEqual([true, false, false]);
    expect(anyNaN(await compute(gpu, () => swiglu(v)), 2)).toEqual([false, false, true]);
  });

  it("a flow, from the prediction and from the time", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1, 2, 3], uniform(1, 6));
    const rowOf = upload(gpu, [2], Uint32Array.of(0, 1));
    const pred = upload(gpu, [1, 2, 3], uniform(2, 6));
    const times = upload(gpu, [2], Float32Array.of(0.5, BOTH_NANS[0]));
    const y = await compute(gpu, () => toFlow(pred, x, { times, rowOf }, 1e-3));
    expect(allNaN(y, 3)).toEqual([false, true]);
  });
});

describe.each(["quads", "tile", "naive", "shared64", "shared128", "split"])("linear, %s", (variant) => {
  it.each(ACTIVATIONS)("a NaN in x makes its row NaN, %s", async (activation) => {
    const gpu = await testGpu({ variants: { linear: variant } });
    const x = withNaN(gpu, [9, 20], 3 * 20 + 7);
    const y = await compute(gpu, () => linear(x, weight(gpu, 18, 20), { activation }));
    expect(allNaN(y, 18)).toEqual(Array.from({ length: 9 }, (_, row) => row === 3));
    expect(anyNaN(y, 18)).toEqual(allNaN(y, 18));
  });

  it("a NaN in the weight makes its column NaN", async () => {
    const gpu = await testGpu({ variants: { linear: variant } });
    const x = upload(gpu, [5, 20], uniform(1, 100));
    const w = weight(gpu, 18, 20);
    const values = uniform(7, 18 * 20);
    values[4 * 20 + 19] = Number.NaN;
    w.upload(gpu, values);
    const y = await compute(gpu, () => linear(x, w, { activation: "relu" }));
    expect([...y].map(Number.isNaN)).toEqual(Array.from({ length: 90 }, (_, i) => i % 18 === 4));
  });
});

describe.each(["quads", "tile", "flash", "naive"])("attention, %s", (variant) => {
  const [N, S, heads, d] = [7, 9, 2, 16];
  const run = async (options: { causal?: boolean }, nanAt: { q?: number; k?: number; v?: number }) => {
    const gpu = await testGpu({ variants: { attention: variant } });
    const make = (rows: number, at: number | undefined, seed: number): Tensor =>
      at === undefined
        ? upload(gpu, [1, rows, heads * d], uniform(seed, rows * heads * d))
        : withNaN(gpu, [1, rows, heads * d], at, seed);
    const [q, k, v] = [make(N, nanAt.q, 1), make(S, nanAt.k, 2), make(S, nanAt.v, 3)];
    const y = await compute(gpu, () =>
      attention({ tensor: q }, { tensor: k }, { tensor: v }, { heads, headDim: d, ...options }),
    );
    return { any: anyNaN(y, d), all: allNaN(y, d) };
  };
  const where = (seen: (i: number, h: number) => boolean): boolean[] =>
    Array.from({ length: N * heads }, (_, x) => seen(Math.floor(x / heads), x % heads));

  it("a NaN in a key makes every row of its head NaN", async () => {
    const { any, all } = await run({}, { k: (4 * heads + 1) * d + 3 });
    expect(all).toEqual(where((_, h) => h === 1));
    expect(any).toEqual(all);
  });

  it("rows that do not see the key stay as they are", async () => {
    const { any, all } = await run({ causal: true }, { k: (4 * heads + 1) * d + 3 });
    expect(all).toEqual(where((i, h) => h === 1 && i >= 4));
    expect(any).toEqual(all);
  });

  it("a NaN in a query makes its own row NaN", async () => {
    const { any, all } = await run({}, { q: 2 * heads * d + 5 });
    expect(all).toEqual(where((i, h) => h === 0 && i === 2));
    expect(any).toEqual(all);
  });

  it("a NaN in a value makes its channel NaN", async () => {
    const { any, all } = await run({}, { v: (8 * heads + 1) * d + 3 });
    expect(any).toEqual(where((_, h) => h === 1));
    expect(all).toEqual(where(() => false));
  });
});

describe("norms and means", () => {
  it.each(["layer", "rms", "l2"] as const)("%s: the whole row", async (kind) => {
    const gpu = await testGpu();
    for (const dim of [6, 64, 700]) {
      const x = withNaN(gpu, [3, dim], dim + 5);
      const y = await compute(gpu, () => norm(x, { kind, epsilon: 1e-6 }));
      expect([allNaN(y, dim), anyNaN(y, dim)]).toEqual([
        [false, true, false],
        [false, true, false],
      ]);
    }
  });

  it("group norm, relu behind it", async () => {
    const gpu = await testGpu();
    const x = withNaN(gpu, [2, 1200], 700);
    const gains = upload(gpu, [3], uniform(2, 3));
    const options = { weight: gains, bias: gains, epsilon: 1e-6, activation: "relu" } as const;
    const y = await compute(gpu, () => groupNorm(x, options));
    expect([allNaN(y, 1200), anyNaN(y, 1200)]).toEqual([
      [true, false],
      [true, false],
    ]);
  });

  it("qkNorm: the whole head", async () => {
    const gpu = await testGpu();
    const x = withNaN(gpu, [1, 2, 12], 7);
    const gain = upload(gpu, [6], uniform(2, 6));
    const y = await compute(gpu, () => qkNorm(x, 2, gain, 1e-6));
    expect(allNaN(y, 6)).toEqual([false, true, false, false]);
  });

  it("the mean of tokens, and of blocks of pixels", async () => {
    const gpu = await testGpu();
    const x = withNaN(gpu, [1, 4, 3], 4);
    expect(await compute(gpu, () => meanTokens(x)).then((y) => [...y].map(Number.isNaN))).toEqual([
      false,
      true,
      false,
    ]);
    const pixels = withNaN(gpu, [1, 1, 2, 4, 1], 7);
    const pooled = await compute(gpu, () => averagePool(pixels, [1, 2, 2]));
    expect([...pooled].map(Number.isNaN)).toEqual([false, true]);
  });
});

it.each([false, true])("wide attention, causal %s", async (causal) => {
  const gpu = await testGpu();
  const [N, C] = [5, 66];
  const q = upload(gpu, [1, N, C], uniform(1, N * C));
  const k = withNaN(gpu, [1, N, C], 2 * C + 1);
  const v = upload(gpu, [1, N, C], uniform(3, N * C));
  const y = await compute(gpu, () =>
    wideAttention({ tensor: q }, { tensor: k }, { tensor: v }, C, { causal }),
  );
  expect(allNaN(y, C)).toEqual([!causal, !causal, true, true, true]);
  expect(anyNaN(y, C)).toEqual(allNaN(y, C));
});

it.each(["quads", "tile", "naive"])("conv3d, %s: every pixel that sees it", async (variant) => {
  const gpu = await testGpu({ variants: { conv3d: variant } });
  const x = withNaN(gpu, [1, 1, 1, 6, 5], 2 * 5 + 1);
  const w = weight(gpu, 3, 3 * 8);
  const y = await compute(gpu, () => conv3d(x, w, { kernel: [1, 1, 3], padding: { left: 1, right: 1 } }));
  expect(allNaN(y, 3)).toEqual([false, true, true, true, false, false]);
});

it.each(["fused", "naive"])("gru, %s: all later tokens", async (variant) => {
  const gpu = await testGpu({ variants: { gru: variant } });
  const dim = 6;
  const u = upload(gpu, [1, 4, dim], uniform(1, 4 * dim));
  const a = withNaN(gpu, [1, 4, 3 * dim], 3 * dim + 2 * dim + 1);
  const weights = {
    recurrent: upload(gpu, [dim, 3, 2, 4], packRecurrent(uniform(3, 3 * dim * dim), dim)),
    bias: upload(gpu, [3 * dim], uniform(4, 3 * dim)),
  };
  const into = upload(gpu, [1, 4, dim], new Float32Array(4 * dim));
  const y = await compute(gpu, () => {
    gru(u, a, weights, undefined, { tensor: into, tokens: 4, first: 0 });
    return elementwise.affine(into, 1);
  });
  expect(anyNaN(y, dim)).toEqual([false, true, true, true]);
  expect(allNaN(y, dim)).toEqual([false, false, true, true]);
});

it.each(["mixed", "fused"] as const)(
  "history pool, %s: the token whose history holds it",
  async (variant) => {
    const gpu = await testGpu({ variants: { historyPool: variant } });
    const [dim, heads, headDim] = [8, 2, 4];
    const shape = { dim, heads, headDim };
    const raw = {
      query: uniform(1, dim),
      gain: uniform(2, dim),
      queries: uniform(3, heads * headDim * dim),
      keysValues: uniform(4, 4 * headDim * dim),
      out: uniform(5, dim * heads * headDim),
    };
    const history = withNaN(gpu, [3, 1, 4, dim], (1 * 4 + 2) * dim + 3);
    const matrix = (values: Float32Array, out: number, inner: number): Matrix => {
      const w = new Matrix(gpu, out, inner, "f32", "w");
      w.upload(gpu, values);
      return w;
    };
    const { u, values, outs } = mixedWeights(raw, shape);
    const weights =
      variant === "fused"
        ? { kind: "fused" as const, folded: upload(gpu, [foldedSize(shape)], foldPool(raw, shape)) }
        : {
            kind: "mixed" as const,
            u: upload(gpu, [dim, 1, 4], u),
            values: values.map((v) => matrix(v, headDim, dim)),
            outs: outs.map((o) => matrix(o, dim, (heads / 2) * headDim)),
          };
    const table = upload(gpu, [1, 2 * dim], uniform(6, 2 * dim));
    const rowOf = upload(gpu, [4], new Uint32Array(4));
    const at = { scale: 0, shift: dim };
    const l2 = { kind: "l2", epsilon: 1e-6, modulation: { table, rowOf }, at } as const;
    const y = await compute(gpu, () => historyPool(history, 3, weights, shape, { norm: l2 }));
    expect(allNaN(y, dim)).toEqual([false, false, true, false]);
    expect(anyNaN(y, dim)).toEqual(allNaN(y, dim));
  },
);
