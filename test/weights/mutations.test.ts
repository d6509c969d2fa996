/**
 * Damaged files, 2,000 and more of each kind, seeded: an error of ours or the right tensors, at once, without
 * asking the source for more than the file holds. `MUTATIONS=20000` tries more.
 */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MimicVideoError } from "../../src/errors.ts";
import { bytesSource } from "../../src/weights/blob.ts";
import { openAnyWeights } from "../../src/weights/open.ts";
import { openSafetensors } from "../../src/weights/safetensors.ts";
import { dtypeBytes, type TensorSource } from "../../src/weights/source.ts";
import { readZipDirectory } from "../../src/weights/torch/zip.ts";

const numRuns = Number(process.env.MUTATIONS ?? 2500);
const folder = "test/weights/fixtures";

type Edit = (bytes: Uint8Array) => Uint8Array;

const at = (fraction: number, length: number) => Math.min(length - 1, Math.floor(fraction * length));
const position = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const piece = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 12 }),
  fc
    .constantFrom(
      '"',
      "{",
      "}",
      "[",
      "]",
      ":",
      ",",
      "0",
      "-",
      "1e9",
      "null",
      "9007199254740993",
      "\\u0000",
      '"dtype"',
    )
    .map((text) => new TextEncoder().encode(text)),
);

/** Flips, overwrites, insertions, deletions, repetitions and truncations, within `range` of the file. */
function edits(range: readonly [number, number]): fc.Arbitrary<Edit> {
  const place = (p: number, bytes: Uint8Array) => {
    const end = Math.min(range[1], bytes.length);
    return Math.min(range[0], end - 1) + at(p, Math.max(1, end - range[0]));
  };
  const splice = (bytes: Uint8Array, from: number, to: number, put: Uint8Array) =>
    Uint8Array.of(...bytes.subarray(0, from), ...put, ...bytes.subarray(to));
  const one: fc.Arbitrary<Edit> = fc.oneof(
    fc.tuple(position, fc.nat(7)).map(([p, bit]): Edit => (bytes) => {
      const copy = bytes.slice();
      copy[place(p, bytes)] ^= 1 << bit;
      return copy;
    }),
    fc.tuple(position, piece).map(([p, put]): Edit => (bytes) => {
      const copy = bytes.slice();
      const start = place(p, bytes);
      copy.set(put.subarray(0, copy.length - start), start);
      return copy;
    }),
    fc.tuple(position, piece).map(
      ([p, put]): Edit =>
        (b) =>
          splice(b, place(p, b), place(p, b), put),
    ),
    fc.tuple(position, fc.nat(40)).map(
      ([p, n]): Edit =>
        (b) =>
          splice(b, place(p, b), place(p, b) + n, piecesNone),
    ),
    fc.tuple(position, position, fc.nat(60)).map(([p, q, n]): Edit => (b) => {
      const from = place(p, b);
      return splice(b, place(q, b), place(q, b), b.subarray(from, from + n));
    }),
    position.map(
      (p): Edit =>
        (b) =>
          b.slice(0, place(p, b)),
    ),
  );
  return fc.array(one, { minLength: 1, maxLength: 3 }).map((list) => (bytes) => {
    let edited = bytes;
    for (const edit of list) if (edited.length > 0) edited = edit(edited);
    return edited;
  });
}
const piecesNone = new Uint8Array(0);

/** Opens and reads everything, counting what is read. A failure that is not ours fails the test. */
async function readAll(
  bytes: Uint8Array,
  open: (source: ReturnType<typeof bytesSource>) => Promise<TensorSource>,
) {
  const source = bytesSource(bytes, "mutated");
  let largest = 0;
  const counted = {
    ...source,
    read: (offset: number, length: number) => {
      largest = Math.max(largest, length);
      return source.read(offset, length);
    },
  };
  const started = performance.now();
  try {
    const opened = await open(counted);
    const tensors = new Map<string, Uint8Array>();
    for (const name of opened.tensors.keys()) {
      const data = await opened.read(name);
      largest = Math.max(largest, data.length);
      tensors.set(name, data);
    }
    return { opened, tensors };
  } catch (error) {
    if (!(error instanceof MimicVideoError)) throw error;
    expect(error.message.length).toBeLessThan(2000);
    return undefined;
  } finally {
    expect(largest).toBeLessThanOrEqual(2 * bytes.length);
    expect(performance.now() - started).toBeLessThan(1000);
  }
}

