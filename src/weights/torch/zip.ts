/**
 * The part of the zip format that torch.save writes: stored entries, zip64 records, sizes only in the central
 * directory (the local header has zeros and a data descriptor follows). Facts from PKWARE's APPNOTE 6.3 and from
 * files written by torch. Nothing is ever decompressed, so an entry cannot be larger than the file.
 */
import { FormatError } from "../../errors.ts";
import { type ByteSource, checkRange, quoted } from "../source.ts";

export interface ZipEntry {
  readonly name: string;
  /** bytes of content */
  readonly bytes: number;
  readonly crc32: number;
  /** where its local header begins */
  readonly headerOffset: number;
  /** where the next local header or the central directory begins: all of the entry lies before it */
  readonly limit: number;
}

const endRecord = 0x06054b50;
const end64Locator = 0x07064b50;
const end64Record = 0x06064b50;
const centralHeader = 0x02014b50;
const localHeader = 0x04034b50;

/** About 100 bytes an entry. */
const maxDirectoryBytes = 16_000_000;

/**
 * Reads the central directory.
 * @throws FormatError if it is not a zip, or one that torch would not write: compressed, encrypted, in several
 *   parts, with overlapping entries or two of one name
 */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const { count, offset, bytes } = await findDirectory(source);
  if (bytes > maxDirectoryBytes) {
    throw new FormatError(
      `${source.name}: a zip directory of ${bytes} bytes; at most ${maxDirectoryBytes} are allowed.`,
    );
  }
  checkRange(source, offset, bytes);
  const parsed = parseDirectory(await source.read(offset, bytes), count, source.name);
  const inOrder = [...parsed].sort((a, b) => a.headerOffset - b.headerOffset);
  const entries = new Map<string, ZipEntry>();
  inOrder.forEach((entry, i) => {
    const limit = inOrder[i + 1]?.headerOffset ?? offset;
    const needed = 30 + new TextEncoder().encode(entry.name).length + entry.bytes;
    if (limit - entry.headerOffset < needed) {
      throw new FormatError(
        `${source.name}: zip entry ${quoted(entry.name)} needs ${needed} bytes from ${entry.headerOffset}, but something else ` +
          `begins at ${limit}. Overlapping entries are refused; the file is damaged.`,
      );
    }
    if (entries.has(entry.name)) {
      throw new FormatError(
        `${source.name}: two zip entries are named ${quoted(entry.name)}; the file is damaged.`,
      );
    }
    entries.set(entry.name, { ...entry, limit });
  });
  return entries;
}

/**
 * Where the content of an entry begins. The local header must be asked, as its extra field differs in length
 * from the directory's: torch pads with it to 64 bytes.
 * @throws FormatError if local header and directory disagree
 */
export async function locateZipEntry(source: ByteSource, entry: ZipEntry): Promise<number> {
  const nameLength = new TextEncoder().encode(entry.name).length;
  const bytes = await source.read(entry.headerOffset, 30 + nameLength);
  const view = viewOf(bytes);
  const name = new TextDecoder().decode(bytes.subarray(30));
  const start = entry.headerOffset + 30 + nameLength + view.getUint16(28, true);
  const agrees =
    view.getUint32(0, true) === localHeader &&
    view.getUint16(8, true) === 0 &&
    view.getUint16(26, true) === nameLength &&
    name === entry.name &&
    start + entry.bytes <= entry.limit;
  if (!agrees) {
    throw new FormatError(
      `${source.name}: zip entry ${quoted(entry.name)} is not where the directory says, at byte ${entry.headerOffset}; ` +
        "the file is damaged.",
    );
  }
  return start;
}

