/**
 * Weights of linear maps, packed for the kernels. A checkpoint stores W as (out, in); kernels read Wᵀ, so that
 * neighbouring invocations, which own neighbouring output columns, read neighbouring words, four or eight columns
 * at a time. Columns are padded with zeros to a multiple of eight. bfloat16 stays bfloat16 (two columns a word) and
 * is widened in the kernel: exact, and half the memory. A weight larger than one binding becomes several blocks of
 * columns.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { BYTES_PER_ELEMENT, releaseTensor, Tensor } from "./tensor.ts";

/** Columns a kernel may read at once without a guard. */
export const COLUMN_GROUP = 8;

/** Bytes packed at a time while uploading. */
const SLAB_BYTES = 1 << 24;

/** Output columns `first` to `first + columns` as Wᵀ, shape (in, columns padded). */
export interface WeightBlock {
  readonly data: Tensor;
  readonly first: number;
  readonly columns: number;
}

/** Elements as a checkpoint stores them: floats, or the bits of narrower ones. */
export type Elements = Float32Array | Float64Array | Uint16Array | Uint8Array;

export interface UploadOptions {
  /** where in a stored row each of the `in` terms lies; default: as stored */
  readonly order?: Uint32Array;
  /** stored elements to float32, element by element, zero to zero */
  readonly widen?: (stored: Elements) => Float32Array;
}

/** What a person can do about a weight that does not fit. */
export const SMALLER_WEIGHTS =
  "Keep weights as bfloat16 (--dtype bf16), or take a smaller model or an adapter with larger limits.";

/** W of y = W·x, shape (out, in). */
export class PackedWeight {
  readonly out: number;
  readonly in: number;
  readonly dtype: "f32" | "bf16";
  readonly blocks: readonly WeightBlock[];

  /**
   * Plans the blocks; they get memory in `upload`.
   * @throws AdapterError when even eight columns exceed what the adapter can bind
   */
  constructor(gpu: Gpu, out: number, inner: number, dtype: "f32" | "bf16", label: string) {
    this.out = out;
    this.in = inner;
    this.dtype = dtype;
    const groupBytes = inner * BYTES_PER_ELEMENT[dtype] * COLUMN_GROUP;
    gpu.checkBinding(groupBytes, `eight rows of ${label}`, SMALLER_WEIGHTS);
    const perBlock = Math.floor(gpu.maxBindingBytes / groupBytes) * COLUMN_GROUP;
    const blocks: WeightBlock[] = [];
    for (let first = 0; first < out; first += perBlock) {
      const columns = Math.min(perBlock, out - first);
      const padded = Math.ceil(columns / COLUMN_GROUP) * COLUMN_GROUP;
      const bytes = inner * padded * BYTES_PER_ELEMENT[dtype];
      blocks.push({ data: new Tensor([inner, padded], dtype, { bytes, label }), first, columns });
    }
    this.blocks = blocks;
  }

  /** bytes on the GPU */
  get bytes(): number {
    return this.blocks.reduce((n, b) => n + b.data.storage.bytes, 0);
  }

  /** Packs W (out, in), row-major; `slabs` in one go. */
  upload(gpu: Gpu, weight: Elements | readonly Elements[], options: UploadOptions = {}): void {
    const slabs = this.slabs(gpu, weight, options);
    while (!slabs.next().done);
  }

  /**
   * Packs W (out, in), row-major, a few rows of Wᵀ at a time, and yields the bytes it has written after each, so that a large
   * weight is in memory once only, as stored.
   * @param weight float32 values or bfloat16 bit patterns to match `dtype`, or what `widen` reads; several arrays
   *   of one type when the rows are stacked
   */
  *slabs(
    gpu: Gpu,
    weight: Elements | readonly Elements[],
    { order = identity(this.in), widen }: UploadOptions = {},
  ): Generator<number> {
    const parts = ArrayBuffer.isView(weight) ? [weight] : weight;
    const each = BYTES_PER_ELEMENT[this.dtype];
    for (const { data, first, columns } of this.blocks) {
      const buffer = (data.storage.buffer ??= gpu.memory.acquire(data.storage.bytes, data.storage.label));
      const padded = data.dim(-1);
      const rows = Math.min(this.in, Math.max(1, Math.floor(SLAB_BYTES / (padded * each))));
      // Columns of padding are never written, so they stay zero from slab to slab.
      const scratch = new (parts[0].constructor as Float32ArrayConstructor)(rows * padded) as Elements;
      for (let from = 0; from < this.in; from += rows) {
        const to = Math.min(from + rows, this.in);
        let above = 0;
        for (const part of parts) {
          const begin = Math.max(first, above);
          const end = Math.min(first + columns, above + part.length / this.in);
          transpose(part, scratch, order, { above, first, begin, end, padded, from, to });
          above += part.length / this.in;
        }
        const packed = scratch.subarray(0, (to - from) * padded);
        const words = widen ? widen(packed) : packed;
        const at = from * padded * each;
        gpu.device.queue.writeBuffer(buffer, at, words.buffer, words.byteOffset, words.byteLength);
        yield words.byteLength;
      }
    }
  }

  release(gpu: Gpu): void {
    for (const block of this.blocks) releaseTensor(gpu, block.data);
  }
}

const identity = (length: number): Uint32Array => Uint32Array.from({ length }, (_, k) => k);

/**
 * Into `packed`, rows `from` to `to` of Wᵀ: output columns `begin` to `end` of a block that begins at `first`, read from rows of
 * W that begin with row `above`.
 */
function transpose(
  weight: Elements,
  packed: Elements,
  order: Uint32Array,
  slab: {
    above: number;
    first: number;
    begin: number;
    end: number;
    padded: number;
    from: number;
    to: number;
  },
): void {
  const { above, first, begin, end, padded, from, to } = slab;
  const inner = order.length;
  // Square tiles keep both the read and the written rows in the cache.
  const tile = 32;
  for (let c0 = begin; c0 < end; c0 += tile) {
    const c1 = Math.min(c0 + tile, end);
    for (let k0 = from; k0 < to; k0 += tile) {
      const k1 = Math.min(k0 + tile, to);
      for (let c = c0; c < c1; c++) {
        const row = (c - above) * inner;
        const column = c - first - from * padded;
        for (let k = k0; k < k1; k++) packed[k * padded + column] = weight[row + order[k]];
      }
    }
  }
}
