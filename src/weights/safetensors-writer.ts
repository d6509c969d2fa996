/**
 * Writes safetensors as the public package does: tensors ordered by dtype, widest alignment first, then by name;
 * compact JSON; the header padded with spaces to a multiple of 8. So the same tensors give the same bytes.
 */
import { UsageError } from "../errors.ts";
import { type ByteSink, dtypeBytes, elementCount, safetensorsDtypes, type StoredDtype } from "./source.ts";

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** little-endian, row-major: all of it, or how to get it in chunks when its turn comes */
  readonly data: Uint8Array | (() => AsyncIterable<Uint8Array>);
}

/**
 * Writes `tensors` to `sink`, each streamed when its turn comes.
 * @param metadata written as `__metadata__` in the given order, left out when undefined
 * @throws UsageError for a repeated name, a dtype that the format lacks, or data that is not as long as dtype and shape say
 */
export async function writeSafetensors(
  tensors: Iterable<TensorToWrite>,
  sink: ByteSink,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const ordered = [...tensors].sort(
    (a, b) =>
      safetensorsDtypes.indexOf(b.dtype) - safetensorsDtypes.indexOf(a.dtype) || compareUtf8(a.name, b.name),
  );
  await sink.write(encodeHeader(ordered, metadata));
  for (const tensor of ordered) {
    const expected = byteCount(tensor);
    let written = 0;
    for await (const chunk of tensor.data instanceof Uint8Array ? [tensor.data] : tensor.data()) {
      written += chunk.byteLength;
      if (written > expected) break;
      await sink.write(chunk);
    }
    if (written !== expected) {
      throw new UsageError(
        `Tensor "${tensor.name}" is ${tensor.dtype} [${tensor.shape.join(", ")}], ${expected} bytes, but its data has ` +
          `${written > expected ? "more" : `only ${written}`}. Give data of exactly that length.`,
      );
    }
  }
}

/** The same as one array, for small sets. */
export async function encodeSafetensors(
  tensors: Iterable<TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await writeSafetensors(
    tensors,
    {
      write: async (bytes) => {
        parts.push(bytes);
      },
    },
    metadata,
  );
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

function encodeHeader(
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const fields: string[] = [];
  if (metadata !== undefined) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  const seen = new Set(["__metadata__"]);
  let offset = 0;
  for (const tensor of tensors) {
    if (seen.has(tensor.name)) {
      throw new UsageError(`The name "${tensor.name}" cannot be written: it is taken. Names must differ.`);
    }
    seen.add(tensor.name);
    const end = offset + byteCount(tensor);
    const { dtype, shape } = tensor;
    fields.push(
      `${JSON.stringify(tensor.name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);
  header.set(json, 8);
  return header;
}

function byteCount(tensor: TensorToWrite): number {
  if (!safetensorsDtypes.includes(tensor.dtype)) {
    throw new UsageError(
      `Tensor "${tensor.name}" is ${tensor.dtype}, which the safetensors format does not have. Leave it out with --drop, ` +
        "or save it as another type in Python.",
    );
  }
  const bytes = elementCount(tensor.shape) * dtypeBytes[tensor.dtype];
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new UsageError(
      `Tensor "${tensor.name}" is ${tensor.dtype} [${tensor.shape.join(", ")}]; sizes must be whole numbers, and elements fill ` +
        "whole bytes.",
    );
  }
  return bytes;
}

/** By bytes, as the public package compares; UTF-16 order differs beyond the basic plane. */
function compareUtf8(a: string, b: string): number {
  const [left, right] = [new TextEncoder().encode(a), new TextEncoder().encode(b)];
  const shared = Math.min(left.length, right.length);
  for (let i = 0; i < shared; i++) {
    if (left[i] !== right[i]) return left[i] - right[i];
  }
  return left.length - right.length;
}
