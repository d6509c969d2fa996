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
    gpu.checkBinding(groupBytes, `eight rows of ${label}`);
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

  /** Packs W (out, in), row-major, given as float32 values or as bfloat16 bit patterns to match `dtype`. */
  upload(gpu: Gpu, weight: Float32Array | Uint16Array): void {
    for (const { data, first, columns } of this.blocks) {
      data.storage.buffer ??= gpu.memory.acquire(data.storage.bytes, data.storage.label);
      const padded = data.dim(-1);
      // Slabs of rows of Wᵀ, so that a large weight is never in memory twice.
      const slab = Math.max(1, Math.floor(SLAB_BYTES / (padded * weight.BYTES_PER_ELEMENT)));
      for (let from = 0; from < this.in; from += slab) {
        const to = Math.min(from + slab, this.in);
        const packed = transpose(weight, this.in, { first, columns, padded, from, to });
        const at = from * padded * weight.BYTES_PER_ELEMENT;
        gpu.device.queue.writeBuffer(data.storage.buffer, at, packed.buffer, 0, packed.byteLength);
      }
    }
  }

  release(gpu: Gpu): void {
    for (const block of this.blocks) releaseTensor(gpu, block.data);
  }
}

/** Rows `from` to `to` of Wᵀ, columns `first` to `first + columns`, padded with zeros. */
function transpose(
  weight: Float32Array | Uint16Array,
  inner: number,
  slab: { first: number; columns: number; padded: number; from: number; to: number },
): Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  const { first, columns, padded, from, to } = slab;
  const size = (to - from) * padded;
  const packed = weight instanceof Uint16Array ? new Uint16Array(size) : new Float32Array(size);
  // Square tiles keep both the read and the written rows in the cache.
  const tile = 32;
  for (let c0 = 0; c0 < columns; c0 += tile) {
    const c1 = Math.min(c0 + tile, columns);
    for (let k0 = from; k0 < to; k0 += tile) {
      const k1 = Math.min(k0 + tile, to);
      for (let c = c0; c < c1; c++) {
        const row = (first + c) * inner;
        for (let k = k0; k < k1; k++) packed[(k - from) * padded + c] = weight[row + k];
      }
    }
  }
  return packed;
}
