import { describe, expect, it } from "vitest";
import { attention } from "../../src/kernels/attention.ts";
import { type AttentionShape, attentionReference } from "../../src/kernels/attention.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const base = { batch: 2, queries: 9, keys: 13, heads: 4, keyValueHeads: 2, headDim: 8 };
const mask = Uint32Array.from({ length: 26 }, (_, i) => (i < 13 ? Number(i % 3 !== 0) : 0));
const longMask = Uint32Array.from({ length: 260 }, (_, i) => Number(i % 7 !== 0));

const CASES: [string, AttentionShape][] = [
  ["grouped heads", base],
  ["one token, one key", { ...base, batch: 1, queries: 1, keys: 1, heads: 1, keyValueHeads: 1 }],
  ["head width 12, six heads", { ...base, heads: 6, keyValueHeads: 6, headDim: 12 }],
  ["head width 6, not a multiple of four", { ...base, headDim: 6 }],
  ["head width 70, split outputs", { ...base, heads: 1, keyValueHeads: 1, headDim: 70 }],
  ["head width 128", { ...base, queries: 5, headDim: 128 }],
  ["mask, one row fully hidden", { ...base, mask }],
  ["causal", { ...base, queries: 13, causal: true }],
  ["relative bias, no scale", { ...base, scale: 1, relativeBias: uniform(4, 21 * 4) }],
  ["large logits", { ...base, scale: 60 }],
  [
    "everything at once",
    {
      ...{ batch: 2, queries: 67, keys: 130, heads: 2, keyValueHeads: 1, headDim: 20 },
      ...{ mask: longMask, causal: true, relativeBias: uniform(5, 196 * 2, 3) },
    },
  ],
  ["whole tiles", { ...base, batch: 1, queries: 64, keys: 32, headDim: 16 }],
  ["several tiles of queries and keys", { ...base, batch: 1, queries: 70, keys: 150, heads: 2, headDim: 32 }],
  ["head width 80, masked, several tiles", { ...base, queries: 3, keys: 130, headDim: 80, mask: longMask }],
  [
    "head width 132, split outputs",
    { ...base, queries: 66, keys: 65, heads: 1, keyValueHeads: 1, headDim: 132 },
  ],
];

