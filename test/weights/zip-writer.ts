/** Zip files as torch.save writes them, for tests: stored entries, data descriptors left out, zip64 where asked. */
import { crc32 } from "node:zlib";

export interface EntryToZip {
  readonly name: string;
  /** content, or only its length for a hole in a sparse file */
  readonly content: Uint8Array | { readonly zeros: number; readonly crc32: number };
  /** recorded instead of the right one */
  readonly crc32?: number;
}

/** Pieces of a file with their places; gaps between them are zeros. */
export interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface ZipOptions {
  /** false leaves the zip64 records out, as other writers do for small files; torch always writes them */
  readonly zip64?: boolean;
}

/** Lays out a zip; `size` is the length of the file. */
export function layOutZip(
  entries: readonly EntryToZip[],
  options: ZipOptions = {},
): { pieces: Piece[]; size: number } {
  const pieces: Piece[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, content, crc32: recorded } of entries) {
    const encoded = Buffer.from(name);
    const bytes = content instanceof Uint8Array ? content.length : content.zeros;
    const crc = recorded ?? (content instanceof Uint8Array ? crc32(content) : content.crc32);
    const padding = (64 - ((offset + 30 + encoded.length + 4) % 64)) % 64;
    const local = Buffer.alloc(30 + encoded.length + 4 + padding);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(0x0808, 6);
    local.writeUInt16LE(encoded.length, 26);
    local.writeUInt16LE(4 + padding, 28);
    encoded.copy(local, 30);
    local.writeUInt16LE(0x4246, 30 + encoded.length);
    local.writeUInt16LE(padding, 32 + encoded.length);
    pieces.push({ offset, bytes: local });
    if (content instanceof Uint8Array) pieces.push({ offset: offset + local.length, bytes: content });
    central.push(centralHeader(encoded, bytes, crc, offset));
    offset += local.length + bytes;
  }
  const directory = Buffer.concat(central);
  const end = endRecords(entries.length, directory.length, offset, options.zip64 ?? true);
  pieces.push({ offset, bytes: Buffer.concat([directory, end]) });
  return { pieces, size: offset + directory.length + end.length };
}

/** A small zip as one array. */
export function zip(entries: readonly EntryToZip[], options: ZipOptions = {}): Uint8Array {
  const { pieces, size } = layOutZip(entries, options);
  const all = new Uint8Array(size);
  for (const { offset, bytes } of pieces) all.set(bytes, offset);
  return all;
}

function centralHeader(name: Buffer, bytes: number, crc: number, offset: number): Buffer {
  const saturated = [bytes, bytes, offset].filter((value) => value >= 0xffffffff);
  const extra = Buffer.alloc(saturated.length === 0 ? 0 : 4 + 8 * saturated.length);
  if (saturated.length > 0) {
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(8 * saturated.length, 2);
    saturated.forEach((value, i) => {
      extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
    });
  }
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(0x0808, 8);
  header.writeUInt32LE(crc, 16);
  header.writeUInt32LE(Math.min(bytes, 0xffffffff), 20);
  header.writeUInt32LE(Math.min(bytes, 0xffffffff), 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(extra.length, 30);
  header.writeUInt32LE(Math.min(offset, 0xffffffff), 42);
  return Buffer.concat([header, name, extra]);
}

function endRecords(count: number, bytes: number, offset: number, zip64: boolean): Buffer {
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeBigUInt64LE(BigInt(count), 24);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(bytes), 40);
  record.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + bytes), 8);
  locator.writeUInt32LE(1, 16);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, 0xffff), 8);
  end.writeUInt16LE(Math.min(count, 0xffff), 10);
  end.writeUInt32LE(Math.min(bytes, 0xffffffff), 12);
  end.writeUInt32LE(Math.min(offset, 0xffffffff), 16);
  return zip64 ? Buffer.concat([record, locator, end]) : end;
}
