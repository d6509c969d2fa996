/**
 * Messages as openpi's client writes and reads them: msgpack in which a numpy array is a map with *binary* keys __ndarray__, data, dtype
 * and shape, and a numpy scalar one with __npgeneric__, data and dtype. Decoders that only know texts as keys cannot read them.
 */
import { Packr, Unpackr } from "msgpackr";
import { FormatError } from "../errors.ts";
import { NdArray } from "./ndarray.ts";
import { scanMessage, type ScanLimits } from "./scan.ts";

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | NdArray
  | readonly Value[]
  | ReadonlyMap<string, Value>;

/** What is sent: as `Value`, with plain objects for maps. */
export type Sent =
  null | boolean | number | string | NdArray | readonly Sent[] | { readonly [key: string]: Sent };

// Maps stay maps, so that keys may be bytes; nothing is kept from one message to the next.
const unpackr = new Unpackr({ mapsAsObjects: false, useRecords: false });
const packr = new Packr({ mapsAsObjects: false, useRecords: false, variableMapSize: true });
const utf8 = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/**
 * One message. Arrays and binary values are views of `bytes`.
 * @throws FormatError saying what cannot be read
 */
export function decodeMessage(bytes: Uint8Array, limits?: ScanLimits): Value {
  scanMessage(bytes, limits);
  return named(unpackr.unpack(bytes));
}

/** One message; NdArrays become numpy's. */
export function encodeMessage(value: Sent): Uint8Array {
  return packr.pack(raw(value));
}

/** What the decoder made, with names for keys and arrays for maps that mean them. */
function named(value: unknown): Value {
  if (Array.isArray(value)) return value.map(named);
  // A plain view: Buffer's slice would not copy.
  if (value instanceof Uint8Array) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (!(value instanceof Map)) return value as Value;
  const entries = new Map<string, Value>();
  let numpy: string | undefined;
  for (const [key, entry] of value as Map<unknown, unknown>) {
    const name = keyName(key);
    if (name !== key && (name === "__ndarray__" || name === "__npgeneric__")) numpy = name;
    entries.set(name, named(entry));
  }
  if (numpy === "__ndarray__") return readArray(entries);
  if (numpy === "__npgeneric__") return readScalar(entries);
  return entries;
}

function keyName(key: unknown): string {
  if (typeof key === "string") return key;
  if (!(key instanceof Uint8Array))
    throw new FormatError(`A key of a map is ${typeof key}; texts and bytes are read.`);
  try {
    return utf8.decode(key);
  } catch (cause) {
    throw new FormatError("A key of a map is bytes that are no text.", { cause });
  }
}

function readArray(entries: ReadonlyMap<string, Value>): NdArray {
  const [data, dtype, shape] = ["data", "dtype", "shape"].map((name) => entries.get(name));
  if (!(data instanceof Uint8Array) || typeof dtype !== "string" || !Array.isArray(shape))
    throw new FormatError(
      "A map with __ndarray__ is no array: it needs data (bytes), dtype (text) and shape (a list).",
    );
  return new NdArray(dtype, shape as number[], data);
}

function readScalar(entries: ReadonlyMap<string, Value>): Value {
  const data = entries.get("data");
  if (data === undefined || typeof data === "object")
    throw new FormatError(
      "A map with __npgeneric__ is no scalar: its data must be a number, a boolean or a text.",
    );
  return data;
}

/** Maps with bytes as keys in place of arrays. */
function raw(value: Sent): unknown {
  if (value instanceof NdArray)
    return new Map<unknown, unknown>([
      [encoder.encode("__ndarray__"), true],
      [encoder.encode("data"), value.bytes],
      [encoder.encode("dtype"), value.dtype],
      [encoder.encode("shape"), value.shape],
    ]);
  if (Array.isArray(value)) return value.map(raw);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, raw(entry)]));
}
