/**
 * Torch checkpoints as `torch.save` writes them, for tests and benches: a zip of stored entries with data descriptors and zip64 records, a
 * pickle of protocol 2, one storage a tensor. Streamed, so that files of gigabytes can be written.
 */
import { crc32 } from "node:zlib";
import { type ByteSink, dtypeBytes, elementCount, type StoredDtype } from "../../src/weights/source.ts";
import { op, pickle } from "../weights/pickle-writer.ts";

export interface TensorToSave {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** little-endian, row-major */
  readonly data: Uint8Array | (() => Iterable<Uint8Array>);
}

/** What is pickled: a dict, a list or a single tensor. */
export type Saved = Readonly<Record<string, TensorToSave>> | readonly TensorToSave[] | TensorToSave;

const STORAGES: Readonly<Partial<Record<StoredDtype, string>>> = {
  F64: "DoubleStorage",
  F32: "FloatStorage",
  F16: "HalfStorage",
  BF16: "BFloat16Storage",
  I64: "LongStorage",
  U8: "ByteStorage",
};

function pickledTensor({ dtype, shape }: TensorToSave, key: string): number[] {
  const global = op.global("torch", STORAGES[dtype]!);
  const elements = op.int(elementCount(shape));
  const storage = op.tuple(op.text("storage"), global, op.text(key), op.text("cpu"), elements);
  const strides = shape.map((_, i) => elementCount(shape.slice(i + 1)));
  const hooks = [...op.global("collections", "OrderedDict"), ...op.emptyTuple, ...op.reduce];
  const args = op.tuple(
    [...storage, 0x51],
    op.int(0),
    op.tuple(...shape.map(op.int)),
    op.tuple(...strides.map(op.int)),
    [0x89],
    hooks,
  );
  return [...op.global("torch._utils", "_rebuild_tensor_v2"), ...args, ...op.reduce];
}

const isTensor = (saved: Saved): saved is TensorToSave => "shape" in saved && Array.isArray(saved.shape);

/** What may lie beside tensors: numbers, texts, truth values, None, and dicts and lists of them. */
export type Beside =
  string | number | boolean | null | Instance | readonly Beside[] | { readonly [key: string]: Beside };

/** An object of a class that nobody here knows, with attributes, such as argparse.Namespace. */
export class Instance {
  constructor(
    readonly module: string,
    readonly name: string,
    readonly attributes: Readonly<Record<string, Beside>>,
  ) {}
}

function pickledValue(value: Beside): number[] {
  if (value === null) return op.none;
  if (typeof value === "string") return op.text(value);
  if (typeof value === "boolean") return [value ? 0x88 : 0x89];
  if (typeof value === "number") return Number.isInteger(value) && value >= 0 ? op.int(value) : float(value);
  if (value instanceof Instance)
    return [
      ...op.global(value.module, value.name),
      ...op.emptyTuple,
      0x81,
      ...pickledValue(value.attributes),
      0x62,
    ];
  if (Array.isArray(value)) return op.list(...(value as readonly Beside[]).map(pickledValue));
  return op.dict(
    ...Object.entries(value).map(([key, inner]): [number[], number[]] => [op.text(key), pickledValue(inner)]),
  );
}

function float(value: number): number[] {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return [0x47, ...bytes];
}

