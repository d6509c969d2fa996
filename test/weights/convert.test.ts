/** Element conversions against their definitions, and checkpoints converted with renamed and dropped keys. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FormatError, UsageError, WeightsError } from "../../src/errors.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { bf16ToF32, toFloat16, toFloat32 } from "../../src/weights/convert.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { convertTensors } from "../../src/weights/rename.ts";
import { encodeSafetensors, openSafetensors } from "../../src/weights/safetensors.ts";
import { openSharded, parseShardIndex } from "../../src/weights/sharded.ts";

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe("element conversions", () => {
  test("every float dtype of the fixture gives what its neighbours give", async () => {
    // The fixture's tensors are independent draws; float8 and half are checked on all of their codes below.
    const source = await openWeights("test/weights/fixtures/every.safetensors");
    const f64 = new Float64Array((await source.read("F64.0")).buffer);
    expect([...toFloat32(await source.read("F64.0"), "F64")]).toEqual([...f64].map(Math.fround));
    for (const [name, dtype] of [
      ["F32.1", "F32"],
      ["F16.2", "F16"],
      ["BF16.3", "BF16"],
      ["F8_E4M3.4", "F8_E4M3"],
    ] as const) {
      const values = toFloat32(await source.read(name), dtype);
      expect(values.length).toBe(15);
      expect(values.every((value) => Math.abs(value) < 100 && value !== 0)).toBe(true);
    }
    await source.close();
  });

  test("known codes", () => {
    const f16 = toFloat32(bytesOf(Uint16Array.of(0x3c00, 0xc000, 1, 0x7bff, 0x7c00, 0x8000, 0x7e00)), "F16");
    expect([...f16]).toEqual([1, -2, 2 ** -24, 65504, Infinity, -0, NaN]);
    const e4m3 = toFloat32(Uint8Array.of(0x38, 0xb8, 1, 0x7e, 0x78, 0x7f, 0xff, 0x80), "F8_E4M3");
    expect([...e4m3]).toEqual([1, -1, 2 ** -9, 448, 256, NaN, NaN, -0]);
    const e5m2 = toFloat32(Uint8Array.of(0x3c, 0xbc, 1, 0x7b, 0x7c, 0xfc, 0x7d), "F8_E5M2");
    expect([...e5m2]).toEqual([1, -1, 2 ** -16, 57344, Infinity, -Infinity, NaN]);
    const bf16 = toFloat32(bytesOf(Uint16Array.of(0x3f80, 0xc000, 0x7f80, 1)), "BF16");
    expect([...bf16]).toEqual([1, -2, Infinity, Math.fround(2 ** -133)]);
  });

  test("bytes at an odd address, and not whole elements", () => {
    const odd = Uint8Array.of(9, 0, 0, 128, 63).subarray(1);
    expect([...toFloat32(odd, "F32")]).toEqual([1]);
    expect(() => toFloat32(odd.subarray(1), "F32")).toThrow(FormatError);
    expect(() => toFloat32(odd, "I32")).toThrow(UsageError);
  });

  test("all bfloat16 to float16: the nearest, ties to even, saturated and counted", () => {
    const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
    const { bytes, saturated } = toFloat16(bytesOf(codes), "BF16");
    const wide = new Float32Array(bf16ToF32(bytesOf(codes)).buffer);
    const half = toFloat32(bytes, "F16");
    const halfCodes = new Uint16Array(bytes.buffer);
    const sorted = toFloat32(bytesOf(codes.slice(0, 0x7c00)), "F16");
    /** whether a magnitude came out right: NaN and infinity as they are, too large ones saturated, others nearest */
    const isRight = (i: number): boolean => {
      const [value, got] = [Math.abs(wide[i]), Math.abs(half[i])];
      if (Number.isNaN(value)) return Number.isNaN(got);
      if (value === Infinity) return got === Infinity;
      if (value > 65504) return got === 65504;
      const code = halfCodes[i] & 0x7fff;
      const error = Math.abs(got - value);
      return [code - 1, code + 1].every((near) => {
        const other = Math.abs((sorted[near] ?? Infinity) - value);
        return other > error || (other === error && code % 2 === 0);
      });
    };
    const keepsSign = (i: number): boolean =>
      Object.is(Math.sign(half[i]), Math.sign(wide[i])) || half[i] === 0 || Number.isNaN(half[i]);
    const wrong = [...codes.keys()].filter((i) => !isRight(i) || !keepsSign(i));
    expect(wrong.slice(0, 5).map((i) => `code ${i}: ${wide[i]} became ${half[i]}`)).toEqual([]);
    const expectedSaturated = wide.filter((v) => Math.abs(v) > 65504 && Math.abs(v) < Infinity).length;
    expect(saturated).toBe(expectedSaturated);
  });

  test("float32 to float16 around every tie, and float16 as it is", () => {
    const codes = Uint16Array.from({ length: 0x7c00 }, (_, code) => code);
    const halves = toFloat32(bytesOf(codes), "F16");
    const float16 = (...values: number[]): number[] => [
      ...new Uint16Array(toFloat16(bytesOf(Float32Array.from(values)), "F32").bytes.buffer),
    ];
    const wrong: string[] = [];
    for (let code = 0; code < 0x7bff; code++) {
      const [value, next] = [halves[code], halves[code + 1]];
      const tie = (value + next) / 2;
      const step = new Uint32Array(Float32Array.of(tie).buffer)[0];
      const [below, above] = new Float32Array(Uint32Array.of(step - 1, step + 1).buffer);
      const got = float16(value, below, tie, above);
      const expected = [code, code, code + (code % 2), code + 1];
      if (got.length !== 4 || got.some((g, i) => g !== expected[i]))
        wrong.push(`${value}: codes ${got.join()}, not ${expected.join()}`);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(float16(65519, 65520, -1e30, Infinity, NaN)).toEqual([0x7bff, 0x7bff, 0xfbff, 0x7c00, 0x7e00]);
    expect(toFloat16(bytesOf(Float32Array.of(65519, 65520, 1e30, Infinity)), "F32").saturated).toBe(2);
    expect(toFloat16(bytesOf(codes), "F16")).toEqual({ bytes: bytesOf(codes), saturated: 0 });
  });
});

