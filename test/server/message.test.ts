/** Messages as the real client wrote them (test/server/record_fixtures.py), and what is no message. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { decodeMessage, encodeMessage, type Value } from "../../src/server/message.ts";
import { NdArray } from "../../src/server/ndarray.ts";
import { readPicture } from "../../src/server/pictures.ts";
import { sameKey } from "../../src/server/admission.node.ts";
import { scanMessage } from "../../src/server/scan.ts";
import { fixture } from "./support.ts";

const expected = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures", "expected.json"), "utf8")) as {
  authorization: string;
  pictures: Record<string, { shape: number[]; sha256: string }>;
  requests: Record<string, unknown>;
};
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** As record_fixtures.py describes it. */
function described(value: Value, like: unknown): unknown {
  if (value instanceof NdArray) {
    const facts = (like as { ndarray: { values?: number[]; text?: string } }).ndarray;
    return {
      ndarray: {
        dtype: value.dtype,
        shape: [...value.shape],
        sha256: sha256(value.bytes),
        ...(facts.values ? { values: [...value.numbers()] } : {}),
        ...(facts.text === undefined ? {} : { text: value.text() }),
      },
    };
  }
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (value instanceof Map)
    return Object.fromEntries(
      [...(value as ReadonlyMap<string, Value>)].map(([key, each]) => [
        key,
        described(each, (like as Record<string, unknown>)[key]),
      ]),
    );
  if (Array.isArray(value)) return value.map((each, i) => described(each as Value, (like as unknown[])[i]));
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string" && value.length > 1000) return { length: value.length, of: value[0] };
  return value;
}

describe("what the real client sent", () => {
  test.each(Object.keys(expected.requests))("%s", (name) => {
    const message = decodeMessage(fixture(name));
    expect(described(message, expected.requests[name])).toEqual(expected.requests[name]);
  });

  test.each(Object.keys(expected.pictures))("pictures of %s are those that openpi makes of them", (name) => {
    const message = decodeMessage(fixture(name)) as ReadonlyMap<string, Value>;
    const { width, height, rgb } = readPicture(message.get("observation/image") as NdArray, name, 2 ** 20);
    expect([height, width, 3]).toEqual(expected.pictures[name].shape);
    expect(sha256(rgb)).toBe(expected.pictures[name].sha256);
  });

  test("its key", () => {
    expect(sameKey(expected.authorization, "Api-Key a key of 1 client")).toBe(true);
    expect(sameKey(expected.authorization, "Api-Key a key of 1 clien")).toBe(false);
    expect(sameKey("", "Api-Key a")).toBe(false);
  });

  test("writing what was read gives the client's own bytes", () => {
    const { dtype, shape, bytes } = (decodeMessage(fixture("table")) as ReadonlyMap<string, Value>).get(
      "observation/state",
    ) as NdArray;
    const ours = Buffer.from(encodeMessage(new NdArray(dtype, shape, bytes)));
    expect(fixture("table").includes(ours)).toBe(true);
  });
});

test("an answer comes back", () => {
  const values = Float32Array.of(1, -0.25, 1e-30, 3, 4, 5);
  const sent = {
    actions: NdArray.float32(values, [2, 3]),
    server_timing: { infer_ms: 1.5 },
    list: [1, "a", null],
  };
  const back = decodeMessage(encodeMessage(sent)) as ReadonlyMap<string, Value>;
  const actions = back.get("actions") as NdArray;
  expect([actions.dtype, actions.shape]).toEqual(["<f4", [2, 3]]);
  expect([...actions.numbers()]).toEqual([...values]);
  expect(back.get("server_timing")).toEqual(new Map([["infer_ms", 1.5]]));
  expect(back.get("list")).toEqual([1, "a", null]);
});

describe("what is no message is refused as such", () => {
  test("cut anywhere", () => {
    const whole = fixture("options");
    for (let length = 0; length < whole.length; length += length < 64 || length > 3200 ? 1 : 97)
      expect(() => decodeMessage(whole.subarray(0, length))).toThrow(FormatError);
  });

  test.each([
    ["extensions", [0xd4, 0x72, 0x40], "an extension"],
    ["extensions of any length", [0xc7, 1, 5, 0], "an extension"],
    ["the byte that nothing begins with", [0xc1], "which nothing begins with"],
    ["a list longer than the message", [0xdd, 0xff, 0xff, 0xff, 0xff], "promises 4294967295 values"],
    ["bytes that are not there", [0xc6, 0, 1, 0, 0, 1], "promises 65536 more, 1 are there"],
    ["more than one value", [1, 2], "1 bytes follow"],
    ["nothing", [], "promises 1 more"],
    ["deep nesting", [...Array.from({ length: 40 }, () => 0x91), 0], "deeper than 16"],
  ])("%s", (_, bytes, words) => {
    expect(() => decodeMessage(Uint8Array.from(bytes))).toThrow(FormatError);
    expect(() => decodeMessage(Uint8Array.from(bytes))).toThrow(words);
  });

  test("more values than a message may have, in little time", () => {
    const many = new Uint8Array(4_000_005).fill(0x90);
    many.set([0xdd, 0, 0x3d, 0x09, 0x00]);
    expect(() => decodeMessage(many)).toThrow("more than 100000 values");
  });

  test("any bytes are a value or a FormatError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeMessage(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 5000, seed: 1 },
    );
  });

  test("a byte changed in a message is a value or a FormatError", () => {
    const whole = fixture("dtypes").subarray(0, 900);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        const bytes = Uint8Array.from(whole);
        bytes[at] = value;
        try {
          decodeMessage(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 2000, seed: 2 },
    );
  });

  test("what the scan passes, the decoder reads to the end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 24 }), (bytes) => {
        try {
          scanMessage(bytes);
        } catch {
          return;
        }
        try {
          decodeMessage(bytes);
        } catch (error) {
          // Values that are no arrays and keys that are no texts, never the decoder's own errors.
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 20_000, seed: 3 },
    );
  });

  test("arrays whose bytes are not those of their shape", () => {
    expect(() => new NdArray("<f4", [2, 3], new Uint8Array(23))).toThrow("has 24 bytes, not 23");
    expect(() => new NdArray("<f4", [-1], new Uint8Array(0))).toThrow("whole numbers");
    expect(() => new NdArray("<f4", [2 ** 30, 2 ** 30], new Uint8Array(0))).toThrow(FormatError);
    expect(() => new NdArray("|O", [1], new Uint8Array(8))).toThrow("are not read");
    expect(() => new NdArray("<M8[ns]", [1], new Uint8Array(8))).toThrow("are not read");
    expect(() => new NdArray("|toString", [0], new Uint8Array(0))).toThrow("are not read");
  });
});
