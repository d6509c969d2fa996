/**
 * Weights as bytes: what a file must offer to be read by ranges (`ByteSource`), and what a safetensors file, a
 * sharded set or a torch checkpoint look like to whoever loads a model (`TensorSource`).
 */
import { FormatError, WeightsError } from "../errors.ts";

/**
 * Bits of one element, by its safetensors name; in the order in which the public package ranks them (0.8), which is how
 * it sorts what it writes. C32 and C128 exist in torch checkpoints only.
 */
const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
  C32: 32,
  C128: 128,
} as const;

/** Element types a checkpoint may hold. All can be listed and copied; a model takes those of `floatDtypes`. */
export type StoredDtype = keyof typeof dtypeBits;

/** Bytes of one element; half a byte for F4, three quarters for F6. */
export const dtypeBytes = Object.fromEntries(
  Object.entries(dtypeBits).map(([dtype, bits]) => [dtype, bits / 8]),
) as Readonly<Record<StoredDtype, number>>;

/** Element types of the safetensors format, as its public package ranks them. */
export const safetensorsDtypes: readonly StoredDtype[] = (Object.keys(dtypeBits) as StoredDtype[]).filter(
  (dtype) => dtype !== "C32" && dtype !== "C128",
);

export interface TensorInfo {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** product of the shape × bytes of an element */
  readonly bytes: number;
}

/** Random-access bytes: a file handle, HTTP ranges, a Blob or File, an ArrayBuffer. */
export interface ByteSource {
  /** for messages */
  readonly name: string;
  /** bytes in all */
  readonly size: number;
  /** exactly `length` bytes from `offset`, or an error; the caller owns the array */
  read(offset: number, length: number): Promise<Uint8Array>;
  close?(): Promise<void>;
}

/** What a safetensors file, a sharded set or a torch checkpoint look like to a loader. */
export interface TensorSource {
  /** for messages */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** `__metadata__` of a safetensors file; only there */
  readonly metadata?: ReadonlyMap<string, string>;
  /** what lies beside the tensors of a torch checkpoint and was passed over: "args: argparse.Namespace" */
  readonly skipped?: readonly string[];
  /** numbers, texts, truth values and None (null) beside the tensors of a torch checkpoint, by dotted name: "config.model.depth" */
  readonly values?: ReadonlyMap<string, string | number | boolean | null>;
  /** bytes of one tensor, contiguous, row-major, little-endian, exactly `info.bytes` long */
  read(name: string): Promise<Uint8Array>;
  /** the same in consecutive chunks of at most `chunkBytes`, for streaming to the GPU without holding the tensor */
  stream(name: string, chunkBytes?: number): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** Where a writer puts its bytes, in order. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Large enough that a disk read is not bound by calls, small enough that a few in flight are nothing. */
export const defaultChunkBytes = 8 * 1024 * 1024;

/** Number of elements of a shape; 1 for a scalar. Not checked against 2⁵³: the readers do that on untrusted shapes. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Bytes of a range in consecutive chunks. The next chunk is asked for before the present one is handed out, so
 * that disk or network work while the caller uploads; at most two chunks are alive here.
 */
export async function* streamRange(
  source: ByteSource,
  offset: number,
  length: number,
  chunkBytes = defaultChunkBytes,
): AsyncIterable<Uint8Array> {
  const step = Math.max(1, Math.floor(chunkBytes));
  const readAt = (at: number) => {
    const chunk = source.read(offset + at, Math.min(step, length - at));
    // If the caller stops early nobody awaits this read; its failure must not end the process.
    chunk.catch(() => {});
    return chunk;
  };
  let next = length > 0 ? readAt(0) : undefined;
  for (let at = 0; at < length; at += step) {
    const chunk = await next!;
    next = at + step < length ? readAt(at + step) : undefined;
    yield chunk;
  }
}

/**
 * The entry of `name`.
 * @throws WeightsError if the source has no such tensor, naming a few it has
 */
export function tensorInfo(source: TensorSource, name: string): TensorInfo {
  const info = source.tensors.get(name);
  if (info === undefined) {
    const some = [...source.tensors.keys()].slice(0, 3).join(", ");
    throw new WeightsError(
      `${source.name} has no tensor "${name}" among its ${source.tensors.size} (${some || "none"}…). ` +
        "`npm run inspect` lists them all.",
    );
  }
  return info;
}

/**
 * Refuses a range that does not lie within the source, before anything is allocated for it.
 * @throws FormatError with the numbers
 */
export function checkRange(source: { name: string; size: number }, offset: number, length: number): void {
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size;
  if (!inside) {
    throw new FormatError(
      `${source.name}: bytes ${offset} to ${offset + length} were asked for, but it has ${source.size}. ` +
        "The file is truncated or damaged; fetch it again.",
    );
  }
}

/** A value from a file for a message: as JSON, and never longer than a line or two, whatever the file holds. */
export function quoted(value: unknown): string {
  const text = typeof value === "string" ? value.slice(0, 200) : value;
  const json = JSON.stringify(text) ?? String(text);
  const shortened = json.length > 300 || (typeof value === "string" && value.length > 200);
  return shortened ? `${json.slice(0, 300)}…` : json;
}

/** More dimensions than this no tensor library has (torch stops at 64). */
export const maxDimensions = 64;

/** @throws FormatError when a tensor is missing, or of another type or shape: what was found, and expected */
export function expectTensor(
  source: TensorSource,
  name: string,
  dtypes: readonly string[],
  shape: readonly number[],
): void {
  const found = source.tensors.get(name);
  if (!found) throw new FormatError(`${source.name}: the tensor "${name}" (${shape.join(", ")}) is missing`);
  if (found.shape.join() !== shape.join() || !dtypes.includes(found.dtype)) {
    throw new FormatError(
      `${source.name}: "${name}" is ${found.dtype} (${found.shape.join(", ")}), expected ${dtypes.join(" or ")} (${shape.join(", ")})`,
    );
  }
}
