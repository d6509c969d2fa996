/**
 * How fast checkpoints are read against reading the file alone, and what memory it takes: synthetic checkpoints of
 * 4.2 GB, as safetensors and as a torch zip, streamed tensor by tensor as a loader does, loaded onto the GPU, and converted.
 *
 * Plain reading fills one buffer again and again. Reading that keeps the file takes new memory for it, whose first touch costs
 * more than the reading; so does a software adapter, whose memory is this process's.
 *
 * Each way runs in a process of its own, as memory is a process's; the ways take turns and the best turn of each
 * counts, since whatever disturbs only slows. The files are sparse: nothing is written, and no disk bounds the reading,
 * which is the hardest comparison for a reader.
 */
import { execFile } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";
import { openGpu } from "../src/gpu/open.node.ts";
import { WeightLoader } from "../src/weights/loader.ts";
import { openWeights } from "../src/weights/open.node.ts";
import { convertTensors } from "../src/weights/rename.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import { type TensorSource } from "../src/weights/source.ts";
import { op, pickle, tensor } from "../test/weights/pickle-writer.ts";
import { layOutZip, type Piece } from "../test/weights/zip-writer.ts";

const tensors = 100;
const shape = [5120, 4096] as const;
const tensorBytes = 2 * shape[0] * shape[1];
const rounds = 3;

const ways = {
  "plain reading": { file: "weights.safetensors", read: readPlainly },
  "plain reading, kept": { file: "weights.safetensors", read: readAndKept },
  "safetensors, streamed": { file: "weights.safetensors", read: streamed },
  "safetensors onto the GPU": { file: "weights.safetensors", read: loaded },
  "torch zip, streamed and checksummed": { file: "weights.pt", read: streamed },
  "torch zip to safetensors": { file: "weights.pt", read: converted },
};
type Way = keyof typeof ways;
/** what fills memory with the whole checkpoint, the GPU's own or a software adapter's */
const keeping: ReadonlySet<Way> = new Set(["plain reading, kept", "safetensors onto the GPU"]);

export interface WeightsMeasure {
  readonly way: Way;
  readonly megabytesPerSecond: number;
  /** growth of the resident set while reading, at its largest, without what was to be kept */
  readonly peakMegabytes: number;
}

interface Read {
  readonly bytes: number;
  /** bytes of this process's memory that hold the weights afterwards, as they should */
  readonly kept?: number;
  /** of the reading alone, where something else came before */
  readonly seconds?: number;
}

/** Prints a row a way: MB/s, the share of plain reading, peak memory; returns the rows. */
export async function main(): Promise<WeightsMeasure[]> {
  const folder = mkdtempSync(join(tmpdir(), "bench-weights-"));
  try {
    writeSparse(join(folder, "weights.safetensors"), safetensorsPieces());
    writeSparse(join(folder, "weights.pt"), torchPieces());
    const best = new Map<Way, WeightsMeasure>();
    for (let round = 0; round < rounds; round++) {
      for (const way of Object.keys(ways) as Way[]) {
        if (keeping.has(way) && freemem() < 1.5 * tensors * tensorBytes) continue;
        const measured = await inOwnProcess(way, folder);
        const before = best.get(way);
        if (before === undefined || measured.megabytesPerSecond > before.megabytesPerSecond)
          best.set(way, measured);
      }
    }
    const rows = [...best.values()];
    console.log(`${tensors} tensors of ${tensorBytes / 2 ** 20} MiB, best of ${rounds}`);
    for (const way of keeping) if (!best.has(way)) console.log(`${way}: skipped, too little memory is free`);
    for (const { way, megabytesPerSecond, peakMegabytes } of rows) {
      const share = (100 * megabytesPerSecond) / rows[0].megabytesPerSecond;
      const columns = [
        way.padEnd(36),
        `${megabytesPerSecond.toFixed(0).padStart(6)} MB/s`,
        `${share.toFixed(0).padStart(4)} % of plain`,
        `+${peakMegabytes.toFixed(0)} MB memory`,
      ];
      console.log(columns.join("  "));
    }
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One way, timed; for a process of its own. */
export async function measure(way: Way, folder: string): Promise<WeightsMeasure> {
  const base = process.memoryUsage.rss();
  let peak = 0;
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage.rss() - base);
  };
  const started = performance.now();
  const {
    bytes,
    kept = 0,
    seconds = (performance.now() - started) / 1000,
  } = await ways[way].read(join(folder, ways[way].file), sample);
  return { way, megabytesPerSecond: bytes / 1e6 / seconds, peakMegabytes: (peak - kept) / 1e6 };
}

