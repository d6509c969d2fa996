/** Checkpoints and constants whose values a program rounds to bfloat16 before it computes with them. */
import { toFloat32 } from "./convert.ts";
import { dtypeBytes, elementCount, type StoredDtype, type TensorInfo, type TensorSource } from "./source.ts";

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** Half a unit of the sixteen bits that are kept, and one more where the last kept bit is odd: ties go to even. */
const roundedBits = (bits: number): number => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;

/** `x` rounded to float32 and then to bfloat16, as PyTorch converts a double; NaN and infinities stay. */
export function bfloat16(x: number): number {
  float[0] = x;
  if (Number.isNaN(x)) return x;
  word[0] = roundedBits(word[0]) << 16;
  return float[0];
}

/** What rounding changes: floats of more than bfloat16's eight fraction bits. */
const ROUNDED: ReadonlySet<StoredDtype> = new Set(["F64", "F32", "F16"]);

/**
 * `source` with its floats rounded once to bfloat16: a view, nothing is read or copied before it is asked for. Integers stay, and so do
 * the 8-bit floats, all of which bfloat16 holds.
 */
export function roundedToBf16(source: TensorSource): TensorSource {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, info] of source.tensors) {
    const rounds = ROUNDED.has(info.dtype);
    tensors.set(name, rounds ? { ...info, dtype: "BF16", bytes: 2 * elementCount(info.shape) } : info);
  }
  const stored = (name: string): StoredDtype | undefined => {
    const dtype = source.tensors.get(name)?.dtype;
    return dtype !== undefined && ROUNDED.has(dtype) ? dtype : undefined;
  };
  return {
    name: source.name,
    tensors,
    async read(name) {
      const dtype = stored(name);
      const bytes = await source.read(name);
      return dtype ? toBf16Bytes(toFloat32(bytes, dtype)) : bytes;
    },
    stream(name, chunkBytes) {
      const dtype = stored(name);
      const chunks = source.stream(name, chunkBytes);
      return dtype ? roundedStream(chunks, dtype) : chunks;
    },
    close: () => source.close(),
  };
}

/** Chunks end anywhere; an element that is cut waits for its other half. */
async function* roundedStream(
  chunks: AsyncIterable<Uint8Array>,
  dtype: StoredDtype,
): AsyncIterable<Uint8Array> {
  const each = dtypeBytes[dtype];
  let held = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = new Uint8Array(held.byteLength + chunk.byteLength);
    bytes.set(held);
    bytes.set(chunk, held.byteLength);
    const whole = bytes.byteLength - (bytes.byteLength % each);
    if (whole > 0) yield toBf16Bytes(toFloat32(bytes.subarray(0, whole), dtype));
    held = bytes.slice(whole);
  }
}

/** float32 → the bytes of the nearest bfloat16. */
export function toBf16Bytes(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const kept = Uint16Array.from(bits, (b) =>
    // A NaN whose only fraction bits are among those dropped would become an infinity.
    (b & 0x7fffffff) > 0x7f800000 ? (b >>> 16) | 0x40 : roundedBits(b),
  );
  return new Uint8Array(kept.buffer);
}
