/**
 * Walks over the headers of a msgpack message before it is decoded: a decoder makes an object for every value it is promised, and four
 * megabytes of empty lists are four million of them. Payloads are stepped over, so a scan costs by values, not by bytes.
 */
import { FormatError } from "../errors.ts";

export interface ScanLimits {
  /** values in a message, keys counted: a LIBERO observation has 37 */
  readonly values: number;
  /** lists and maps in one another */
  readonly depth: number;
}

export const SCAN_LIMITS: ScanLimits = { values: 100_000, depth: 16 };

/** After a byte from 0xc0 on: bytes of the length that follows, and what it counts. */
const SIZED: Readonly<Record<number, readonly [lengthBytes: number, of: "bytes" | "values" | "pairs"]>> = {
  0xc4: [1, "bytes"],
  0xc5: [2, "bytes"],
  0xc6: [4, "bytes"],
  0xd9: [1, "bytes"],
  0xda: [2, "bytes"],
  0xdb: [4, "bytes"],
  0xdc: [2, "values"],
  0xdd: [4, "values"],
  0xde: [2, "pairs"],
  0xdf: [4, "pairs"],
};

/** Bytes of a number after its first byte. */
const NUMBER_BYTES: Readonly<Record<number, number>> = {
  0xca: 4,
  0xcb: 8,
  0xcc: 1,
  0xcd: 2,
  0xce: 4,
  0xcf: 8,
  0xd0: 1,
  0xd1: 2,
  0xd2: 4,
  0xd3: 8,
};

/**
 * Checks that `bytes` are one whole msgpack value of the kinds that messages here have: extensions, which decoders may
 * turn into anything, are not among them.
 * @throws FormatError with the byte where it ends to make sense
 */
export function scanMessage(bytes: Uint8Array, limits: ScanLimits = SCAN_LIMITS): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cannot = (why: string): FormatError =>
    new FormatError(`The message of ${bytes.length} bytes cannot be read as msgpack: ${why}.`);
  /** values still to come, of every list and map that is open */
  const open: number[] = [1];
  let at = 0;
  let seen = 0;

  const take = (count: number): number => {
    if (count > bytes.length - at)
      throw cannot(`byte ${at} promises ${count} more, ${bytes.length - at} are there`);
    const start = at;
    at += count;
    return start;
  };
  const enter = (count: number): void => {
    // A value takes a byte at least.
    if (count > bytes.length - at)
      throw cannot(`byte ${at} promises ${count} values, ${bytes.length - at} bytes are there`);
    if (count > 0) open.push(count);
    if (open.length > limits.depth + 1) throw cannot(`it nests deeper than ${limits.depth}`);
  };

  while (open.length > 0) {
    if (open[open.length - 1] === 0) {
      open.pop();
      continue;
    }
    open[open.length - 1]--;
    if (++seen > limits.values) throw cannot(`it holds more than ${limits.values} values`);
    const first = bytes[take(1)];
    if (first < 0x80 || first >= 0xe0 || first === 0xc0 || first === 0xc2 || first === 0xc3) continue;
    if (first < 0x90) enter(2 * (first & 0x0f));
    else if (first < 0xa0) enter(first & 0x0f);
    else if (first < 0xc0) take(first & 0x1f);
    else if (first in NUMBER_BYTES) take(NUMBER_BYTES[first]);
    else if (first in SIZED) {
      const [lengthBytes, of] = SIZED[first];
      const start = take(lengthBytes);
      const count =
        lengthBytes === 1
          ? view.getUint8(start)
          : lengthBytes === 2
            ? view.getUint16(start)
            : view.getUint32(start);
      if (of === "bytes") take(count);
      else enter(of === "pairs" ? 2 * count : count);
    } else
      throw cannot(
        `byte ${at - 1} begins 0x${first.toString(16)}, ${first === 0xc1 ? "which nothing begins with" : "an extension"}`,
      );
  }
  if (at < bytes.length) throw cannot(`${bytes.length - at} bytes follow its end`);
}