async function readPlainly(file: string, sample: () => void): Promise<Read> {
  const handle = await open(file);
  const buffer = new Uint8Array(8 * 2 ** 20);
  for (let total = 0; ; sample()) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, total);
    total += bytesRead;
    if (bytesRead > 0) continue;
    await handle.close();
    return { bytes: total };
  }
}

async function readAndKept(file: string, sample: () => void): Promise<Read> {
  const handle = await open(file);
  const { size } = await handle.stat();
  const kept: Uint8Array[] = [];
  for (let at = 0; at < size; at += tensorBytes, sample()) {
    const tensor = Buffer.allocUnsafeSlow(Math.min(tensorBytes, size - at));
    kept.push(tensor);
    for (let read = 0; read < tensor.length;) {
      read += (await handle.read(tensor, read, Math.min(8 * 2 ** 20, tensor.length - read), at + read))
        .bytesRead;
    }
  }
  await handle.close();
  return { bytes: size, kept: kept.reduce((n, { length }) => n + length, 0) };
}

/** As a model is loaded: bfloat16 matrices stay what they are. */
async function loaded(file: string, sample: () => void): Promise<Read> {
  const gpu = await openGpu();
  const source = await openWeights(file);
  const loader = WeightLoader.from(gpu, source, { dtype: "bf16" });
  for (const name of source.tensors.keys()) loader.linear(name, ...shape);
  const started = performance.now();
  await loader.load({ onProgress: sample });
  const seconds = (performance.now() - started) / 1000;
  const { storedBytes: bytes } = loader;
  loader.release();
  gpu.destroy();
  await source.close();
  return { bytes, kept: gpu.adapter.software ? bytes : 0, seconds };
}

async function streamed(file: string, sample: () => void): Promise<Read> {
  const source = await openWeights(file);
  let total = 0;
  for (const name of source.tensors.keys()) {
    for await (const chunk of source.stream(name)) {
      total += chunk.byteLength;
      sample();
    }
  }
  await source.close();
  return { bytes: total };
}

/** Into a sink that keeps nothing, so that no disk's writing is measured. */
async function converted(file: string, sample: () => void): Promise<Read> {
  const source: TensorSource = await openWeights(file);
  let total = 0;
  const sink = {
    write: async (bytes: Uint8Array) => {
      total += bytes.byteLength;
      sample();
    },
  };
  await writeSafetensors(convertTensors(source, { rename: [["net.", ""]] }), sink);
  await source.close();
  return { bytes: total };
}

async function inOwnProcess(way: Way, folder: string): Promise<WeightsMeasure> {
  const script =
    `import { measure } from ${JSON.stringify(import.meta.url)};` +
    `console.log(JSON.stringify(await measure(${JSON.stringify(way)}, ${JSON.stringify(folder)})));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  return JSON.parse(stdout) as WeightsMeasure;
}

interface Layout {
  readonly pieces: readonly Piece[];
  readonly size: number;
}

function safetensorsPieces(): Layout {
  const entries = Array.from({ length: tensors }, (_, i) => {
    const data_offsets = [i * tensorBytes, (i + 1) * tensorBytes];
    return [`net.blocks.${i}.weight`, { dtype: "BF16", shape, data_offsets }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  const bytes = Buffer.concat([start, json]);
  return { pieces: [{ offset: 0, bytes }], size: bytes.length + tensors * tensorBytes };
}

function torchPieces(): Layout {
  const content = { zeros: tensorBytes, crc32: crc32(new Uint8Array(tensorBytes)) };
  const count = tensorBytes / 4;
  const state = Array.from({ length: tensors }, (_, i): [number[], number[]] => [
    op.text(`net.blocks.${i}.weight`),
    tensor(`${i}`, count, [count], [1]),
  ]);
  return layOutZip([
    { name: "weights/data.pkl", content: pickle(op.dict(...state)) },
    ...Array.from({ length: tensors }, (_, i) => ({ name: `weights/data/${i}`, content })),
  ]);
}

function writeSparse(path: string, { pieces, size }: Layout): void {
  const file = openSync(path, "w");
  ftruncateSync(file, size);
  for (const { offset, bytes } of pieces) writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
