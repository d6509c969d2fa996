/** Stored elements of any type as numbers. */
import { floatDtypes, toFloat32 } from "../weights/convert.ts";
import type { StoredDtype } from "../weights/source.ts";

/** Floats, integers and booleans as float32 values; integers beyond 2²⁴ lose digits. */
export function toNumbers(bytes: Uint8Array, dtype: StoredDtype): Float32Array {
  if (floatDtypes.has(dtype)) return toFloat32(bytes, dtype);
  const buffer = bytes.slice().buffer;
  if (dtype === "I64") return Float32Array.from(new BigInt64Array(buffer), Number);
  if (dtype === "I32") return Float32Array.from(new Int32Array(buffer));
  if (dtype === "I16") return Float32Array.from(new Int16Array(buffer));
  if (dtype === "I8") return Float32Array.from(new Int8Array(buffer));
  return Float32Array.from(bytes);
}
