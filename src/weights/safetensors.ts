/**
 * The safetensors format: 8 bytes little-endian length N, N bytes of JSON header, then one buffer that the
 * tensors cover exactly. Facts from the format page and the README of the public `safetensors` package.
 *
 *     { "__metadata__": {"k": "v"}, "name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, … }
 *
 * The header is checked completely before a byte of the buffer is used. Tensors need not be aligned (older
 * writers did not align the buffer), so data is handed out as bytes of its own, never as a view into the file.
 */
import { FormatError } from "../errors.ts";
import {
  type ByteSource,
  checkRange,
  defaultChunkBytes,
  dtypeBytes,
  maxDimensions,
  quoted,
  safetensorsDtypes,
  type StoredDtype,
  streamRange,
  type TensorInfo,
  type TensorSource,
  tensorInfo,
} from "./source.ts";
import { type Json, parseStrictJson } from "./strict-json.ts";

export { encodeSafetensors, type TensorToWrite, writeSafetensors } from "./safetensors-writer.ts";

/** The public package refuses longer headers too, so that a damaged length cannot ask for gigabytes. */
export const maxHeaderBytes = 100_000_000;

interface Entry extends TensorInfo {
  /** from the start of the file */
  readonly offset: number;
}

export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** where the buffer of tensors begins */
  readonly dataStart: number;
}

/** A safetensors file that also tells its `__metadata__`. */
export interface SafetensorsSource extends TensorSource {
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Opens a safetensors file by its header; tensors are read when asked for, by ranges.
 * @throws FormatError if the header is not exactly what the format allows
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsSource> {
  const { entries, metadata } = await readSafetensorsHeader(source);
  const opened: SafetensorsSource = {
    name: source.name,
    tensors: entries,
    metadata,
    read: async (name) => {
      const { offset, bytes } = tensorInfo(opened, name) as Entry;
      return source.read(offset, bytes);
    },
    stream: (name, chunkBytes = defaultChunkBytes) => {
      const { offset, bytes } = tensorInfo(opened, name) as Entry;
      return streamRange(source, offset, bytes, chunkBytes);
    },
    close: async () => source.close?.(),
  };
  return opened;
}

/**
 * Reads and checks the header: length, JSON without repeated keys, dtypes, shapes, and that the ranges cover the
 * buffer without overlap or hole up to the end of the file.
 * @throws FormatError naming the file, the tensor and the numbers
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const { name: file, size } = source;
  if (size < 8) {
    throw new FormatError(
      `${file}: ${size} bytes are too few for a safetensors file, which begins with 8 of length.`,
    );
  }
  const lengthBytes = await source.read(0, 8);
  const headerBytes = Number(
    new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8).getBigUint64(0, true),
  );
  if (headerBytes > maxHeaderBytes) {
    throw new FormatError(
      `${file}: its first 8 bytes announce a header of ${headerBytes} bytes; at most ${maxHeaderBytes} are allowed. ` +
        "This is not a safetensors file, or it is damaged.",
    );
  }
  const dataStart = 8 + headerBytes;
  if (headerBytes < 2 || dataStart > size) {
    throw new FormatError(
      `${file}: its first 8 bytes announce a header of ${headerBytes} bytes, the file has ${size}. ` +
        "It is truncated, or not a safetensors file; fetch it again.",
    );
  }
  checkRange(source, 8, headerBytes);
  const text = decodeUtf8(await source.read(8, headerBytes), file);
  if (text[0] !== "{") {
    throw new FormatError(`${file}: a safetensors header begins with "{", this one with ${quoted(text[0])}.`);
  }
  const entries = new Map<string, Entry>();
  let metadata: ReadonlyMap<string, string> = new Map();
  parseStrictJson(text, `${file}: header`, {
    maxDepth: 4,
    maxItems: maxDimensions,
    wholeNumbers: true,
    onEntry: (name, value) => {
      if (name === "__metadata__") metadata = checkMetadata(value, file);
      else entries.set(name, checkEntry(name, value, file, dataStart));
    },
  });
  checkCoverage(entries, file, dataStart, size);
  return { entries, metadata, dataStart };
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    // Without ignoreBOM a byte order mark would be dropped in silence, and other readers refuse it.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new FormatError(`${file}: its header is not UTF-8; the file is damaged.`, { cause: error });
  }
}

function checkMetadata(value: Json, file: string): ReadonlyMap<string, string> {
  // null stands for none, as in the public package.
  if (value === null) return new Map();
  if (!(value instanceof Map)) throw new FormatError(`${file}: __metadata__ is not a JSON object.`);
  for (const [key, text] of value) {
    if (typeof text !== "string") {
      throw new FormatError(`${file}: __metadata__ holds ${quoted(key)}, which is not text.`);
    }
  }
  return value as Map<string, string>;
}

function checkEntry(name: string, value: Json, file: string, dataStart: number): Entry {
  const fail = (what: string): never => {
    throw new FormatError(`${file}: tensor ${quoted(name)} ${what}; the file is damaged.`);
  };
  if (!(value instanceof Map)) return fail("is not described by an object");
  // Further fields are passed over, as the public package does.
  const [dtype, shape, offsets] = [value.get("dtype"), value.get("shape"), value.get("data_offsets")];
  if (!isSafetensorsDtype(dtype)) {
    throw new FormatError(
      `${file}: tensor ${quoted(name)} has the element type ${quoted(dtype)}; ` +
        `this reader knows ${safetensorsDtypes.join(" ")}.`,
    );
  }
  if (!isCounts(shape)) return fail("has a shape that is not a list of whole numbers from 0 on");
  if (!isCounts(offsets) || offsets.length !== 2)
    return fail("has data_offsets that are not two whole numbers");
  const [begin, end] = offsets;
  let elements = 1;
  for (const size of shape) {
    elements *= size;
    // A later 0 would hide an overflow here; the public reader refuses such shapes too.
    if (!Number.isSafeInteger(elements * Math.ceil(dtypeBytes[dtype])))
      return fail(`has a shape [${shape.join(", ")}] beyond 2^53 bytes`);
  }
  const bytes = elements * dtypeBytes[dtype];
  if (!Number.isInteger(bytes))
    return fail(`is ${dtype} [${shape.join(", ")}], which does not fill whole bytes`);
  if (end - begin !== bytes) {
    return fail(
      `is ${dtype} [${shape.join(", ")}], ${bytes} bytes, but its data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, bytes, offset: dataStart + begin };
}

function isSafetensorsDtype(value: Json | undefined): value is StoredDtype {
  return (safetensorsDtypes as readonly unknown[]).includes(value);
}

/** `-0` is refused with the fractions: its sign would survive into shapes. */
function isCounts(value: Json | undefined): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((n) => Number.isSafeInteger(n) && !Object.is(n, -0) && (n as number) >= 0)
  );
}

function checkCoverage(
  entries: ReadonlyMap<string, Entry>,
  file: string,
  dataStart: number,
  size: number,
): void {
  const inOrder = [...entries.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let covered = dataStart;
  for (const { name, offset, bytes } of inOrder) {
    if (offset !== covered) {
      throw new FormatError(
        `${file}: tensor ${quoted(name)} begins at byte ${offset}, ${offset < covered ? "inside" : "beyond the end of"} ` +
          `the one before it, which ends at ${covered}; the file is damaged.`,
      );
    }
    covered += bytes;
  }
  if (covered !== size) {
    throw new FormatError(
      `${file}: its tensors end at byte ${covered}, the file has ${size}. ` +
        (covered > size
          ? "It is truncated; fetch it again."
          : "Something was appended; the file is damaged."),
    );
  }
}