describe("safetensors", () => {
  const original = readFileSync(`${folder}/every.safetensors`);
  const headerEnd = 8 + Number(original.readBigUint64LE(0));

  test("a mutated header is refused, or means what JSON says it means", async () => {
    let refused = 0;
    const property = fc.asyncProperty(edits([0, headerEnd]), async (edit) => {
      const bytes = edit(new Uint8Array(original));
      const result = await readAll(bytes, openSafetensors);
      if (result === undefined) return void refused++;
      // Still a valid file (a letter of a name, a dtype of the same width): judge by an independent reading.
      const dataStart = 8 + Number(Buffer.from(bytes).readBigUint64LE(0));
      const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, dataStart))) as Record<
        string,
        { dtype: string; data_offsets: [number, number] }
      >;
      delete header.__metadata__;
      expect([...result.tensors.keys()].sort()).toEqual(Object.keys(header).sort());
      for (const [name, data] of result.tensors) {
        const [begin, end] = header[name].data_offsets;
        const { dtype, shape } = result.opened.tensors.get(name)!;
        expect(dtype).toBe(header[name].dtype);
        expect(shape.reduce((a, b) => a * b, dtypeBytes[dtype])).toBe(end - begin);
        expect(data).toEqual(bytes.slice(dataStart + begin, dataStart + end));
      }
    });
    await fc.assert(property, { seed: 20261122, numRuns });
    expect(refused).toBeGreaterThan(numRuns * 0.7);
  });
});

const lazyAndOdd = [
  "neg_view",
  "buffer",
  "param_attr",
  "argparse",
  "numpy_scalar",
  "dt_complex64",
  "dt_float8_e4m3fn",
];

/** Beginnings of files of every kind that is told apart, and what is not told apart. */
test("whatever the first bytes are, it is ours to refuse", async () => {
  const marks = [
    "",
    "{",
    "PK\x03\x04",
    "\x80\x02\x8a",
    "\x80\x04",
    "GGUF",
    "\x1f\x8b",
    "version https://git-lfs",
    "<html",
    "Entry",
  ];
  const start = fc.tuple(fc.constantFrom(...marks), fc.uint8Array({ maxLength: 300 }));
  const property = fc.asyncProperty(start, async ([mark, rest]) => {
    const bytes = Uint8Array.of(...[...mark].map((c) => c.charCodeAt(0)), ...rest);
    const result = await readAll(bytes, openAnyWeights);
    expect(result?.tensors.size ?? 0).toBe(0);
  });
  await fc.assert(property, { seed: 20261125, numRuns });
});

describe.each(["every.pt", "strided.pt", "module.pt", ...lazyAndOdd.map((name) => `cases/${name}.pt`)])(
  "torch: %s",
  (file) => {
    const original = new Uint8Array(readFileSync(`${folder}/${file}`));

    test("a mutated file is refused, or gives the right tensors", async () => {
      const truth = (await readAll(original, openAnyWeights))!.tensors;
      let refused = 0;
      const property = fc.asyncProperty(edits([0, original.length]), async (edit) => {
        const result = await readAll(edit(original), openAnyWeights);
        if (result === undefined) refused++;
        else expect(result.tensors).toEqual(truth);
      });
      await fc.assert(property, { seed: 20261122, numRuns });
      expect(refused).toBeGreaterThan(numRuns * 0.3);
    });

    test("a mutated pickle whose checksum fits is refused, or describes tensors that lie in their storages", async () => {
      const directory = await readZipDirectory(bytesSource(original));
      const entry = [...directory.values()].find(({ name }) => name.endsWith("/data.pkl"))!;
      const start = Buffer.from(original).indexOf(Buffer.of(0x80, 2), entry.headerOffset);
      const central = Buffer.from(original).lastIndexOf(entry.name) - 46;
      let refused = 0;
      const property = fc.asyncProperty(edits([0, entry.bytes]), async (edit) => {
        const bytes = original.slice();
        const pickle = bytes.subarray(start, start + entry.bytes);
        const mutated = edit(pickle.slice());
        pickle.fill(0x2e);
        pickle.set(mutated.subarray(0, entry.bytes));
        new DataView(bytes.buffer).setUint32(central + 16, crc32(pickle), true);
        const result = await readAll(bytes, openAnyWeights);
        if (result === undefined) return void refused++;
        for (const [name, data] of result.tensors) {
          expect(data.length).toBe(result.opened.tensors.get(name)!.bytes);
        }
      });
      await fc.assert(property, { seed: 20261123, numRuns });
      expect(refused).toBeGreaterThan(numRuns * 0.5);
    });
  },
);
