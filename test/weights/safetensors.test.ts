import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FormatError, UsageError, WeightsError } from "../../src/errors.ts";
import { blobSource, bytesSource } from "../../src/weights/blob.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { encodeSafetensors, openSafetensors, type TensorToWrite } from "../../src/weights/safetensors.ts";

/** A file from header text and a buffer, right or wrong. */
function file(header: string, data = new Uint8Array(0), announced?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, announced ?? BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

const open = (bytes: Uint8Array) => openSafetensors(bytesSource(bytes, "x.safetensors"));
const eight = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const entry = (dtype: string, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

describe("a good file", () => {
  const bytes = file(
    `{"__metadata__":{"format":"pt"},"b":${entry("U8", [], [4, 5])},"a":${entry("BF16", [2, 1], [0, 4])},` +
      `"empty":${entry("F32", [0, 3], [5, 5])},"c":${entry("I8", [3], [5, 8])}}   `,
    eight,
  );

  test("gives each tensor its bytes, aligned or not", async () => {
    const source = await open(bytes);
    expect(source.metadata.get("format")).toBe("pt");
    expect(source.tensors.get("a")).toMatchObject({ name: "a", dtype: "BF16", shape: [2, 1], bytes: 4 });
    expect([...(await source.read("a"))]).toEqual([1, 2, 3, 4]);
    expect([...(await source.read("b"))]).toEqual([5]);
    expect([...(await source.read("c"))]).toEqual([6, 7, 8]);
    expect((await source.read("empty")).length).toBe(0);
    await expect(source.read("d")).rejects.toThrow(WeightsError);
  });

  test("streams in chunks of at most the size asked for", async () => {
    const source = await openSafetensors(
      blobSource(new Blob([bytes as Uint8Array<ArrayBuffer>]), "dropped file"),
    );
    const chunks: number[][] = [];
    for await (const chunk of source.stream("a", 3)) chunks.push([...chunk]);
    expect(chunks).toEqual([[1, 2, 3], [4]]);
    const none = source.stream("empty")[Symbol.asyncIterator]();
    expect((await none.next()).done).toBe(true);
  });
});

describe("a bad header is refused", () => {
  const one = entry("U8", [8], [0, 8]);
  const bad: [string, Uint8Array, RegExp][] = [
    ["no bytes", new Uint8Array(0), /0 bytes are too few/],
    [
      "an endless header",
      file("{}", eight, 2n ** 63n),
      /header of 9223372036854776000 bytes; at most 100000000/,
    ],
    ["a header just over the limit", file("{}", eight, 100_000_001n), /100000001/],
    ["a header beyond the file", file("{}", eight, 11n), /header of 11 bytes, the file has 18/],
    ["not UTF-8", file("{}", eight).fill(0xff, 9, 10), /UTF-8/],
    ["a byte order mark", file('\ufeff{"a":1}'), /begins with/],
    ["not an object", file("[]"), /begins with "{"/],
    ["leading space", file(" {}"), /begins with "{"/],
    ["broken JSON", file('{"a":'), /not JSON at character 5/],
    ["text after the end", file("{}x"), /more text/],
    ["a repeated key", file(`{"a":${one},"a":${one}}`, eight), /"a" for the second time/],
    [
      "a repeated field",
      file('{"a":{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}}', eight),
      /second/,
    ],
    ["very deep nesting", file(`{"a":${"[".repeat(1e6)}`), /nesting deeper than 4/],
    ["a list without end", file(`{"a":{"shape":[${"0,".repeat(1e5)}`), /more than 64 items/],
    ["a name without end", file(`{"${"a".repeat(1e6)}":1}`), /tensor "a{200}"… is not described/],
    ["a dtype without end", file(`{"a":${entry("U".repeat(1e6), [8], [0, 8])}}`, eight), /"U{200}"…;/],
    [
      "millions of empty tensors",
      file(`{"a":{},${'"b":{},'.repeat(1e6)}`),
      /"a" has the element type undefined/,
    ],
    ["metadata that is not text", file('{"__metadata__":{"a":1}}'), /not text/],
    ["an unknown dtype", file(`{"a":${entry("U12", [4], [0, 8])}}`, eight), /"U12".*F32 C64 F64/],
    [
      "4-bit numbers that leave half a byte",
      file(`{"a":${entry("F4", [15], [0, 8])}}`, eight),
      /whole bytes/,
    ],
    ["a size with a point", file('{"a":{"dtype":"U8","shape":[8.0],"data_offsets":[0,8]}}', eight), /shape/],
    [
      "a size with an exponent",
      file('{"a":{"dtype":"U8","shape":[8e0],"data_offsets":[0,8]}}', eight),
      /shape/,
    ],
    [
      "an offset with a point",
      file('{"a":{"dtype":"U8","shape":[8],"data_offsets":[0.0,8]}}', eight),
      /data_off/,
    ],
    ["a dtype from Object's prototype", file(`{"a":${entry("toString", [4], [0, 8])}}`, eight), /toString/],
    ["a negative size", file(`{"a":${entry("U8", [-8], [0, 8])}}`, eight), /shape/],
    ["minus zero", file('{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'), /shape/],
    ["a fractional size", file(`{"a":${entry("U8", [8.5], [0, 8])}}`, eight), /shape/],
    ["an overflowing shape", file(`{"a":${entry("U8", [2 ** 40, 2 ** 40, 0], [0, 8])}}`, eight), /2\^53/],
    ["shape and range that differ", file(`{"a":${entry("F32", [1], [0, 8])}}`, eight), /4 bytes.*hold 8/],
    ["a range backwards", file(`{"a":${entry("U8", [8], [8, 0])}}`, eight), /hold -8/],
    ["three offsets", file(`{"a":${entry("U8", [8], [0, 8, 8])}}`, eight), /data_offsets/],
    ["an overlap", file(`{"a":${one},"b":${entry("U8", [4], [4, 8])}}`, eight), /inside/],
    [
      "a hole",
      file(`{"a":${entry("U8", [2], [0, 2])},"b":${entry("U8", [4], [4, 8])}}`, eight),
      /beyond the end/,
    ],
    ["a hole at the start", file(`{"b":${entry("U8", [4], [4, 8])}}`, eight), /beyond the end/],
    ["a truncated buffer", file(`{"a":${one}}`, eight.subarray(0, 7)), /truncated/],
    ["an appended byte", file(`{"a":${one}}`, new Uint8Array(9)), /appended/],
  ];

  test.each(bad)("%s", async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(FormatError);
    await expect(open(bytes)).rejects.toThrow(message);
  });
});

describe("the writer", () => {
  const tensors: TensorToWrite[] = [
    { name: "small", dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) },
    { name: "é\u{1f600}\n", dtype: "F32", shape: [], data: Uint8Array.of(0, 0, 128, 63) },
    { name: "z", dtype: "I64", shape: [0, 2], data: new Uint8Array(0) },
  ];

  test("writes what the reader reads", async () => {
    const source = await open(await encodeSafetensors(tensors, { format: "pt" }));
    expect([...source.tensors.keys()]).toEqual(["z", "é\u{1f600}\n", "small"]);
    for (const { name, data } of tensors) expect(await source.read(name)).toEqual(data);
  });

  test("refuses data of another length, and a name twice", async () => {
    const [small] = tensors;
    await expect(encodeSafetensors([{ ...small, shape: [4] }])).rejects.toThrow(/4 bytes.*only 3/);
    await expect(encodeSafetensors([{ ...small, shape: [2] }])).rejects.toThrow(UsageError);
    await expect(encodeSafetensors([small, small])).rejects.toThrow(/taken/);
  });
});

test("every part of the shipped checkpoint opens, by its folder", async () => {
  for (const part of ["transformer", "vae", "text_encoder", "action_decoder"]) {
    const source = await openWeights(`weights/toy/${part}`);
    expect(source.tensors.size).toBeGreaterThan(10);
    await source.close();
  }
  for (const file of readdirSync("weights/toy/episodes").filter((name) => name.endsWith(".safetensors"))) {
    await (await openWeights(`weights/toy/episodes/${file}`)).close();
  }
});
