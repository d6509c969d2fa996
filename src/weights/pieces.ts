/** A stored tensor on its way to the GPU: in pieces of whole rows, its elements as they are kept, in another order. */
import type { WeightDtype } from "../tensor/matrix.ts";
import { type HalfResult, toFloat16, toFloat32 } from "./convert.ts";
import type { StoredDtype, TensorSource } from "./source.ts";

/** Bytes read at a time, as stored. */
const PIECE_BYTES = 1 << 22;

/** In the place of a term that no stored one fills. */
export const MISSING = -1;

/** A tensor in pieces of whole units, of some megabytes each. */
export async function* piecesOf(source: TensorSource, key: string, unit: number): AsyncIterable<Uint8Array> {
  const size = Math.max(1, Math.floor(PIECE_BYTES / unit)) * unit;
  let held = new Uint8Array(0);
  // A source may hand out other chunks than it was asked for, as one does that checks a file while reading it.
  for await (const chunk of source.stream(key, size)) {
    const bytes = held.byteLength === 0 ? chunk : concatenated(held, chunk);
    const whole = bytes.byteLength - (bytes.byteLength % unit);
    if (whole > 0) yield bytes.subarray(0, whole);
    held = bytes.slice(whole);
  }
}

function concatenated(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.byteLength + b.byteLength);
  both.set(a);
  both.set(b, a.byteLength);
  return both;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Stored floats as float32: in place where they are that already. */
export function asFloat32(bytes: Uint8Array, dtype: StoredDtype): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  const inPlace = dtype === "F32" && byteOffset % 4 === 0;
  return inPlace ? new Float32Array(buffer, byteOffset, byteLength / 4) : toFloat32(bytes, dtype);
}

/** Stored floats as a weight keeps them. */
export function asKept(bytes: Uint8Array, stored: StoredDtype, kept: WeightDtype): HalfResult {
  if (kept === "f16") return toFloat16(bytes, stored);
  return { bytes: kept === "bf16" ? bytes : bytesOf(asFloat32(bytes, stored)), saturated: 0 };
}

/** Rows of `unit` elements of 2 or 4 bytes, each in another order. */
export function reorder(rows: Uint8Array, elementBytes: number, unit: number, order: Int32Array): Uint8Array {
  const Elements = elementBytes === 2 ? Uint16Array : Uint32Array;
  // A buffer of its own, at whose start any element type is aligned.
  const from = new Elements(rows.slice().buffer);
  const count = from.length / unit;
  const to = new Elements(count * order.length);
  for (let row = 0; row < count; row++) {
    for (let k = 0; k < order.length; k++) {
      if (order[k] !== MISSING) to[row * order.length + k] = from[row * unit + order[k]];
    }
  }
  return bytesOf(to);
}