/** Writes a checkpoint; of a dict also what lies `beside` its tensors. */
export async function writeTorch(
  saved: Saved,
  sink: ByteSink,
  beside: Readonly<Record<string, Beside>> = {},
): Promise<void> {
  const isList = Array.isArray(saved);
  const tensors: [string, TensorToSave][] = isTensor(saved) ? [["", saved]] : Object.entries(saved);
  const pickled = tensors.map(([, tensor], i) => pickledTensor(tensor, `${i}`));
  let root = pickled[0];
  if (isList) root = op.list(...pickled);
  else if (!isTensor(saved))
    root = op.dict(
      ...tensors.map(([name], i) => [op.text(name), pickled[i]] as [number[], number[]]),
      ...Object.entries(beside).map(
        ([name, value]) => [op.text(name), pickledValue(value)] as [number[], number[]],
      ),
    );
  const zip = new ZipStream(sink);
  await zip.entry("archive/data.pkl", [pickle(root)]);
  await zip.entry("archive/byteorder", [new TextEncoder().encode("little")]);
  for (const [i, [name, tensor]] of tensors.entries()) {
    const expected = elementCount(tensor.shape) * dtypeBytes[tensor.dtype];
    const chunks = tensor.data instanceof Uint8Array ? [tensor.data] : tensor.data();
    const written = await zip.entry(`archive/data/${i}`, chunks);
    if (written !== expected) throw new Error(`${name}: ${written} bytes were given, ${expected} are needed`);
  }
  await zip.entry("archive/version", [new TextEncoder().encode("3\n")]);
  await zip.finish();
}

/** A small one as one array. */
export async function torchFile(
  saved: Saved,
  beside: Readonly<Record<string, Beside>> = {},
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const write = (bytes: Uint8Array): Promise<void> => {
    parts.push(bytes);
    return Promise.resolve();
  };
  await writeTorch(saved, { write }, beside);
  return new Uint8Array(Buffer.concat(parts));
}

/** Entries one behind the other; sizes and checksums follow their content. */
class ZipStream {
  readonly #sink: ByteSink;
  readonly #central: Buffer[] = [];
  #at = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** @returns bytes of content */
  async entry(name: string, chunks: Iterable<Uint8Array>): Promise<number> {
    const encoded = Buffer.from(name);
    const offset = this.#at;
    const padding = (64 - ((offset + 30 + encoded.length + 4) % 64)) % 64;
    const local = Buffer.alloc(30 + encoded.length + 4 + padding);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(0x0808, 6);
    local.writeUInt16LE(encoded.length, 26);
    local.writeUInt16LE(4 + padding, 28);
    encoded.copy(local, 30);
    local.writeUInt16LE(0x4246, 30 + encoded.length);
    local.writeUInt16LE(padding, 32 + encoded.length);
    await this.#write(local);
    let [bytes, crc] = [0, 0];
    for (const chunk of chunks) {
      crc = crc32(chunk, crc);
      bytes += chunk.length;
      await this.#write(chunk);
    }
    const descriptor = Buffer.alloc(24);
    descriptor.writeUInt32LE(0x08074b50, 0);
    descriptor.writeUInt32LE(crc, 4);
    descriptor.writeBigUInt64LE(BigInt(bytes), 8);
    descriptor.writeBigUInt64LE(BigInt(bytes), 16);
    await this.#write(descriptor);
    this.#central.push(centralHeader(encoded, bytes, crc, offset));
    return bytes;
  }

  async finish(): Promise<void> {
    const directory = Buffer.concat(this.#central);
    const [offset, count] = [this.#at, this.#central.length];
    await this.#write(directory);
    const record = Buffer.alloc(56);
    record.writeUInt32LE(0x06064b50, 0);
    record.writeBigUInt64LE(44n, 4);
    record.writeBigUInt64LE(BigInt(count), 24);
    record.writeBigUInt64LE(BigInt(count), 32);
    record.writeBigUInt64LE(BigInt(directory.length), 40);
    record.writeBigUInt64LE(BigInt(offset), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50, 0);
    locator.writeBigUInt64LE(BigInt(offset + directory.length), 8);
    locator.writeUInt32LE(1, 16);
    const end = Buffer.alloc(22);
    end.writeUInt32LE(0x06054b50, 0);
    end.writeUInt16LE(Math.min(count, 0xffff), 8);
    end.writeUInt16LE(Math.min(count, 0xffff), 10);
    end.writeUInt32LE(Math.min(directory.length, 0xffffffff), 12);
    end.writeUInt32LE(Math.min(offset, 0xffffffff), 16);
    await this.#write(Buffer.concat([record, locator, end]));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await this.#sink.write(bytes);
    this.#at += bytes.length;
  }
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