async function findDirectory(source: ByteSource): Promise<{ count: number; offset: number; bytes: number }> {
  // The end record has 22 bytes and a comment of at most 65535; before it stands the zip64 locator of 20.
  const tailBytes = Math.min(source.size, 22 + 65535 + 20);
  const tail = await source.read(source.size - tailBytes, tailBytes);
  const view = viewOf(tail);
  let at = tailBytes - 22;
  while (
    at >= 0 &&
    !(view.getUint32(at, true) === endRecord && view.getUint16(at + 20, true) === tailBytes - at - 22)
  )
    at--;
  if (at < 0) {
    throw new FormatError(
      `${source.name}: no end of a zip file in its ${source.size} bytes. It is truncated; fetch it again.`,
    );
  }
  const end = {
    count: view.getUint16(at + 10, true),
    bytes: view.getUint32(at + 12, true),
    offset: view.getUint32(at + 16, true),
  };
  const parts = view.getUint16(at + 4, true) + view.getUint16(at + 6, true);
  const has64 = at >= 20 && view.getUint32(at - 20, true) === end64Locator;
  if (!has64) {
    if (parts !== 0) throw new FormatError(`${source.name}: a zip in several parts; join it first.`);
    return end;
  }
  const recordOffset = safe(view.getBigUint64(at - 12, true), source.name);
  checkRange(source, recordOffset, 56);
  const record = viewOf(await source.read(recordOffset, 56));
  if (record.getUint32(0, true) !== end64Record) {
    throw new FormatError(`${source.name}: no zip64 record at byte ${recordOffset}; the file is damaged.`);
  }
  const found = {
    count: safe(record.getBigUint64(32, true), source.name),
    bytes: safe(record.getBigUint64(40, true), source.name),
    offset: safe(record.getBigUint64(48, true), source.name),
  };
  // Two directories would mean two contents to two readers.
  const agrees =
    (end.count === 0xffff || end.count === found.count) &&
    (end.bytes === 0xffffffff || end.bytes === found.bytes) &&
    (end.offset === 0xffffffff || end.offset === found.offset);
  if (!agrees)
    throw new FormatError(`${source.name}: its two zip end records disagree; the file is damaged.`);
  return found;
}

function parseDirectory(bytes: Uint8Array, count: number, file: string): Omit<ZipEntry, "limit">[] {
  const view = viewOf(bytes);
  const entries: Omit<ZipEntry, "limit">[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== centralHeader) break;
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const next = extraEnd + view.getUint16(at + 32, true);
    if (next > bytes.length) break;
    const name = decodeName(bytes.subarray(at + 46, nameEnd), file);
    const method = view.getUint16(at + 10, true);
    if (method !== 0) {
      throw new FormatError(
        `${file}: zip entry ${quoted(name)} is compressed (method ${method}); torch stores. Only files as torch.save writes them are read.`,
      );
    }
    if ((view.getUint16(at + 8, true) & 1) !== 0)
      throw new FormatError(`${file}: zip entry ${quoted(name)} is encrypted.`);
    let size = view.getUint32(at + 24, true);
    let stored = view.getUint32(at + 20, true);
    let headerOffset = view.getUint32(at + 42, true);
    const extra = zip64Extra(bytes.subarray(nameEnd, extraEnd), file);
    // Fields stand there in this order, and only those that are saturated in the entry.
    if (size === 0xffffffff) size = extra();
    if (stored === 0xffffffff) stored = extra();
    if (headerOffset === 0xffffffff) headerOffset = extra();
    if (size !== stored) {
      throw new FormatError(
        `${file}: stored zip entry ${quoted(name)} claims ${size} bytes from ${stored}; the file is damaged.`,
      );
    }
    entries.push({ name, bytes: size, crc32: view.getUint32(at + 16, true), headerOffset });
    at = next;
  }
  if (at !== bytes.length || entries.length !== count) {
    throw new FormatError(
      `${file}: its zip directory should hold ${count} entries in ${bytes.length} bytes; ` +
        `${entries.length} were found in ${at}. The file is damaged.`,
    );
  }
  return entries;
}

/** Successive 64-bit values of the zip64 field. */
function zip64Extra(extra: Uint8Array, file: string): () => number {
  const view = viewOf(extra);
  let [at, end] = [0, 0];
  for (let field = 0; field + 4 <= extra.length; field += 4 + view.getUint16(field + 2, true)) {
    if (view.getUint16(field, true) === 1) {
      at = field + 4;
      end = Math.min(extra.length, at + view.getUint16(field + 2, true));
      break;
    }
  }
  return () => {
    if (at + 8 > end)
      throw new FormatError(`${file}: a zip64 size is announced but absent; the file is damaged.`);
    at += 8;
    return safe(view.getBigUint64(at - 8, true), file);
  };
}

function decodeName(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new FormatError(`${file}: a zip entry has a name that is not UTF-8; the file is damaged.`, {
      cause: error,
    });
  }
}

function safe(value: bigint, file: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new FormatError(`${file}: a zip64 field holds ${value}, beyond any file; the file is damaged.`);
  }
  return Number(value);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
