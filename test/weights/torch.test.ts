/** Torch checkpoints made to do harm, each refused by name and at once; and the zip variants that are fine. */
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { openTorch } from "../../src/weights/torch/torch.ts";
import { op, pickle, tensor } from "./pickle-writer.ts";
import { type EntryToZip, layOutZip, zip } from "./zip-writer.ts";

const floats = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer);
const four = { name: "m/data/0", content: floats };
const good = op.dict([op.text("a"), tensor("0", 4, [2, 2], [1, 2])]);

const checkpoint = (value: number[], others: EntryToZip[] = [four]) =>
  zip([{ name: "m/data.pkl", content: pickle(value) }, ...others]);
const open = (bytes: Uint8Array) => openTorch(bytesSource(bytes, "x.pt"));

async function refused(bytes: Uint8Array, message: RegExp) {
  const started = performance.now();
  const error = await open(bytes)
    .then(async (source) => {
      for (const name of source.tensors.keys()) await source.read(name);
      return undefined;
    })
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(FormatError);
  expect((error as Error).message).toMatch(message);
  expect(performance.now() - started).toBeLessThan(1000);
}

test.each([true, false])(
  "a transposed tensor reads in row-major order (zip64 records: %s)",
  async (zip64) => {
    const bytes = zip([{ name: "m/data.pkl", content: pickle(good) }, four], { zip64 });
    const source = await open(bytes);
    expect([...new Float32Array((await source.read("a")).buffer)]).toEqual([1, 3, 2, 4]);
  },
);

describe("pickles", () => {
  const call = (module: string, name: string, ...args: number[][]) => [
    ...op.global(module, name),
    ...op.tuple(...args),
    ...op.reduce,
  ];

  test.each([
    ["os.system", call("os", "system", op.text("true")), /"os.system", which is not allowed/],
    ["builtins.eval", call("builtins", "eval", op.text("1")), /"builtins.eval"/],
    ["a storage type called", call("torch", "FloatStorage", op.int(9)), /call of torch.FloatStorage/],
    [
      "a name with a line break's worth of dots",
      call("torch._utils._rebuild_tensor_v2", "__globals__"),
      /__globals__/,
    ],
    ["__proto__ as a name", call("__proto__", "constructor"), /"__proto__.constructor"/],
    ["INST, an older way to call", [0x28, 0x69, ...op.global("os", "system").slice(1)], /opcode 0x69/],
    ["a recall of nothing", op.get(7), /memo 7/],
    ["a mark that is missing", [0x74], /no mark/],
    ["an empty stack", [0x61], /nothing left|empty/],
    ["text longer than the file", [0x58, 255, 255, 255, 255], /4294967295 bytes/],
    [
      "a dict that contains itself",
      [...op.emptyDict, ...op.put(0), ...op.text("x"), ...op.get(0), ...op.setItem],
      /contain one another/,
    ],
    ["a list that contains itself", [0x5d, ...op.put(0), ...op.get(0), ...op.append], /contain one another/],
  ])("%s", async (_, value, message) => {
    await refused(checkpoint(value), message);
  });

  test("dicts that hold the last one ten times over, 30 levels deep", async () => {
    let levels = [...good, ...op.put(0)];
    for (let i = 1; i < 30; i++) {
      const items = Array.from({ length: 10 }, (_, k): [number[], number[]] => [
        op.text(`${k}`),
        op.get(i - 1),
      ]);
      levels = [...levels, ...op.dict(...items), ...op.put(i)];
    }
    // All levels go into one list, so that each is built before the next recalls it.
    await refused(checkpoint([0x28, ...levels, 0x74]), /contain one another/);
  });

  test("a quarter of a million empty dicts and more", async () => {
    await refused(checkpoint([0x28, ...new Array<number>(250_001).fill(0x7d), 0x74]), /more than 250000/);
  });

  test.each([
    ["beyond its storage", tensor("0", 4, [2, 2], [2, 2]), /reaches element 5/],
    ["with an offset beyond", tensor("0", 4, [1], [1], 4), /reaches element 5/],
    ["of more than 2^53 bytes", tensor("0", 4, [2 ** 40, 2 ** 40], [0, 0]), /2\^53/],
    ["of strides 0, larger than the file", tensor("0", 4, [2 ** 40], [0]), /would take 4398046511104 bytes/],
    [
      "of 65 dimensions",
      tensor("0", 4, new Array<number>(65).fill(1), new Array<number>(65).fill(1)),
      /65 dimensions/,
    ],
    ["on a storage that is not there", tensor("1", 4, [4], [1]), /none of that name/],
    ["on a path", tensor("../../etc/passwd", 4, [4], [1]), /none of that name/],
    ["on a storage of another length", tensor("0", 5, [5], [1]), /20 bytes; the zip has 16/],
  ])("a tensor %s", async (_, value, message) => {
    await refused(checkpoint(op.dict([op.text("a"), value])), message);
  });

  test("two tensors of one dotted name", async () => {
    const nested = op.dict([op.text("b"), tensor("0", 4, [4], [1])]);
    await refused(
      checkpoint(op.dict([op.text("a"), nested], [op.text("a.b"), tensor("0", 4, [4], [1])])),
      /"a.b"/,
    );
  });
});

describe("zips", () => {
  /** The zip with the last place of `from` replaced. */
  function patched(bytes: Uint8Array, offset: number, value: number, width: 2 | 4 | 8): Uint8Array {
    const copy = Buffer.from(bytes);
    if (width === 8) copy.writeBigUInt64LE(BigInt(value), offset);
    else copy.writeUIntLE(value, offset, width);
    return new Uint8Array(copy);
  }
  const bytes = checkpoint(good);
  const { pieces } = layOutZip([{ name: "m/data.pkl", content: pickle(good) }, four]);
  const directory = pieces.at(-1)!.offset;
  const second = directory + 46 + "m/data.pkl".length;

  test.each([
    ["a compressed entry", patched(bytes, second + 10, 8, 2), /method 8/],
    ["an encrypted entry", patched(bytes, second + 8, 0x0809, 2), /encrypted/],
    ["an entry that claims to grow", patched(bytes, second + 24, 1e9, 4), /claims 1000000000 bytes from 16/],
    [
      "an entry beyond the file",
      patched(patched(bytes, second + 24, 1e9, 4), second + 20, 1e9, 4),
      /Overlapping/,
    ],
    ["entries that overlap", patched(bytes, second + 42, 0, 4), /Overlapping/],
    [
      "a directory beyond the file",
      patched(bytes, bytes.length - 22 - 20 - 56 + 48, 1e15, 8),
      /disagree|asked for/,
    ],
    ["a count that is wrong", patched(bytes, bytes.length - 22 + 10, 3, 2), /disagree/],
    ["data that changed", patched(bytes, directory - 4, 7, 4), /checksum of "m\/data\/0"/],
    [
      "a big-endian file",
      checkpoint(good, [four, { name: "m/byteorder", content: Buffer.from("big") }]),
      /little-endian/,
    ],
    ["two pickles", checkpoint(good, [four, { name: "n/data.pkl", content: pickle(good) }]), /2 entries/],
    ["two entries of one name", checkpoint(good, [four, four]), /two zip entries/],
    ["no pickle", zip([four]), /0 entries/],
    ["a truncated file", bytes.slice(0, -30), /no end of a zip/],
    ["nothing at all", new Uint8Array(0), /no end of a zip/],
  ])("%s", async (_, file, message) => {
    await refused(file, message);
  });
});