describe("checkpoints converted", () => {
  const open = async (tensors: Parameters<typeof encodeSafetensors>[0]) =>
    openSafetensors(bytesSource(await encodeSafetensors(tensors)));

  test("prefixes renamed, keys dropped, a torch file to safetensors", async () => {
    const source = await openWeights("test/weights/fixtures/flat.pt");
    const converted = await open(convertTensors(source, { rename: [["net.", ""]], drop: ["*_extra_state"] }));
    expect([...converted.tensors.keys()].sort()).toEqual([
      "blocks.0.q_proj.bias",
      "blocks.0.q_proj.weight",
      "scale",
    ]);
    expect(await converted.read("scale")).toEqual(await source.read("net.scale"));
    expect(() => convertTensors(source, { drop: ["missing*"] })).toThrow(/no key fits "missing\*"/);
    expect(() => convertTensors(source, { rename: [["x.", ""]] })).toThrow(UsageError);
    await source.close();
  });

  test("names that meet are refused", async () => {
    const one = { dtype: "U8", shape: [1], data: Uint8Array.of(1) } as const;
    const source = await open([
      { name: "a.x", ...one },
      { name: "x", ...one },
    ]);
    expect(() => convertTensors(source, { rename: [["a.", ""]] })).toThrow(WeightsError);
  });

  test("bfloat16 to float16 tells how many values were too large", async () => {
    const data = bytesOf(Uint16Array.of(0x7f7f, 0x3f80, 0xff00));
    const source = await open([{ name: "w", dtype: "BF16", shape: [3], data }]);
    const told: [string, number][] = [];
    const tensors = convertTensors(source, {
      bf16As: "F16",
      onSaturated: (...saturated) => told.push(saturated),
    });
    const converted = await open(tensors);
    expect([...toFloat32(await converted.read("w"), "F16")]).toEqual([65504, 1, -65504]);
    expect(told).toEqual([["w", 2]]);
    const wide = await open(convertTensors(source, { bf16As: "F32" }));
    expect(wide.tensors.get("w")).toMatchObject({ dtype: "F32", bytes: 12 });
  });
});

describe("shards", () => {
  const shard = async (name: string) =>
    openSafetensors(
      bytesSource(
        await encodeSafetensors([{ name, dtype: "U8", shape: [2], data: Uint8Array.of(name.length, 2) }]),
      ),
    );
  const files: Record<string, string> = { "1.safetensors": "a", "2.safetensors": "bb" };
  const join = (map: Record<string, string>) =>
    openSharded("set", parseShardIndex(JSON.stringify({ weight_map: map }), "index"), (file) =>
      shard(files[file]),
    );

  test("are one source", async () => {
    const source = await join({ a: "1.safetensors", bb: "2.safetensors" });
    expect(await source.read("bb")).toEqual(Uint8Array.of(2, 2));
    await source.close();
  });

  test("that disagree with their index are refused, all disagreements in one message", async () => {
    await expect(join({ a: "1.safetensors", b: "2.safetensors" })).rejects.toThrow(
      /2 keys: b is missing in 2.safetensors; bb in 2.safetensors is not in the index/,
    );
  });

  test.each(["../x", "/x", "a/b", "a\\b", "..", "", "C:x", "a\0"])("an index cannot point to %j", (file) => {
    expect(() => parseShardIndex(JSON.stringify({ weight_map: { a: file } }), "index")).toThrow(FormatError);
  });

  test.each([
    '{"weight_map": [1]}',
    "{}",
    "[]",
    "x",
    '{"weight_map": {"a": "x", "a": "y"}}',
    '{"weight_map": {"a": 1}}',
  ])("%s is no index", (text) => {
    expect(() => parseShardIndex(text, "index")).toThrow(FormatError);
  });
});

test("a file that is not weights", async () => {
  await expect(openWeights("package.json")).rejects.toThrow(FormatError);
  await expect(openWeights("test/weights/fixtures")).rejects.toThrow(FormatError);
  await expect(openWeights("weights/toy/tokenizer")).rejects.toThrow(/no weights among its 1 entries/);
  await expect(openWeights("no/such/path")).rejects.toThrow(/no such file or folder/);
  expect(readFileSync("package.json").length).toBeGreaterThan(0);
});
