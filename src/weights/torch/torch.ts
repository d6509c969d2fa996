/**
 * A torch checkpoint (`torch.save` of torch ≥ 1.6, a zip) as a source of tensors: `<root>/data.pkl` describes
 * them, `<root>/data/<key>` are the storages. Tensors may share a storage and need not be contiguous. Read by
 * ranges: the directory, the pickle, then only the storages asked for, each checked against its CRC-32.
 */
import { FormatError } from "../../errors.ts";
import {
  type ByteSource,
  defaultChunkBytes,
  elementCount,
  quoted,
  streamRange,
  type TensorInfo,
  type TensorSource,
  tensorInfo,
} from "../source.ts";
import { type Crc32, crc32 as portableCrc32 } from "./crc32.ts";
import { applyLazyBits, unitBytes } from "./dtypes.ts";
import { type TorchTensor } from "./rebuild.ts";
import { gather, isContiguous, spanOf } from "./strides.ts";
import { readTorchPickle } from "./tree.ts";
import { locateZipEntry, readZipDirectory, type ZipEntry } from "./zip.ts";

export interface TorchOptions {
  /** a faster CRC-32 where there is one */
  readonly crc32?: Crc32;
  /** false reads a file whose checksums do not fit, damaged or changed by hand */
  readonly verify?: boolean;
}

interface Entry extends TensorInfo {
  readonly tensor: TorchTensor;
  readonly storage: ZipEntry;
}

/** About 150 bytes a tensor; larger ones would make the objects of their interpretation a burden of their own. */
const maxPickleBytes = 16_000_000;

/**
 * Opens a torch checkpoint by its directory and pickle. Nothing in it is executed.
 * @throws FormatError if it is not a torch zip, hides tensors in anything but dicts and lists, or is damaged
 */
export async function openTorch(source: ByteSource, options: TorchOptions = {}): Promise<TensorSource> {
  const { crc32 = portableCrc32, verify = true } = options;
  const file = source.name;
  const directory = await readZipDirectory(source);
  // `torch.serialization.set_crc32_options(False)` records 0 for all of them.
  const recorded = [...directory.values()].some((entry) => entry.crc32 !== 0);
  const reader = entryReader(source, verify && recorded ? crc32 : undefined);
  const root = findRoot(directory, file);
  const order = directory.get(`${root}byteorder`);
  if (order !== undefined && new TextDecoder().decode(await reader.whole(order, 16)) !== "little") {
    throw new FormatError(`${file}: it was not saved on a little-endian machine. Save it again on one.`);
  }
  const pickle = await reader.whole(directory.get(`${root}data.pkl`)!, maxPickleBytes);
  const tensors = new Map<string, Entry>();
  const tree = readTorchPickle(pickle, `${file}: data.pkl`, source.size);
  for (const [name, tensor] of tree.tensors) {
    tensors.set(name, describe(name, tensor, directory, root, source));
  }

  const opened: TensorSource = {
    name: file,
    tensors,
    skipped: tree.skipped,
    values: tree.values,
    read: async (name) => {
      const { tensor, storage, bytes } = tensorInfo(opened, name) as Entry;
      const { dtype, shape, strides, lazy } = tensor;
      const unit = unitBytes(dtype);
      const contiguous = isContiguous(shape, strides);
      const span = contiguous ? bytes : spanOf(shape, strides) * unit;
      const read = await reader.range(storage, tensor.offset * unit, span);
      return applyLazyBits(contiguous ? read : gather(read, shape, strides, unit), 0, dtype, lazy);
    },
    stream: (name, chunkBytes = defaultChunkBytes) => {
      const { tensor, storage, bytes } = tensorInfo(opened, name) as Entry;
      const { dtype, shape, strides, lazy } = tensor;
      // A transposed tensor needs all of its span at hand; checkpoints hold few and small ones.
      if (!isContiguous(shape, strides)) return chunksOf(opened.read(name), chunkBytes);
      const chunks = reader.stream(storage, tensor.offset * unitBytes(dtype), bytes, chunkBytes);
      return lazy.negative || lazy.conjugate ? withLazyBits(chunks, tensor) : chunks;
    },
    close: async () => source.close?.(),
  };
  return opened;
}

/** The common prefix: torch names it after the file as it was called when saved. */
function findRoot(directory: ReadonlyMap<string, ZipEntry>, file: string): string {
  const pickles = [...directory.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) {
    throw new FormatError(
      `${file}: a zip with ${pickles.length} entries "<root>/data.pkl" where a torch checkpoint has one. ` +
        "It was not written by torch.save.",
    );
  }
  const root = pickles[0].slice(0, -"data.pkl".length);
  if (directory.has(`${root}constants.pkl`)) {
    throw new FormatError(
      `${file}: a TorchScript archive (torch.jit.save), which holds a program and is not read. ` +
        "In Python: torch.save(torch.jit.load(path).state_dict(), path).",
    );
  }
  return root;
}

