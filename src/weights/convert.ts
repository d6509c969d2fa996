/** Element conversions on the CPU, for small tensors and for checkpoints converted on request. */
import { FormatError, UsageError } from "../errors.ts";
import type { StoredDtype } from "./source.ts";

const widen: Partial<Record<StoredDtype, (bytes: Uint8Array) => Float32Array>> = {
  F64: (bytes) => Float32Array.from(new Float64Array(aligned(bytes, 8))),
  F32: (bytes) => new Float32Array(aligned(bytes, 4)),
  F16: (bytes) => lookUp(new Uint16Array(aligned(bytes, 2)), (f16Table ??= table(65536, 5, 10))),
  BF16: (bytes) => widenBf16(new Uint16Array(aligned(bytes, 2))),
  F8_E4M3: (bytes) => lookUp(bytes, (e4m3Table ??= e4m3Values())),
  F8_E5M2: (bytes) => lookUp(bytes, (e5m2Table ??= table(256, 5, 2))),
};

/** Element types `toFloat32` reads, and so a model can use. */
export const floatDtypes: ReadonlySet<StoredDtype> = new Set(Object.keys(widen) as StoredDtype[]);

/**
 * Widens stored floats to float32; float64 is rounded to nearest. Every other conversion is exact.
 * @param bytes little-endian elements, at any alignment
 * @throws UsageError for a dtype outside `floatDtypes`, FormatError if the bytes are not whole elements
 */
export function toFloat32(bytes: Uint8Array, dtype: StoredDtype): Float32Array {
  const convert = widen[dtype];
  if (convert === undefined) {
    throw new UsageError(
      `${dtype} is not among the float types that are read: ${[...floatDtypes].join(" ")}.`,
    );
  }
  return convert(bytes);
}

export interface HalfResult {
  readonly bytes: Uint8Array;
  /** finite values beyond ±65504, stored as ±65504 */
  readonly saturated: number;
}

/**
 * Stored floats to float16, rounded to nearest even. Finite values beyond float16's range become ±65504 and are
 * counted; infinities and NaN stay what they are. Float16 is passed through.
 * @throws UsageError for an integer dtype, FormatError if the bytes are not whole elements
 */
export function toFloat16(bytes: Uint8Array, dtype: StoredDtype): HalfResult {
  if (dtype === "F16") return { bytes, saturated: 0 };
  const floats = toFloat32(bytes, dtype);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const output = new Uint16Array(bits.length);
  let saturated = 0;
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const magnitude = bits[i] & 0x7fffffff;
    const half = halfOfMagnitude(magnitude);
    if (half === 0x7c00 && magnitude !== 0x7f800000) {
      saturated++;
      output[i] = sign | 0x7bff;
    } else {
      output[i] = sign | half;
    }
  }
  return { bytes: new Uint8Array(output.buffer), saturated };
}

/** bfloat16 to float32 bytes, exact: the 16 bits are the upper half. */
export function bf16ToF32(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(widenBf16(new Uint16Array(aligned(bytes, 2))).buffer);
}

/** Bits of the non-negative float32 `magnitude` as float16; 0x7c00 when it is too large. */
function halfOfMagnitude(magnitude: number): number {
  if (magnitude > 0x7f800000) return 0x7e00;
  const exponent = (magnitude >>> 23) - 127 + 15;
  if (exponent >= 31) return 0x7c00;
  // Below 2⁻²⁵ everything rounds to zero.
  if (exponent < -10) return 0;
  // 23 fraction bits, and for a subnormal result the hidden bit, of which 10 are kept. A carry out of them is the next exponent.
  const fraction = magnitude & 0x7fffff;
  const [base, value, shift] =
    exponent >= 1 ? [exponent << 10, fraction, 13] : [0, 0x800000 | fraction, 14 - exponent];
  const kept = value >>> shift;
  const rest = value & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return base + kept + (rest > tie || (rest === tie && (kept & 1) === 1) ? 1 : 0);
}

function widenBf16(input: Uint16Array): Float32Array {
  const bits = new Uint32Array(input.length);
  for (let i = 0; i < input.length; i++) bits[i] = input[i] << 16;
  return new Float32Array(bits.buffer);
}

/** The bytes in a buffer of their own, at whose start any element type is aligned. */
function aligned(bytes: Uint8Array, elementBytes: number): ArrayBuffer {
  if (bytes.byteLength % elementBytes !== 0) {
    throw new FormatError(`${bytes.byteLength} bytes are not whole elements of ${elementBytes} bytes.`);
  }
  return bytes.slice().buffer;
}

let f16Table: Float32Array | undefined;
let e4m3Table: Float32Array | undefined;
let e5m2Table: Float32Array | undefined;

function lookUp(codes: Uint8Array | Uint16Array, values: Float32Array): Float32Array {
  const out = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) out[i] = values[codes[i]];
  return out;
}

/** Every value of an IEEE-like format with infinities, by its code. */
function table(codes: number, exponentBits: number, fractionBits: number): Float32Array {
  const bias = 2 ** (exponentBits - 1) - 1;
  const special = 2 ** exponentBits - 1;
  return Float32Array.from({ length: codes }, (_, code) => {
    const sign = code >= codes / 2 ? -1 : 1;
    const exponent = (code >> fractionBits) & special;
    const fraction = (code & (2 ** fractionBits - 1)) / 2 ** fractionBits;
    if (exponent === special) return fraction === 0 ? sign * Infinity : NaN;
    return exponent === 0
      ? sign * fraction * 2 ** (1 - bias)
      : sign * (1 + fraction) * 2 ** (exponent - bias);
  });
}

/** E4M3 "fn": no infinities, the top exponent holds numbers up to 448, and only 0x7f and 0xff are NaN. */
function e4m3Values(): Float32Array {
  const values = table(256, 4, 3);
  for (let code = 0x78; code <= 0x7f; code++) {
    const value = code === 0x7f ? NaN : (1 + (code & 7) / 8) * 2 ** 8;
    values[code] = value;
    values[code | 0x80] = -value;
  }
  return values;
}