describe.each(["quads", "tile", "flash", "naive", "split", "splitTile"])("attention, %s", (variant) => {
  it.each(CASES)("%s", async (_, shape) => {
    const gpu = await testGpu({ variants: { attention: variant } });
    const { batch: B, queries: N, keys: S, heads, keyValueHeads: G, headDim: d } = shape;
    const q = uniform(1, B * N * heads * d);
    const k = uniform(2, B * S * G * d);
    const v = uniform(3, B * S * G * d);
    const tensors = [
      upload(gpu, [B, N, heads * d], q),
      upload(gpu, [B, S, G * d], k),
      upload(gpu, [B, S, G * d], v),
    ];
    const extra = {
      mask: shape.mask && upload(gpu, [B, S], Uint32Array.from(shape.mask)),
      relativeBias:
        shape.relativeBias && upload(gpu, [N + S - 1, heads], Float32Array.from(shape.relativeBias)),
    };
    const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
    const out = await compute(gpu, () => attention(tq, tk, tv, { ...shape, ...extra }));
    expect(relativeError(out, attentionReference(q, k, v, shape))).toBeLessThan(
      shape.scale === 60 ? 3e-6 : 5e-7,
    );
    release(gpu, ...tensors);
  });

  it("sees every key", async () => {
    const gpu = await testGpu({ variants: { attention: variant } });
    const [S, d] = [37, 8];
    const [q, k, v] = [uniform(1, d), uniform(2, S * d), uniform(3, S * d)];
    const run = async (keys: Float32Array<ArrayBuffer>): Promise<Float32Array> => {
      const t = [upload(gpu, [1, 1, d], q), upload(gpu, [1, S, d], keys), upload(gpu, [1, S, d], v)];
      const [tq, tk, tv] = t.map((tensor) => ({ tensor }));
      const out = await compute(gpu, () => attention(tq, tk, tv, { heads: 1, headDim: d }));
      release(gpu, ...t);
      return out;
    };
    const before = await run(k);
    for (let j = 0; j < S; j++) {
      const changed = k.slice();
      for (let c = 0; c < d; c++) changed[j * d + c] += 0.5;
      expect(relativeError(await run(changed), before), `key ${j}`).toBeGreaterThan(1e-4);
    }
  });

  it.each([
    [2, 5, 7, 20, 2, 8, false],
    [1, 16, 130, 300, 2, 32, false],
    [3, 9, 1, 4, 1, 6, false],
    [2, 33, 70, 90, 2, 16, true],
  ])(
    "takes the first rows as keys: batch %i, %i queries, %i keys in room for %i, %i heads, width %i, mask %s",
    async (B, N, S, room, heads, d, masked) => {
      const gpu = await testGpu({ variants: { attention: variant } });
      const [q, k, v] = [
        uniform(1, B * N * heads * d),
        uniform(2, B * room * heads * d),
        uniform(3, B * room * heads * d),
      ];
      const hidden = Uint32Array.from({ length: B * room }, (_, i) => Number(i % 5 !== 0));
      const firsts = <T extends Float32Array | Uint32Array>(x: T, width: number): number[] =>
        Array.from({ length: B }, (_, b) => [...x.subarray(b * room * width, (b * room + S) * width)]).flat();
      const tensors = [
        upload(gpu, [B, N, heads * d], q),
        upload(gpu, [B, room, heads * d], k),
        upload(gpu, [B, room, heads * d], v),
      ];
      const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
      const mask = masked ? upload(gpu, [B, room], hidden) : undefined;
      const out = await compute(gpu, () => attention(tq, tk, tv, { heads, headDim: d, keys: S, mask }));
      const shape = { batch: B, queries: N, keys: S, heads, keyValueHeads: heads, headDim: d };
      const truth = attentionReference(q, firsts(k, heads * d), firsts(v, heads * d), {
        ...shape,
        mask: masked ? firsts(hidden, 1) : undefined,
      });
      expect(relativeError(out, truth)).toBeLessThan(5e-7);
      await expect(
        compute(gpu, () => attention(tq, tk, tv, { heads, headDim: d, keys: room + 1 })),
      ).rejects.toThrow(/keys of/);
      release(gpu, ...tensors);
    },
  );

  it("reads slices of a packed projection", async () => {
    const gpu = await testGpu({ variants: { attention: variant } });
    const [N, d] = [6, 4];
    const packed = uniform(1, N * 3 * d);
    const part = (at: number) =>
      Float32Array.from({ length: N * d }, (_, i) => packed[Math.floor(i / d) * 3 * d + at + (i % d)]);
    const qkv = upload(gpu, [1, N, 3 * d], packed);
    const slice = (offset: number) => ({ tensor: qkv, offset });
    const out = await compute(gpu, () =>
      attention(slice(0), slice(d), slice(2 * d), { heads: 1, headDim: d }),
    );
    const shape = { batch: 1, queries: N, keys: N, heads: 1, keyValueHeads: 1, headDim: d };
    expect(relativeError(out, attentionReference(part(0), part(d), part(2 * d), shape))).toBeLessThan(5e-7);
    release(gpu, qkv);
  });

  it.each([
    [1, 1, 1, 1, 2, 2, 4],
    [5, 7, 7, 7, 6, 2, 12],
    [2, 5, 3, 4, 4, 2, 7],
    [1, 9, 9, 9, 2, 2, 16],
    [2, 65, 70, 60, 2, 1, 20],
    [1, 9, 9, 9, 4, 2, 16],
    [1, 5, 300, 290, 2, 1, 16],
  ])(
    "gates heads and sees a memory: batch %i, %i queries, %i keys, %i remembered, %i heads on %i, width %i",
    async (B, N, S, R, heads, G, d) => {
      const gpu = await testGpu({ variants: { attention: variant } });
      // One packed row: queries, keys, values, gates; the memory is laid out the same.
      const width = (heads + 2 * G) * d + heads;
      const [own, old, q] = [
        uniform(1, B * S * width),
        uniform(2, B * R * width),
        uniform(3, B * N * width, 2),
      ];
      const [keysAt, valuesAt, gateAt] = [heads * d, (heads + G) * d, (heads + 2 * G) * d];
      const columns = (x: Float32Array, rows: number, at: number, n: number) =>
        Array.from({ length: B }, (_, b) =>
          Array.from(
            { length: rows * n },
            (_, i) => x[(b * rows + Math.floor(i / n)) * width + at + (i % n)],
          ),
        );
      const joined = (at: number) => {
        const [a, c] = [columns(old, R, at, G * d), columns(own, S, at, G * d)];
        return Array.from({ length: B }, (_, b) => [...a[b], ...c[b]]).flat();
      };
      const truth = attentionReference(columns(q, N, 0, heads * d).flat(), joined(keysAt), joined(valuesAt), {
        batch: B,
        queries: N,
        keys: R + S,
        heads,
        keyValueHeads: G,
        headDim: d,
        gate: columns(q, N, gateAt, heads).flat(),
      });
      const [tensor, memory, queries] = [
        upload(gpu, [B, S, width], own),
        upload(gpu, [B, R, width], old),
        upload(gpu, [B, N, width], q),
      ];
      const out = await compute(gpu, () =>
        attention(
          { tensor: queries },
          { tensor, offset: keysAt },
          { tensor, offset: valuesAt },
          {
            ...{ heads, keyValueHeads: G, headDim: d, gateAt, memory },
          },
        ),
      );
      expect(relativeError(out, truth)).toBeLessThan(5e-7);
      release(gpu, tensor, memory, queries);
    },
  );
});
