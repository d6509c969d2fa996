/** Bytes already at hand: an ArrayBuffer, or a Blob such as a `File` a user chose or dropped. */
import { FormatError } from "../errors.ts";
import { type ByteSource, checkRange } from "./source.ts";

/** Bytes in memory as a source. Reads are copies, so the caller may keep or change them. */
export function bytesSource(bytes: Uint8Array | ArrayBuffer, name = "bytes in memory"): ByteSource {
  // A Uint8Array proper: `slice` of Node's Buffer shares memory.
  const all =
    bytes instanceof Uint8Array
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      : new Uint8Array(bytes);
  const source: ByteSource = {
    name,
    size: all.byteLength,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      return all.slice(offset, offset + length);
    },
  };
  return source;
}

/** A Blob or File, read by slices: nothing is held, no network is needed. */
export function blobSource(blob: Blob, name = (blob as Partial<File>).name ?? "blob"): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (error) {
        // Browsers refuse reads of a file that changed on disk after it was chosen.
        throw new FormatError(
          `${name}: reading failed (${(error as Error).message}). Choose the file again.`,
          { cause: error },
        );
      }
    },
  };
  return source;
}
