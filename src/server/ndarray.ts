/** numpy's arrays as bytes: `dtype.str`, shape, and the values in C order. */
import { FormatError } from "../errors.ts";

type Read = (view: DataView, at: number, little: boolean) => number;

/** By kind and bytes a value. */
const READ: Readonly<Record<string, Read>> = {
  b1: (view, at) => Number(view.getUint8(at) !== 0),
  i1: (view, at) => view.getInt8(at),
  u1: (view, at) => view.getUint8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  u2: (view, at, little) => view.getUint16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f2: (view, at, little) => halfToNumber(view.getUint16(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};

export class NdArray {
  /** as numpy writes it: "|u1", "<f4" */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** in C order; may be a view of a message */
  readonly bytes: Uint8Array;
  readonly size: number;

  /** @throws FormatError when the bytes are not those of the shape, or the dtype is none of numbers or texts */
  constructor(dtype: string, shape: readonly number[], bytes: Uint8Array) {
    if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0))
      throw new FormatError(
        `An array's shape is ${JSON.stringify(shape)}; lengths are whole numbers from 0 on.`,
      );
    this.dtype = dtype;
    this.shape = shape;
    this.bytes = bytes;
    this.size = shape.reduce((product, length) => product * length, 1);
    const expected = this.size * itemBytes(dtype);
    if (expected !== bytes.length)
      throw new FormatError(
        `An array of ${dtype} and shape (${shape.join(", ")}) has ${expected} bytes, not ${bytes.length}.`,
      );
  }

  /** float32 values as an array that numpy reads back. */
  static float32(values: Float32Array, shape: readonly number[]): NdArray {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => view.setFloat32(4 * i, value, true));
    return new NdArray("<f4", shape, bytes);
  }

  /** "f", "i", "u", "b", or "U" for text */
  get kind(): string {
    return this.dtype[1];
  }

  /**
   * Every value as a number; 64-bit integers beyond 2^53 are rounded.
   * @throws FormatError where the values are texts
   */
  numbers(): Float64Array {
    const read = READ[this.dtype.slice(1)] as Read | undefined;
    if (!read) throw new FormatError(`Numbers are expected; the array's dtype is ${this.dtype}.`);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    const bytes = itemBytes(this.dtype);
    const little = this.dtype[0] !== ">";
    return Float64Array.from({ length: this.size }, (_, i) => read(view, i * bytes, little));
  }

  /** The only value, where it is a text. */
  text(): string | undefined {
    if (this.kind !== "U" || this.size !== 1) return undefined;
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    const little = this.dtype[0] !== ">";
    const codes = Array.from({ length: this.bytes.length / 4 }, (_, i) => view.getUint32(4 * i, little));
    // numpy fills up with zeros.
    while (codes.at(-1) === 0) codes.pop();
    if (codes.some((code) => code > 0x10ffff)) throw new FormatError("A text holds what is no Unicode.");
    return codes.map((code) => String.fromCodePoint(code)).join("");
  }
}

/** Bytes of a value. @throws FormatError for a dtype that has no numbers or texts */
function itemBytes(dtype: string): number {
  const text = /^[<>]U(\d{1,6})$/.exec(dtype);
  if (text) return 4 * Number(text[1]);
  if (!/^[<>|=]/.test(dtype) || !Object.hasOwn(READ, dtype.slice(1)))
    throw new FormatError(
      `Arrays of dtype ${JSON.stringify(dtype.slice(0, 20))} are not read; these are: ${Object.keys(READ).join(", ")}, and texts.`,
    );
  return Number(dtype.slice(2));
}

/** float16: 1 sign, 5 exponent, 10 fraction bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
