/**
 * Files by the Python writers (torch 2.13, safetensors 0.8), each an odd one of its kind: what Python reads is read to the
 * same values, what it refuses is refused with a message that names the cause. And hand-made siblings of them.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { FormatError, UsageError } from "../../src/errors.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { floatDtypes, toFloat32 } from "../../src/weights/convert.ts";
import { listTensors } from "../../src/weights/listing.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { openAnyWeights } from "../../src/weights/open.ts";
import { convertTensors } from "../../src/weights/rename.ts";
import { encodeSafetensors, openSafetensors } from "../../src/weights/safetensors.ts";
import { safetensorsDtypes, type StoredDtype, type TensorSource } from "../../src/weights/source.ts";
import { op, pickle, storage, tensor } from "./pickle-writer.ts";
import { type EntryToZip, zip } from "./zip-writer.ts";

const folder = "test/weights/fixtures/cases";
const open = (file: string): Promise<TensorSource> =>
  openAnyWeights(bytesSource(readFileSync(join(folder, file)), file));
const floats = async (source: TensorSource, name: string): Promise<Float32Array> =>
  toFloat32(await source.read(name), source.tensors.get(name)!.dtype);
const streamed = async (source: TensorSource, name: string, chunkBytes: number): Promise<Uint8Array> => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.stream(name, chunkBytes)) chunks.push(chunk);
  return Uint8Array.from(Buffer.concat(chunks));
};
const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const byteRange = Uint8Array.from({ length: 64 }, (_, i) => i);

test("a lazy negative bit is applied, however the tensor is read", async () => {
  const source = await open("neg_view.pt");
  const [w, plain] = [await floats(source, "w"), await floats(source, "plain")];
  expect(w.length).toBe(24);
  expect(w).toEqual(plain.map((value) => -value));
  expect(w[0]).toBeCloseTo(1.1258398, 6);
  for (const chunkBytes of [1, 3, 7, 1000]) {
    expect(await streamed(source, "w", chunkBytes)).toEqual(bytesOf(w));
  }
});

describe("element types", () => {
  test.each<[string, StoredDtype, number[]]>([
    ["dt_float8_e4m3fn.pt", "F8_E4M3", [64]],
    ["dt_float8_e5m2.pt", "F8_E5M2", [64]],
    ["dt_uint16.pt", "U16", [32]],
    ["dt_complex64.pt", "C64", [8]],
    ["dt_complex64.safetensors", "C64", [8]],
    ["dt_float4_e2m1fn_x2.safetensors", "F4", [128]],
    ["dt_float8_e4m3fnuz.safetensors", "F8_E4M3FNUZ", [64]],
    ["dt_float8_e5m2fnuz.safetensors", "F8_E5M2FNUZ", [64]],
    ["dt_uint16.safetensors", "U16", [32]],
    ["dt_uint64.safetensors", "U64", [8]],
  ])("%s lists, reads and copies", async (file, dtype, shape) => {
    const source = await open(file);
    expect(source.tensors.get("w")).toMatchObject({ dtype, shape, bytes: 64 });
    expect(await source.read("w")).toEqual(byteRange);
    expect(listTensors(source)).toContain(`total ${dtype}: 1 tensors, ${shape[0]} elements, 64 bytes`);
    const copy = await encodeSafetensors(convertTensors(source));
    const again = await openSafetensors(bytesSource(copy));
    expect(again.tensors.get("w")).toMatchObject({ dtype, shape, bytes: 64 });
    expect(await again.read("w")).toEqual(byteRange);
    if (!floatDtypes.has(dtype)) expect(() => toFloat32(byteRange, dtype)).toThrow(UsageError);
  });

  test("all of the format, in the order of the public package", async () => {
    const tensors = safetensorsDtypes.map((dtype) => ({
      name: dtype,
      dtype,
      shape: [8],
      // As many bytes as the name says bits.
      data: new Uint8Array(Number(/^[A-Z]+(\d+)/.exec(dtype)?.[1] ?? 8)),
    }));
    const source = await openSafetensors(bytesSource(await encodeSafetensors(tensors)));
    expect([...source.tensors.keys()]).toEqual([...safetensorsDtypes].reverse());
    const odd = { name: "w", dtype: "F4", shape: [3], data: new Uint8Array(2) } as const;
    await expect(encodeSafetensors([odd])).rejects.toThrow(/whole bytes/);
  });
});

describe("training checkpoints: tensors beside harmless values", () => {
  const beside: [string, string[]][] = [
    ["size.pt", []],
    ["device.pt", []],
    ["dtype.pt", []],
    ["set.pt", []],
    ["bytes.pt", []],
    ["complexnum.pt", []],
    ["buffer.pt", []],
    ["param_attr.pt", []],
    ["numpy_scalar.pt", ["loss: numpy._core.multiarray.scalar"]],
    ["argparse.pt", ["args: argparse.Namespace"]],
    ["nocrc.pt", []],
  ];
  test.each(beside)("%s", async (file, skipped) => {
    const source = await open(file);
    expect([...source.tensors.keys()]).toEqual(["w"]);
    expect(source.tensors.get("w")).toMatchObject({ dtype: "F32", shape: [6, 4] });
    const plain = await floats(await open("neg_view.pt"), "plain");
    expect((await floats(source, "w")).map(Math.abs)).toEqual(plain.map(Math.abs));
    expect(source.skipped).toEqual(skipped);
    if (skipped.length > 0) expect(listTensors(source)).toContain(`passed over: ${skipped[0]}`);
  });
});

describe("hand-made", () => {
  const four = { name: "m/data/0", content: bytesOf(Float32Array.of(1, 2, 3, 4)) };
  const state = (...value: number[][]): Uint8Array =>
    zip([{ name: "m/data.pkl", content: pickle(...value) }, four]);
  const openBytes = (bytes: Uint8Array): Promise<TensorSource> => openAnyWeights(bytesSource(bytes, "x.pt"));
  const w = tensor("0", 4, [2, 2], [2, 1]);
  const call = (name: [string, string], ...args: number[][]): number[] => [
    ...op.global(...name),
    ...op.tuple(...args),
    ...op.reduce,
  ];
  const object = (name: [string, string], content: number[]): number[] => [
    ...op.global(...name),
    ...op.emptyTuple,
    0x81,
    ...content,
    0x62,
  ];
  const untyped = (dtype: string, bytes: number, shape: number[], metadata: number[] = []): number[] =>
    call(
      ["torch._utils", "_rebuild_tensor_v3"],
      storage("0", bytes, ["torch.storage", "UntypedStorage"]),
      op.int(0),
      op.tuple(...shape.map(op.int)),
      op.tuple(...shape.map((_, d) => op.int(shape.slice(d + 1).reduce((a, b) => a * b, 1)))),
      [0x89],
      op.none,
      op.global("torch", dtype),
      ...(metadata.length > 0 ? [metadata] : []),
    );
  const bit = (name: string, value = true): [number[], number[]] => [op.text(name), [value ? 0x88 : 0x89]];

  test.each<[string, number[], number[]]>([
    ["negative", op.dict(bit("neg")), [-1, -2, -3, -4]],
    ["neither", op.dict(bit("neg", false), bit("conj", false)), [1, 2, 3, 4]],
    ["conjugate", op.dict(bit("conj")), [1, -2, 3, -4]],
    ["both", op.dict(bit("conj"), bit("neg")), [-1, 2, -3, 4]],
  ])("complex numbers, lazily %s", async (_, metadata, expected) => {
    const source = await openBytes(state(op.dict([op.text("w"), untyped("complex64", 16, [2], metadata)])));
    expect(source.tensors.get("w")).toMatchObject({ dtype: "C64", shape: [2], bytes: 16 });
    for (const bytes of [
      await source.read("w"),
      await streamed(source, "w", 3),
      await streamed(source, "w", 9),
    ])
      expect([...new Float32Array(bytes.slice().buffer)]).toEqual(expected);
  });

  test.each<[string, number[], RegExp]>([
    [
      "a conjugate bit on real numbers",
      untyped("float32", 16, [4], op.dict(bit("conj"))),
      /F32 with the metadata "conj"/,
    ],
    [
      "a negative bit on integers",
      untyped("int32", 16, [4], op.dict(bit("neg"))),
      /I32 with the metadata "neg"/,
    ],
    ["a bit that is not known", untyped("float32", 16, [4], op.dict(bit("zero"))), /"zero": true/],
    ["metadata that is no dict", untyped("float32", 16, [4], op.int(1)), /not a dict/],
    ["an element type that is not known", untyped("bits8", 16, [4]), /"torch.bits8"/],
    [
      "no element type at all",
      call(
        ["torch._utils", "_rebuild_tensor_v2"],
        storage("0", 16, ["torch.storage", "UntypedStorage"]),
        op.int(0),
        op.tuple(op.int(4)),
        op.tuple(op.int(1)),
      ),
      /"untyped"/,
    ],
  ])("refused: %s", async (_, value, message) => {
    await expect(openBytes(state(op.dict([op.text("w"), value])))).rejects.toThrow(message);
  });

  test("pairs of 4-bit numbers count twice, and 128-bit complex numbers list but have no place in safetensors", async () => {
    const pairs = await openBytes(state(op.dict([op.text("w"), untyped("float4_e2m1fn_x2", 16, [2, 8])])));
    expect(pairs.tensors.get("w")).toMatchObject({ dtype: "F4", shape: [2, 16], bytes: 16 });
    expect(await pairs.read("w")).toEqual(four.content);
    const wide = await openBytes(state(op.dict([op.text("w"), untyped("complex128", 16, [1])])));
    expect(wide.tensors.get("w")).toMatchObject({ dtype: "C128", bytes: 16 });
    await expect(encodeSafetensors(convertTensors(wide))).rejects.toThrow(/"w" is C128.*--drop/);
  });

  test("objects of every make are passed over, by name", async () => {
    const numpy = call(
      ["numpy._core.multiarray", "_reconstruct"],
      op.global("numpy", "ndarray"),
      op.tuple(op.int(0)),
    );
    const source = await openBytes(
      state(
        op.dict(
          [op.text("model"), op.dict([op.text("w"), w])],
          [
            op.text("config"),
            object(["omegaconf.dictconfig", "DictConfig"], op.dict([op.text("lr"), op.int(1)])),
          ],
          [op.text("state"), [...numpy, ...op.tuple(op.int(1), op.none), 0x62]],
          [op.text("when"), call(["datetime", "datetime"], op.text("2026"))],
          [op.text("path"), call(["pathlib", "PosixPath"], op.text("/"))],
          [op.text("kind"), op.global("mymodule", "Kind")],
          [op.text("nested"), op.list(call(["mymodule", "make"], op.int(1)))],
          [op.tuple(op.int(1), op.text("a")), op.int(5)],
          [op.none, op.none],
        ),
      ),
    );
    expect([...source.tensors.keys()]).toEqual(["model.w"]);
    expect(source.skipped).toEqual([
      "config: omegaconf.dictconfig.DictConfig",
      "state: numpy._core.multiarray._reconstruct",
      "when: datetime.datetime",
      "path: pathlib.PosixPath",
      "nested.0: mymodule.make",
    ]);
  });

  test("a defaultdict is a dict; objects that refer to one another are no riddle", async () => {
    const counted = call(["collections", "defaultdict"], op.global("__builtin__", "list"));
    const ring = [
      ...object(["a", "B"], op.none).slice(0, -2),
      ...op.put(5),
      ...op.dict([op.text("parent"), op.get(5)]),
      0x62,
    ];
    const source = await openBytes(
      state(
        op.dict([op.text("d"), [...counted, ...op.text("w"), ...w, ...op.setItem]], [op.text("ring"), ring]),
      ),
    );
    expect([...source.tensors.keys()]).toEqual(["d.w"]);
  });

  test("a tensor that is listed may be referred to from anywhere", async () => {
    const source = await openBytes(
      state(
        op.dict(
          [op.text("w"), [...w, ...op.put(9)]],
          [op.text("ema"), object(["my", "Ema"], op.dict([op.text("p"), op.get(9)]))],
        ),
      ),
    );
    expect([...source.tensors.keys()]).toEqual(["w"]);
  });

  test.each<[string, number[], string]>([
    ["in an object", object(["my", "Model"], op.dict([op.text("w"), w])), "my.Model"],
    ["in an object of an object", call(["my", "Outer"], op.list(call(["my", "Inner"], w))), "my.Inner"],
    ["in a set", call(["__builtin__", "set"], op.list(w)), "__builtin__.set"],
    [
      "sparse",
      call(["torch._utils", "_rebuild_sparse_tensor"], op.int(0), op.tuple(w, w)),
      "torch._utils._rebuild_sparse_tensor",
    ],
    ["quantized", call(["torch._utils", "_rebuild_qtensor"], op.int(0)), "torch._utils._rebuild_qtensor"],
    [
      "without values",
      call(["torch._utils", "_rebuild_meta_tensor_no_storage"], op.int(0)),
      "torch._utils._rebuild_meta_tensor_no_storage",
    ],
    [
      "of an unknown class",
      call(
        ["torch._tensor", "_rebuild_from_type_v2"],
        op.global("torch._utils", "_rebuild_tensor_v2"),
        op.global("my", "LogTensor"),
        op.tuple(op.int(0)),
        op.dict(),
      ),
      "my.LogTensor",
    ],
    ["as a bare storage", storage("0", 4), "torch.storage.UntypedStorage"],
    ["as a key", [...op.emptyDict, ...op.tuple(w), ...op.none, ...op.setItem], "a key"],
  ])("a tensor that would be lost is refused by name: %s", async (_, value, name) => {
    const bytes = state(op.dict([op.text("w"), w], [op.text("x"), value]));
    await expect(openBytes(bytes)).rejects.toThrow(FormatError);
    await expect(openBytes(bytes)).rejects.toThrow(`"${name}", which is not allowed`);
  });

  test("checksums of 0 throughout mean that there are none, one of 0 among others is wrong", async () => {
    const entries = (crcs: (number | undefined)[]): EntryToZip[] => [
      { name: "m/data.pkl", content: pickle(op.dict([op.text("w"), w])), crc32: crcs[0] },
      { ...four, crc32: crcs[1] },
    ];
    expect([...(await floats(await openBytes(zip(entries([0, 0]))), "w"))]).toEqual([1, 2, 3, 4]);
    const damaged = zip(entries([undefined, 0]));
    await expect((await openBytes(damaged)).read("w")).rejects.toThrow(/checksum/);
    const unverified = await openAnyWeights(bytesSource(damaged), { verify: false });
    expect([...(await floats(unverified, "w"))]).toEqual([1, 2, 3, 4]);
  });

  test("a program of torch.jit is called one", async () => {
    const entries = [
      { name: "m/data.pkl", content: pickle(op.none) },
      { name: "m/constants.pkl", content: pickle(op.none) },
    ];
    await expect(openBytes(zip(entries))).rejects.toThrow(/TorchScript/);
  });
});

test("headers that Python takes, and one that it refuses", async () => {
  expect((await open("nometa_null.safetensors")).tensors.size).toBe(1);
  expect((await open("extra_field.safetensors")).tensors.get("a")).toMatchObject({
    dtype: "F32",
    shape: [1],
  });
  await expect(open("floatshape.safetensors")).rejects.toThrow(
    /"a" has a shape that is not a list of whole numbers/,
  );
  await expect(open("t_expand_big.pt")).rejects.toThrow(/would take .* bytes from a file of/);
});

describe("files that are something else say so", () => {
  test.each([
    ["lfs_pointer.safetensors", /a git-LFS pointer.*of 12345678 bytes.*git lfs pull/],
    ["html.safetensors", /a web page \("<!DOCTYPE html>.*Fetch the file again/],
    ["pure_pickle4.pt", /a bare pickle \(protocol 4\)/],
  ])("%s", async (file, message) => {
    await expect(open(file)).rejects.toThrow(message);
    await expect(open(file)).rejects.toThrow(FormatError);
  });

  const latin = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
  test.each<[string, Uint8Array, RegExp]>([
    ["an answer of the Hub", latin("Entry not found"), /text that begins with "Entry not found"/],
    ["JSON", latin('{"error":"Repository not found"}'), /text that begins with "\{/],
    ["a page after a byte order mark", latin("\xef\xbb\xbf\n <html lang=en>"), /web page/],
    ["GGUF", latin("GGUF\x03\0\0\0more"), /GGUF/],
    ["gzip", gzipSync("weights"), /gzip/],
    ["tar", latin(`${"model.pt".padEnd(257, "\0")}ustar\0`.padEnd(1024, "\0")), /tar archive/],
    ["a bare pickle of protocol 2", latin("\x80\x02}q\0."), /bare pickle \(protocol 2\)/],
    ["numpy", latin("\x93NUMPY\x01\0v\0{}"), /numpy array/],
    ["HDF5", latin("\x89HDF\r\n\x1a\n\0\0"), /HDF5/],
    ["nothing", new Uint8Array(0), /empty/],
    ["noise", Uint8Array.from({ length: 40 }, (_, i) => (i * 97 + 13) & 255), /header/],
  ])("%s", async (_, bytes, message) => {
    await expect(openAnyWeights(bytesSource(bytes, "x"))).rejects.toThrow(FormatError);
    await expect(openAnyWeights(bytesSource(bytes, "x"))).rejects.toThrow(message);
  });

  test("safetensors whose length looks like another kind are safetensors", async () => {
    for (const mark of [0x0480, 0x0280, 0x8b1f]) {
      const header = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.padEnd(mark);
      const bytes = new Uint8Array(8 + mark + 1);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(mark), true);
      bytes.set(latin(header), 8);
      expect((await openAnyWeights(bytesSource(bytes))).tensors.size).toBe(1);
    }
  });
});

test("a shard index with a byte order mark, and of a .bin", async () => {
  const place = mkdtempSync(join(tmpdir(), "index-"));
  copyFileSync(join(folder, "dtype.pt"), join(place, "pytorch_model-00001-of-00001.bin"));
  const index = JSON.stringify({ weight_map: { w: "pytorch_model-00001-of-00001.bin" } });
  writeFileSync(join(place, "pytorch_model.bin.index.json"), `\ufeff${index}`);
  const source = await openWeights(place);
  expect(source.tensors.size).toBe(1);
  await source.close();
  rmSync(place, { recursive: true });
});
