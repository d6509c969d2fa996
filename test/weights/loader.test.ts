/** The loader: what it refuses before reading, and that what it puts on the GPU is what the checkpoint holds. */
import { describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Matrix } from "../../src/tensor/matrix.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { type WeightDtype, WeightLoader } from "../../src/weights/loader.ts";
import { countNonFinite } from "../../src/weights/non-finite.ts";
import { encodeSafetensors, openSafetensors } from "../../src/weights/safetensors.ts";
import type { StoredDtype, TensorSource } from "../../src/weights/source.ts";
import { testGpu } from "../support/gpu.ts";
import { uniform } from "../support/numbers.ts";

type Content = Readonly<
  Record<string, { shape: readonly number[]; dtype?: StoredDtype; data?: ArrayBufferView }>
>;

/** A checkpoint in memory that counts what is read. */
async function checkpoint(content: Content): Promise<TensorSource & { reads: string[] }> {
  const tensors = Object.entries(content).map(([name, { shape, dtype = "F32", data }]) => {
    const values = data ?? uniform(name.length, product(shape));
    return { name, dtype, shape, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
  });
  const opened = await openSafetensors(bytesSource(await encodeSafetensors(tensors), "made.safetensors"));
  const reads: string[] = [];
  const stream = (name: string, chunkBytes?: number) => (reads.push(name), opened.stream(name, chunkBytes));
  return { ...opened, reads, stream };
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The upper halves of seeded float32 values, which are bfloat16. */
function bf16(seed: number, length: number): { bits: Uint16Array; values: Float32Array } {
  const words = new Uint32Array(uniform(seed, length).buffer).map((word) => word & 0xffff0000);
  return { bits: Uint16Array.from(words, (word) => word >>> 16), values: new Float32Array(words.buffer) };
}

const stored = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

/** W (out, in) as float32, put together from its blocks; checks that padding is zero. */
async function unpack(gpu: Gpu, weight: Matrix): Promise<Float32Array> {
  const w = new Float32Array(weight.out * weight.in);
  for (const { data, first, columns } of weight.blocks) {
    const raw = await gpu.readBytes(data.storage.buffer!, data.storage.bytes, "packed weight");
    const values = toFloat32(new Uint8Array(raw), stored[weight.dtype]);
    for (let row = 0; row < columns; row++) {
      const terms = values.subarray(row * weight.padded, (row + 1) * weight.padded);
      w.set(terms.subarray(0, weight.in), (first + row) * weight.in);
      expect(terms.subarray(weight.in).every((v) => v === 0)).toBe(true);
    }
  }
  return w;
}

describe("comparing", () => {
  test("all that is wrong is in one message, and nothing is read", async () => {
    const gpu = await testGpu();
    const source = await checkpoint({
      "head.weight": { shape: [3, 5] },
      "head.stray": { shape: [2] },
      "head.count": { shape: [1], dtype: "I64", data: new BigInt64Array(1) },
      "other.stray": { shape: [2] },
    });
    const loader = WeightLoader.from(gpu, source);
    const head = loader.within("head");
    head.linear("weight", 4, 5);
    head.tensor("bias", [4]);
    head.host("count", [1]);
    const before = gpu.memory.usage.inUse;
    const error = await loader.load().then(
      () => undefined,
      (e: Error) => e,
    );
    expect(error?.name).toBe("WeightsError");
    expect(error?.message).toContain(
      "(1 missing, 1 wrong shape, 1 wrong type, 2 unexpected; it holds 4 tensors, 3 are asked for)",
    );
    expect(error?.message).toContain("wrong shape: head.weight is (3, 5), expected (4, 5)");
    expect(error?.message).toContain("missing: head.bias (4)");
    expect(error?.message).toContain("wrong type: head.count is I64");
    expect(error?.message).toContain("unexpected: head.stray");
    expect(error?.message).toContain("unexpected: other.stray");
    expect(source.reads).toEqual([]);
    expect(gpu.memory.usage.inUse).toBe(before);
  });

  test("ignored keys are ignored below their prefix only", async () => {
    const gpu = await testGpu();
    const source = await checkpoint({ "a.cache.0": { shape: [1] }, "b.cache.0": { shape: [1] } });
    const loader = WeightLoader.from(gpu, source);
    loader.within("a").ignore(/cache\./);
    expect(() => loader.compare()).toThrow(/unexpected: b\.cache\.0/);
    expect(() => loader.compare()).not.toThrow(/a\.cache/);
    loader.within("b").ignore(/cache\./);
    loader.compare();
  });

  test("unexpected keys can be left out, missing ones cannot", async () => {
    const gpu = await testGpu();
    const source = await checkpoint({ a: { shape: [1] }, stray: { shape: [2] } });
    expect(() => WeightLoader.from(gpu, source).compare()).toThrow(/unexpected: a.*--ignore-unexpected/s);
    const loader = WeightLoader.from(gpu, source, { unexpected: "ignore" });
    loader.tensor("a", [1]);
    await loader.load();
    expect(source.reads).toEqual(["a"]);
    loader.release();
    loader.tensor("b", [1]);
    expect(() => loader.compare()).toThrow(/\(1 missing; it holds 2 .*\):\n {2}missing: b \(1\)\nCheck that/);
  });
});

describe("keys under another prefix", () => {
  const w = { shape: [1] };
  /** The message for a model of a.0.w, a.1.w, b.w. */
  const report = async (content: Content, rename?: [string, string][]): Promise<string> => {
    const loader = WeightLoader.from(await testGpu(), await checkpoint(content), { rename });
    for (const key of ["a.0.w", "a.1.w", "b.w"]) loader.tensor(key, [1]);
    try {
      loader.compare();
      return "";
    } catch (error) {
      expect((error as Error).name).toBe("WeightsError");
      return (error as Error).message;
    }
  };
  const under = (prefix: string): Content => ({
    [`${prefix}a.0.w`]: w,
    [`${prefix}a.1.w`]: w,
    [`${prefix}b.w`]: w,
  });

  test.each(["module.", "_orig_mod.", "state_dict.", "net.", "state_dict.model._orig_mod.", "a."])(
    "%s: both sides are shown, the prefix is found and its command printed",
    async (prefix) => {
      const message = await report(under(prefix));
      expect(message).toContain("missing: a.0.w (1)");
      expect(message).toContain(`unexpected: ${prefix}a.0.w`);
      expect(message).toContain("3 of the 3 missing tensors are there under another prefix");
      expect(message).toContain(`npm run convert -- made.safetensors OUT.safetensors --rename ${prefix}=\n`);
      expect(await report(under(prefix), [[prefix, ""]])).toBe("");
    },
  );

  test("an optimizer beside it is dropped, and does not hide the rest", async () => {
    const moments = Object.fromEntries(
      Array.from({ length: 50 }, (_, i) => [`optimizer.state.${i}.exp_avg`, w]),
    );
    const message = await report({ ...moments, ...under("model."), epoch: w });
    expect(message).toContain("3 of the 3 missing tensors");
    expect(message).toContain("--rename model.= --drop epoch --drop 'optimizer.*'\n");
    expect(message).toContain("unexpected: … and 49 more");
  });

  test("a prefix that is lacking, and several", async () => {
    const short = { "0.w": w, "1.w": w, "b.w": w };
    expect(await report(short)).toMatch(/2 of the 2 missing.*--rename =a\.\n/s);
    expect(
      await report(short, [
        ["b.", "b."],
        ["", "a."],
      ]),
    ).toBe("");
    const message = await report({ "encoder.0.w": w, "encoder.1.w": w, "head.b.w": w });
    expect(message).toContain("--rename encoder.=a. --rename head.=\n");
  });

  test("names that only end alike are no prefix", async () => {
    const message = await report({ "x.w": w, "y.w": w, "z.w": w });
    expect(message).not.toContain("--rename");
    expect(message).toContain("Check that the config.json");
  });
});

describe("values that are not finite", () => {
  /** Of what is stored as these bits. */
  const cases: [StoredDtype, ArrayBufferView, string][] = [
    ["F32", Float32Array.of(1, NaN, Infinity, -Infinity, 3.4e38, 0), "1 NaN and 2 infinite of 6"],
    ["F64", Float64Array.of(1, NaN, Infinity, 1e308, 0, 0), "1 NaN and 1 infinite of 6"],
    ["BF16", Uint16Array.of(0x3f80, 0x7f80, 0xff80, 0x7f81, 0xffff, 0x7f7f), "2 NaN and 2 infinite of 6"],
    ["F16", Uint16Array.of(0x3c00, 0x7c00, 0xfc01, 0x7bff, 0, 0x7e00), "2 NaN and 1 infinite of 6"],
    ["F8_E4M3", Uint8Array.of(0x7f, 0xff, 0x7e, 0x78, 0, 1), "2 NaN of 6"],
    ["F8_E5M2", Uint8Array.of(0x7c, 0xfc, 0x7d, 0x7b, 0, 1), "1 NaN and 2 infinite of 6"],
  ];
  test.each(cases)("%s: named and counted, in a matrix and in a vector", async (dtype, data, counts) => {
    const gpu = await testGpu();
    const source = await checkpoint({
      m: { shape: [2, 3], dtype, data },
      v: { shape: [6], dtype, data },
      "not asked": { shape: [6], dtype, data },
    });
    const ask = (): WeightLoader => {
      const loader = WeightLoader.from(gpu, source, { dtype: "bf16", unexpected: "ignore" });
      loader.linear("m", 2, 3);
      loader.host("v", [6]);
      return loader;
    };
    const error = await ask()
      .load()
      .catch((thrown: Error) => thrown);
    expect((error as Error).name).toBe("NonFiniteError");
    expect((error as Error).message).toContain(
      `2 of 2 tensors hold values that are not finite: m (${counts}), v (${counts}).`,
    );
    const ignoring = ask();
    await ignoring.load({ nonFinite: "ignore" });
    ignoring.release();
  });

  test("a single one in millions, wherever it lies", async () => {
    for (const [dtype, width] of [
      ["F32", 4],
      ["BF16", 2],
      ["F64", 8],
      ["F8_E4M3", 1],
    ] as const) {
      const bytes = new Uint8Array(3_000_000 * width).fill(1);
      expect(countNonFinite(bytes, dtype)).toEqual({ nan: 0, infinite: 0 });
      for (const at of [0, 1, 4095, 4096, 1_234_567, 2_999_999]) {
        const bad = bytes.slice();
        bad.fill(0xff, at * width, (at + 1) * width);
        expect(countNonFinite(bad, dtype), `${dtype} ${at}`).toEqual({ nan: 1, infinite: 0 });
        expect(countNonFinite(bad.subarray(width), dtype).nan).toBe(at === 0 ? 0 : 1);
      }
    }
  });
});

describe("loading", () => {
  const load = async (
    content: Content,
    ask: (loader: WeightLoader) => Matrix,
    dtype: WeightDtype = "f32",
    gpu?: Gpu,
    through: (source: TensorSource) => TensorSource = (source) => source,
  ): Promise<{ weight: Matrix; values: Float32Array }> => {
    gpu ??= await testGpu();
    const loader = WeightLoader.from(gpu, through(await checkpoint(content)), { dtype });
    const weight = ask(loader);
    await loader.load();
    const values = await unpack(gpu, weight);
    loader.release();
    return { weight, values };
  };

  test.each(["f32", "bf16"] as const)("bfloat16 as %s is exactly what is stored", async (dtype) => {
    const { bits, values } = bf16(1, 21 * 34);
    const content = { w: { shape: [21, 34], dtype: "BF16", data: bits } } as const;
    const loaded = await load(content, (l) => l.linear("w", 21, 34), dtype);
    expect(loaded.weight.dtype).toBe(dtype);
    expect(loaded.values).toEqual(values);
  });

  test("other types are widened, whatever is asked for", async () => {
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x3555, 0, 0x7bff, 0x0001);
    const expected = Float32Array.of(1, -2, 0.333251953125, 0, 65504, 2 ** -24);
    const [f16, f64] = [
      await load({ w: { shape: [2, 3], dtype: "F16", data: halves } }, (l) => l.linear("w", 2, 3), "bf16"),
      await load({ w: { shape: [2, 3], dtype: "F64", data: Float64Array.from(expected) } }, (l) =>
        l.linear("w", 2, 3),
      ),
    ];
    expect([f16.weight.dtype, f16.values, f64.values]).toEqual(["f32", expected, expected]);
  });

  test("float16 on request: rounded, and what does not fit is counted", async () => {
    const gpu = await testGpu();
    const stored = Float32Array.of(1, -2, 1e6, 2 ** -25, 65519, -Infinity);
    const source = await checkpoint({
      "a.w": { shape: [2, 3], data: stored },
      "a.halves": { shape: [1, 2], dtype: "F16", data: Uint16Array.of(0x3c00, 0xfc00) },
      "a.bias": { shape: [1], data: Float32Array.of(1e6) },
    });
    const loader = WeightLoader.from(gpu, source, { dtype: "f16" }).within("a");
    const [w, halves] = [loader.linear("w", 2, 3), loader.linear("halves", 1, 2)];
    const bias = loader.tensor("bias", [1]);
    const told: [string, number][] = [];
    await loader.load({ onSaturated: (...saturated) => told.push(saturated), nonFinite: "ignore" });
    expect([w.dtype, halves.dtype]).toEqual(["f16", "f16"]);
    expect(await unpack(gpu, w)).toEqual(Float32Array.of(1, -2, 65504, 0, 65504, -Infinity));
    expect(await unpack(gpu, halves)).toEqual(Float32Array.of(1, -Infinity));
    expect(await readTensor(gpu, bias)).toEqual(Float32Array.of(1e6));
    expect(told).toEqual([["a.w", 1]]);
    loader.release();
  });

  test("a matrix larger than one binding", async () => {
    const gpu = await testGpu({ maxBindingBytes: 4096 });
    const { bits, values } = bf16(2, 70 * 33);
    const content = { w: { shape: [70, 33], dtype: "BF16", data: bits } } as const;
    const loaded = await load(content, (l) => l.linear("w", 70, 33), "f32", gpu);
    expect(loaded.weight.blocks.length).toBeGreaterThan(1);
    expect(loaded.values).toEqual(values);
  });

  test.each(["as stored", "in chunks of another size"])("a matrix of several pieces, %s", async (chunks) => {
    const { bits, values } = bf16(3, 2056 * 2060);
    const content = { w: { shape: [2056, 2060], dtype: "BF16", data: bits } } as const;
    // 8.5 MB: two pieces of at most 4.2 MB and a rest, widened to slabs of rows with padding.
    const rechunk = (source: TensorSource): TensorSource => ({
      ...source,
      stream: (name) => source.stream(name, 1_000_003),
    });
    const ask = (l: WeightLoader): Matrix => l.linear("w", 2056, 2060);
    const loaded = await load(content, ask, "f32", undefined, chunks === "as stored" ? undefined : rechunk);
    // `toEqual` takes minutes for so many.
    expect(Buffer.from(loaded.values.buffer).equals(Buffer.from(values.buffer))).toBe(true);
  });

  test.each(["BF16", "mixed"])("stacked rows, %s", async (kind) => {
    const [a, b] = [bf16(4, 5 * 7), bf16(5, 12 * 7)];
    const content: Content = {
      a: { shape: [5, 7], dtype: "BF16", data: a.bits },
      b:
        kind === "BF16"
          ? { shape: [12, 7], dtype: "BF16", data: b.bits }
          : { shape: [12, 7], data: b.values },
    };
    const stack = [
      { key: "b", out: 12 },
      { key: "a", out: 5 },
    ];
    const { weight, values } = await load(content, (l) => l.stacked(stack, 7), "bf16");
    expect(weight.dtype).toBe(kind === "BF16" ? "bf16" : "f32");
    expect(values).toEqual(Float32Array.of(...b.values, ...a.values));
  });

  test("a convolution's taps come before its channels, which are padded to four", async () => {
    const [out, channels, taps, depth] = [3, 5, 4, 8];
    const { bits, values } = bf16(6, out * channels * taps);
    const content = { w: { shape: [out, channels, 2, 2], dtype: "BF16", data: bits } } as const;
    const expected = Float32Array.from({ length: out * taps * depth }, (_, i) => {
      const [o, t, c] = [Math.floor(i / (taps * depth)), Math.floor(i / depth) % taps, i % depth];
      return c < channels ? values[(o * channels + c) * taps + t] : 0;
    });
    for (const dtype of ["f32", "bf16"] as const) {
      const loaded = await load(content, (l) => l.convolution("w", [out, channels, 2, 2]), dtype);
      expect(loaded.weight.dtype).toBe(dtype);
      expect(loaded.values).toEqual(expected);
    }
  });

  test("computed tensors, counted bytes, progress, and release", async () => {
    const gpu = await testGpu();
    const bias = uniform(7, 6);
    const source = await checkpoint({ bias: { shape: [6], data: bias }, w: { shape: [8, 6] } });
    const loader = WeightLoader.from(gpu, source);
    const tensor = loader.tensor("bias", [6]);
    loader.linear("w", 8, 6);
    const scale = loader.host("bias", [6]);
    const doubled = loader.computed("doubled", [6], () => scale.data.map((v) => 2 * v));
    const outer = loader.computedLinear("outer", 2, 6, () => Float32Array.of(...scale.data, ...scale.data));
    expect(loader.storedBytes).toBe(2 * 24 + 192);
    expect(loader.largest).toEqual({ label: "w", bytes: 8 * 8 * 4 });
    const before = gpu.memory.usage.inUse;
    const progress: number[] = [];
    await loader.load({ onProgress: (done, total) => progress.push(done / total) });
    expect(progress.at(-1)).toBe(1);
    expect(gpu.memory.usage.inUse - before).toBe(loader.bytes);
    expect(await readTensor(gpu, tensor)).toEqual(bias);
    expect(await readTensor(gpu, doubled)).toEqual(bias.map((v) => 2 * v));
    expect(await unpack(gpu, outer)).toEqual(Float32Array.of(...bias, ...bias));
    loader.release();
    expect(gpu.memory.usage.inUse).toBe(before);
  });

  test("stops at once when asked to", async () => {
    const gpu = await testGpu();
    const source = await checkpoint({ w: { shape: [8, 6] } });
    const loader = WeightLoader.from(gpu, source);
    loader.linear("w", 8, 6);
    await expect(loader.load({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
    expect(source.reads).toEqual([]);
    loader.release();
  });
});