function describe(
  name: string,
  tensor: TorchTensor,
  directory: ReadonlyMap<string, ZipEntry>,
  root: string,
  source: ByteSource,
): Entry {
  const { dtype } = tensor;
  const { key, bytes: stored } = tensor.storage;
  const storage = directory.get(`${root}data/${key}`);
  if (storage === undefined || storage.bytes !== stored) {
    throw new FormatError(
      `${source.name}: tensor ${quoted(name)} lies in storage ${quoted(key)} of ${stored} bytes; the zip has ` +
        `${storage === undefined ? "none of that name" : storage.bytes}. The file is damaged.`,
    );
  }
  const bytes = elementCount(tensor.shape) * unitBytes(dtype);
  // Strides of 0 repeat elements without storing them, so a few bytes could ask for any amount of memory.
  if (bytes > source.size) {
    throw new FormatError(
      `${source.name}: tensor ${quoted(name)} [${tensor.shape.join(", ")}] would take ${bytes} bytes from a file of ${source.size}. ` +
        "In Python, save it as .contiguous().",
    );
  }
  // Torch counts pairs of 4-bit numbers, safetensors the numbers.
  const shape = dtype === "F4" ? [...tensor.shape.slice(0, -1), 2 * tensor.shape.at(-1)!] : tensor.shape;
  return { name, dtype, shape, bytes, tensor, storage };
}

/** Reads within entries; each entry's checksum is compared once, on the first pass over it. */
function entryReader(source: ByteSource, crc32: Crc32 | undefined) {
  const starts = new Map<string, Promise<number>>();
  const verified = new Set<string>();

  const startOf = (entry: ZipEntry): Promise<number> => {
    let start = starts.get(entry.name);
    if (start === undefined) {
      start = locateZipEntry(source, entry);
      starts.set(entry.name, start);
    }
    return start;
  };
  const compare = (entry: ZipEntry, actual: number): void => {
    if (actual !== entry.crc32) {
      throw new FormatError(
        `${source.name}: the checksum of ${quoted(entry.name)} (${entry.bytes} bytes) is ${actual.toString(16)}, ` +
          `recorded was ${entry.crc32.toString(16)}. The file is damaged; fetch it again.`,
      );
    }
    verified.add(entry.name);
  };
  const unchecked = (entry: ZipEntry) => crc32 !== undefined && !verified.has(entry.name);

  /** Part of an entry can only be trusted after a pass over all of it. */
  const checkAll = async (entry: ZipEntry): Promise<void> => {
    let crc = 0;
    for await (const chunk of streamRange(source, await startOf(entry), entry.bytes))
      crc = crc32!(chunk, crc);
    compare(entry, crc);
  };
  const range = async (entry: ZipEntry, offset: number, bytes: number): Promise<Uint8Array> => {
    const read = await source.read((await startOf(entry)) + offset, bytes);
    if (unchecked(entry)) {
      if (bytes === entry.bytes) compare(entry, crc32!(read, 0));
      else await checkAll(entry);
    }
    return read;
  };
  async function* stream(entry: ZipEntry, offset: number, bytes: number, chunkBytes: number) {
    const start = await startOf(entry);
    if (unchecked(entry) && bytes !== entry.bytes) await checkAll(entry);
    const check = unchecked(entry);
    let crc = 0;
    for await (const chunk of streamRange(source, start + offset, bytes, chunkBytes)) {
      if (check) crc = crc32!(chunk, crc);
      yield chunk;
    }
    if (check) compare(entry, crc);
  }
  const whole = async (entry: ZipEntry, limit: number): Promise<Uint8Array> => {
    if (entry.bytes > limit) {
      throw new FormatError(
        `${source.name}: ${quoted(entry.name)} has ${entry.bytes} bytes; at most ${limit} are allowed.`,
      );
    }
    return range(entry, 0, entry.bytes);
  };
  return { range, stream, whole };
}

async function* withLazyBits(chunks: AsyncIterable<Uint8Array>, { dtype, lazy }: TorchTensor) {
  let at = 0;
  for await (const chunk of chunks) {
    yield applyLazyBits(chunk, at, dtype, lazy);
    at += chunk.length;
  }
}

async function* chunksOf(all: Promise<Uint8Array>, chunkBytes: number): AsyncIterable<Uint8Array> {
  const bytes = await all;
  const step = Math.max(1, Math.floor(chunkBytes));
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}
