/** CRC-32 as zip uses it (reflected polynomial 0xEDB88320). */

/** Continues `previous` (0 to begin) over `bytes`; the result is unsigned. `zlib.crc32` of Node has the same form. */
export type Crc32 = (bytes: Uint8Array, previous: number) => number;

/**
 * Eight bytes a turn by eight tables: about six times one byte a turn, which would be slower than a disk.
 * Node's own is faster still, and the Node entry passes that one in.
 */
export const crc32: Crc32 = (bytes, previous) => {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = (tables ??= makeTables());
  let crc = ~previous;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    crc ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    crc =
      t7[crc & 255] ^
      t6[(crc >>> 8) & 255] ^
      t5[(crc >>> 16) & 255] ^
      t4[crc >>> 24] ^
      t3[bytes[i + 4]] ^
      t2[bytes[i + 5]] ^
      t1[bytes[i + 6]] ^
      t0[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) crc = t0[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
};

let tables: Int32Array[] | undefined;

/** Table k holds the effect of a byte followed by k zero bytes. */
function makeTables(): Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    first[byte] = crc;
  }
  const all = [first];
  for (let k = 1; k < 8; k++) all.push(all[k - 1].map((crc) => first[crc & 255] ^ (crc >>> 8)));
  return all;
}
