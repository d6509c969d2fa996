/** Attention as several dispatches: the values of one, where bindings, dispatches and keys are split. */
import { describe, expect, it } from "vitest";
import { attention } from "../../src/kernels/attention.ts";
import { type AttentionShape, attentionReference } from "../../src/kernels/attention.reference.ts";
import { toHalf } from "../../src/kernels/half.ts";
import { record } from "../../src/gpu/recording.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, toFloat16, uniform } from "../support/numbers.ts";

const VARIANTS = ["quads", "tile", "flash", "naive", "split", "splitTile"];

interface Case extends AttentionShape {
  readonly gated?: boolean;
}

const base: Case = { batch: 2, queries: 37, keys: 53, heads: 4, keyValueHeads: 4, headDim: 8 };
const mask = (n: number) => Uint32Array.from({ length: n }, (_, i) => Number(i % 5 !== 1));

/** With bytes of a binding, of which neither queries nor keys nor values have room for all items. */
const CASES: [string, Case, number?][] = [
  ["two items", base],
  ["rows that begin at no multiple of 256 bytes", { ...base, heads: 3, keyValueHeads: 3 }],
  [
    "heads of an odd width",
    { ...base, heads: 5, keyValueHeads: 5, headDim: 7, queries: 70, keys: 67 },
    16384,
  ],
  ["masked and biased", { ...base, mask: mask(106), relativeBias: uniform(9, 89 * 4) }],
  ["causal, grouped heads", { ...base, queries: 53, causal: true, keyValueHeads: 2 }],
  ["gated heads", { ...base, gated: true }],
  ["few queries, many keys", { ...base, queries: 3, keys: 300, headDim: 16 }, 32768],
];

/** One call on a device of small bindings or short dispatches, and how many dispatches it took. */
async function run(
  variant: string,
  shape: Case,
  limits: { maxBindingBytes?: number; dispatchFlops?: number },
) {
  const gpu = await testGpu({ variants: { attention: variant }, ...limits });
  const { batch: B, queries: N, keys: S, heads, keyValueHeads: G, headDim: d, gated } = shape;
  const width = heads * d + (gated ? heads : 0);
  const [rows, k, v] = [uniform(1, B * N * width), uniform(2, B * S * G * d), uniform(3, B * S * G * d)];
  const columns = (from: number, to: number) =>
    Array.from({ length: B * N }, (_, i) => [...rows.subarray(i * width + from, i * width + to)]).flat();
  const truth = attentionReference(columns(0, heads * d), k, v, {
    ...shape,
    gate: gated ? columns(heads * d, width) : undefined,
  });
  const tensors = [
    upload(gpu, [B, N, width], rows),
    upload(gpu, [B, S, G * d], k),
    upload(gpu, [B, S, G * d], v),
  ];
  const extra = {
    mask: shape.mask && upload(gpu, [B, S], Uint32Array.from(shape.mask)),
    relativeBias:
      shape.relativeBias && upload(gpu, [N + S - 1, heads], Float32Array.from(shape.relativeBias)),
  };
  const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
  const replay = await record(gpu, "test", () =>
    attention(tq, tk, tv, { ...shape, ...extra, gateAt: gated ? heads * d : undefined }),
  );
  await replay.run();
  const error = relativeError(await readTensor(gpu, replay.outputs), truth);
  const dispatches = replay.dispatches.map(({ program }) => program.name);
  replay.dispose();
  release(gpu, ...tensors, ...Object.values(extra).filter((tensor) => tensor !== undefined));
  return { error, dispatches };
}

describe.each(VARIANTS)("attention in blocks, %s", (variant) => {
  it.each(CASES)("of small bindings: %s", async (_, shape, maxBindingBytes = 3584) => {
    const { error, dispatches } = await run(variant, shape, { maxBindingBytes });
    expect(error).toBeLessThan(5e-7);
    expect(dispatches.length).toBeGreaterThan(3);
  });

  it.each(CASES)("of short dispatches: %s", async (_, shape) => {
    const { error, dispatches } = await run(variant, shape, { dispatchFlops: 4 * 32 * 53 * 20 });
    expect(error).toBeLessThan(5e-7);
    expect(dispatches.length).toBeGreaterThan(1);
  });

  it("is one dispatch where everything fits", async () => {
    const { dispatches } = await run(variant, base, {});
    expect(dispatches).toEqual([`attention ${variant}`]);
  });
});

it.each(["split", "splitTile"])("shares many keys out among workgroups, %s", async (variant) => {
  const shape = { ...base, queries: 5, keys: 2100 };
  const { error, dispatches } = await run(variant, shape, {});
  expect(error).toBeLessThan(5e-7);
  expect(dispatches).toEqual([`attention ${variant}`, "attention combine"]);
});

describe.each(VARIANTS)("keys and values in half precision, %s", (variant) => {
  it.each([
    [1, 5, 300, 2, 16],
    [2, 33, 41, 3, 8],
    [2, 9, 13, 2, 7],
    [1, 66, 70, 1, 132],
  ])("batch %i, %i queries, %i keys, %i heads of %i", async (B, N, S, heads, d) => {
    const width = heads * d;
    const [q, k, v] = [uniform(1, B * N * width), uniform(2, B * S * width), uniform(3, B * S * width)];
    for (const maxBindingBytes of [undefined, 34 * 4 * width]) {
      const gpu = await testGpu({ variants: { attention: variant }, maxBindingBytes });
      const [tq, tk, tv] = [
        upload(gpu, [B, N, width], q),
        upload(gpu, [B, S, width], k),
        upload(gpu, [B, S, width], v),
      ];
      const halves = { heads, headDim: d };
      const replay = await record(gpu, "test", () =>
        attention({ tensor: tq }, { tensor: toHalf(tk) }, { tensor: toHalf(tv) }, halves),
      );
      await replay.run();
      const rounded = (x: Float32Array) => Array.from(x, toFloat16);
      const truth = attentionReference(q, rounded(k), rounded(v), {
        ...{ batch: B, queries: N, keys: S, heads, keyValueHeads: heads, headDim: d },
      });
      expect(relativeError(await readTensor(gpu, replay.outputs), truth)).toBeLessThan(5e-7);
      replay.dispose();
      release(gpu, tq, tk, tv);
    }
  });
});

describe("toHalf", () => {
  it("keeps what float16 has, bounds what it has not, and lets NaN be", async () => {
    const values = Float32Array.of(0, 1, -2.5, 65504, 65519, 1e6, -1e30, Infinity, -Infinity, NaN, 2 ** -24);
    const bits = [
      ...[0, 0x3c00, 0xc100, 0x7bff, 0x7bff, 0x7bff, 0xfbff, 0x7bff, 0xfbff, 0x7e00, 0x0001],
      // The word that the last half shares with none.
      0,
    ];
    const gpu = await testGpu();
    const x = upload(gpu, [1, values.length], values);
    const replay = await record(gpu, "half", () => toHalf(x));
    await replay.run();
    const { storage } = replay.outputs;
    const stored = new Uint16Array(await gpu.readBytes(storage.buffer!, 2 * bits.length, "halves"));
    expect([...stored]).toEqual(bits);
    replay.dispose();
    release(gpu, x);
  });
});
