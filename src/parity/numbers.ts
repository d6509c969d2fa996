/** Stored elements of any type as numbers. */
import { floatDtypes, toFloat32 } from "../weights/convert.ts";
import { UsageError } from "../errors.ts";
import type { StoredDtype } from "../weights/source.ts";

/** Floats, integers and booleans as float32 values; integers beyond 2²⁴ lose digits. @throws UsageError for other types */
export function toNumbers(bytes: Uint8Array, dtype: StoredDtype): Float32Array {
  if (floatDtypes.has(dtype)) return toFloat32(bytes, dtype);
  const buffer = bytes.slice().buffer;
  if (dtype === "I64") return Float32Array.from(new BigInt64Array(buffer), Number);
  if (dtype === "I32") return Float32Array.from(new Int32Array(buffer));
  if (dtype === "I16") return Float32Array.from(new Int16Array(buffer));
  if (dtype === "I8") return Float32Array.from(new Int8Array(buffer));
  if (dtype === "U64") return Float32Array.from(new BigUint64Array(buffer), Number);
  if (dtype === "U32") return Float32Array.from(new Uint32Array(buffer));
  if (dtype === "U16") return Float32Array.from(new Uint16Array(buffer));
  if (dtype === "U8" || dtype === "BOOL") return Float32Array.from(bytes);
  throw new UsageError(`Elements of type ${dtype} are not read as numbers.`);
}
