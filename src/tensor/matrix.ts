/**
 * Weights of linear maps on the GPU, as a checkpoint stores them: W (out, in), row-major, so that loading is copying. Rows are
 * padded with zeros to a multiple of eight terms, because kernels read four or eight of them at once. bfloat16 and float16 stay
 * what they are (two terms a word) and are widened in the kernel: exact, and half the memory. A weight larger than one
 * binding becomes several blocks of rows.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { BYTES_PER_ELEMENT, releaseTensor, Tensor } from "./tensor.ts";

/** Terms of a row that a kernel may read at once without a guard. */
const TERM_GROUP = 8;

/** Bytes of padded rows written at a time. */
const SLAB_BYTES = 1 << 22;

/** Rows `first` to `first + columns` of W, which make as many columns of the result: (columns, terms padded). */
export interface WeightBlock {
  readonly data: Tensor;
  readonly first: number;
  readonly columns: number;
}

/** What a person can do about a weight that does not fit. */
export const SMALLER_WEIGHTS =
  "Keep weights as bfloat16 (--dtype bf16), or take a smaller model or an adapter with larger limits.";

/** Terms of an output channel of a convolution: channels are padded with zeros to a multiple of four, tap by tap. */
export const convolutionTerms = (taps: number, channels: number): number =>
  taps * Math.ceil(channels / 4) * 4;

/** How the elements of a weight lie on the GPU; arithmetic is float32 whatever they are. */
export type WeightDtype = "f32" | "bf16" | "f16";

/** W of y = W·x, shape (out, in). */
export class Matrix {
  readonly out: number;
  readonly in: number;
  readonly dtype: WeightDtype;
  /** terms of a row with its zeros */
  readonly padded: number;
  readonly blocks: readonly WeightBlock[];

  /**
   * Plans the blocks; they get memory when they are first written.
   * @throws AdapterError when even one row exceeds what the adapter can bind
   */
  constructor(gpu: Gpu, out: number, inner: number, dtype: WeightDtype, label: string) {
    this.out = out;
    this.in = inner;
    this.dtype = dtype;
    this.padded = Math.ceil(inner / TERM_GROUP) * TERM_GROUP;
    gpu.checkBinding(this.#rowBytes, `a row of ${label}`, SMALLER_WEIGHTS);
    const perBlock = Math.floor(gpu.maxBindingBytes / this.#rowBytes);
    const blocks: WeightBlock[] = [];
    for (let first = 0; first < out; first += perBlock) {
      const columns = Math.min(perBlock, out - first);
      const storage = { bytes: columns * this.#rowBytes, label };
      blocks.push({ data: new Tensor([columns, this.padded], dtype, storage), first, columns });
    }
    this.blocks = blocks;
  }

  /** bytes on the GPU */
  get bytes(): number {
    return this.blocks.reduce((n, b) => n + b.data.storage.bytes, 0);
  }

  /** Writes all of W (out, in): float32 values, or bit patterns of halves, to match `dtype`. */
  upload(gpu: Gpu, weight: Float32Array | Uint16Array): void {
    this.write(gpu, 0, new Uint8Array(weight.buffer, weight.byteOffset, weight.byteLength));
  }

  /** Writes whole rows of W from row `firstRow` on, given as bytes of elements of `dtype`. */
  write(gpu: Gpu, firstRow: number, bytes: Uint8Array): void {
    const stored = this.in * BYTES_PER_ELEMENT[this.dtype];
    const endRow = firstRow + bytes.byteLength / stored;
    for (const { data, first, columns } of this.blocks) {
      const from = Math.max(first, firstRow);
      const to = Math.min(first + columns, endRow);
      if (from >= to) continue;
      const { storage } = data;
      const buffer = (storage.buffer ??= gpu.memory.acquire(storage.bytes, storage.label));
      const rows = bytes.subarray((from - firstRow) * stored, (to - firstRow) * stored);
      for (const { at, slab } of this.#paddedSlabs(rows)) {
        const offset = (from - first) * this.#rowBytes + at;
        gpu.device.queue.writeBuffer(buffer, offset, slab.buffer, slab.byteOffset, slab.byteLength);
      }
    }
  }

  release(gpu: Gpu): void {
    for (const block of this.blocks) releaseTensor(gpu, block.data);
  }

  get #rowBytes(): number {
    return this.padded * BYTES_PER_ELEMENT[this.dtype];
  }

  /** The rows with their padding, and where they begin: as they are when nothing is missing, else slab by slab. */
  *#paddedSlabs(rows: Uint8Array): Generator<{ at: number; slab: Uint8Array }> {
    const [stored, padded] = [this.in * BYTES_PER_ELEMENT[this.dtype], this.#rowBytes];
    if (stored === padded) {
      yield { at: 0, slab: rows };
      return;
    }
    const count = rows.byteLength / stored;
    const perSlab = Math.min(count, Math.max(1, Math.floor(SLAB_BYTES / padded)));
    // Bytes of padding are never written, so they stay zero from slab to slab.
    const slab = new Uint8Array(perSlab * padded);
    for (let first = 0; first < count; first += perSlab) {
      const n = Math.min(perSlab, count - first);
      for (let i = 0; i < n; i++) {
        slab.set(rows.subarray((first + i) * stored, (first + i + 1) * stored), i * padded);
      }
      yield { at: first * padded, slab: slab.subarray(0, n * padded) };
    }
  }
}
