/** Rounding to bfloat16: of numbers, and of a checkpoint as a view. */
import { describe, expect, it } from "vitest";
import { toFloat32 } from "../../src/weights/convert.ts";
import { bfloat16, roundedToBf16 } from "../../src/weights/rounded.ts";
import type { TensorSource } from "../../src/weights/source.ts";

/** The nearest of the two neighbours with eight significant bits, the even one where both are as near. */
function nearest(x: number): number {
  const y = Math.fround(x);
  if (y === 0 || !Number.isFinite(y)) return y;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(y))), -126);
  const unit = 2 ** (exponent - 7);
  const low = Math.floor(y / unit);
  const rest = y / unit - low;
  return (rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low) * unit;
}

describe("bfloat16", () => {
  it("rounds to the nearest, ties to even", () => {
    let x = 1e-39;
    for (let i = 0; i < 20_000; i++, x *= -1.01) if (Math.abs(x) < 1e38) expect(bfloat16(x)).toBe(nearest(x));
    for (const tie of [1 + 2 ** -8, 1 + 3 * 2 ** -8, -(1 + 2 ** -8)])
      expect(bfloat16(tie)).toBe(nearest(tie));
    expect(bfloat16(31694.01925648614)).toBe(31744);
    expect([bfloat16(Infinity), bfloat16(-0), bfloat16(NaN), bfloat16(3.4e38)]).toEqual([
      Infinity,
      -0,
      NaN,
      Infinity,
    ]);
  });
});

describe("roundedToBf16", () => {
  const values = Float32Array.from([1, -0.7571, 31694.02, NaN, Infinity, 1e-30, 3]);
  // A NaN that only has a fraction bit that bfloat16 drops.
  const bits = new Uint32Array(values.buffer);
  bits[3] = 0x7f800001;
  const doubles = Float64Array.from([Math.PI, 1 + 2 ** -8 + 2 ** -40]);
  const bytesOf: Record<string, Uint8Array> = {
    floats: new Uint8Array(values.buffer),
    doubles: new Uint8Array(doubles.buffer),
    counts: Uint8Array.of(5, 0, 0, 0),
  };
  const source: TensorSource = {
    name: "case",
    tensors: new Map([
      ["floats", { name: "floats", dtype: "F32", shape: [7], bytes: 28 }],
      ["doubles", { name: "doubles", dtype: "F64", shape: [2], bytes: 16 }],
      ["counts", { name: "counts", dtype: "I32", shape: [1], bytes: 4 }],
    ]),
    read: async (name) => bytesOf[name],
    // Chunks that end inside of elements.
    async *stream(name) {
      for (let at = 0; at < bytesOf[name].length; at += 3) yield bytesOf[name].slice(at, at + 3);
    },
    close: async () => {},
  };

  it("gives the same whole and in pieces, and leaves integers", async () => {
    const rounded = roundedToBf16(source);
    expect([...rounded.tensors.values()].map(({ dtype, bytes }) => [dtype, bytes])).toEqual([
      ["BF16", 14],
      ["BF16", 4],
      ["I32", 4],
    ]);
    for (const name of ["floats", "doubles", "counts"]) {
      const whole = await rounded.read(name);
      const pieces: number[] = [];
      for await (const piece of rounded.stream(name)) pieces.push(...piece);
      expect(pieces).toEqual([...whole]);
      expect(whole.length).toBe(rounded.tensors.get(name)!.bytes);
    }
    const floats = toFloat32(await rounded.read("floats"), "BF16");
    expect([...floats]).toEqual([...values].map((x) => bfloat16(x)));
    const [pi, above] = toFloat32(await rounded.read("doubles"), "BF16");
    // Through float32, where the second is a tie: rounded twice, as PyTorch does.
    expect([pi, above]).toEqual([3.140625, 1]);
    expect(await rounded.read("counts")).toEqual(bytesOf.counts);
  });
});
