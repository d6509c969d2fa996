/** Pickles of numpy arrays (written by numpy 2.4.6 and Python's pickle, protocols 2 to 4): read, never executed. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { FormatError } from "../../src/errors.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openArrays } from "../../src/weights/open-arrays.node.ts";
import { openPickledArrays } from "../../src/weights/pickled-arrays.ts";

const at = (name: string): string =>
  fileURLToPath(new URL(`fixtures/arrays/${name}.pickle`, import.meta.url));
/** (3, 4) */
const values = Float32Array.from({ length: 12 }, (_, i) => i / 8 - 0.5);

describe("lists and dicts", () => {
  test.each([2, 3, 4])("a list, protocol %i", async (protocol) => {
    const source = await openArrays(at(`list-${protocol}`));
    expect([...source.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ["0", "F16", [3, 4]],
      ["1", "F32", [2, 4]],
    ]);
    expect(toFloat32(await source.read("0"), "F16")).toEqual(values);
    expect(toFloat32(await source.read("1"), "F32")).toEqual(values.slice(0, 8).map((v) => 2 * v));
  });

  test("a dict", async () => {
    const source = await openArrays(at("dict"));
    expect(toFloat32(await source.read("put it down."), "F32")).toEqual(values);
  });
});

describe("what is refused", () => {
  test.each([
    ["fortran", /Fortran order/],
    ["big-endian", /type ">f4"/],
    ["call", /holds "posix\.system"/],
  ])("%s", async (name, message) => {
    await expect(openArrays(at(name))).rejects.toThrow(FormatError);
    await expect(openArrays(at(name))).rejects.toThrow(message);
  });

  test("every cut and every changed byte is read or refused, never worse", async () => {
    const whole = new Uint8Array(await readFile(at("list-4")));
    const tryOut = (bytes: Uint8Array): void => {
      try {
        openPickledArrays(bytes, "changed");
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    };
    for (let cut = 0; cut < whole.length; cut++) tryOut(whole.slice(0, cut));
    for (let i = 0; i < whole.length; i++) {
      for (const bit of [1, 0x80, 0xff]) {
        const bytes = whole.slice();
        bytes[i] ^= bit;
        tryOut(bytes);
      }
    }
  });
});
