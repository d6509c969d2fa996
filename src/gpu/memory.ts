/**
 * GPU memory: every buffer of the project comes from one allocator, which reuses what was released and knows the
 * peak. A `Storage` is a request for bytes; it may get its buffer at once (weights, inputs, states) or only when
 * the recording it belongs to is planned (intermediate results, see recording.ts).
 */
import { AdapterError, UsageError } from "../errors.ts";

/** Bytes on the GPU, of which tensors are views. */
export interface Storage {
  readonly bytes: number;
  label: string;
  /** absent until the recording that owns it is planned, and again after release */
  buffer?: GPUBuffer;
}

/** Consecutive bytes of a storage: what is bound, copied and read back. */
export interface View {
  readonly storage: Storage;
  /** where it begins, in bytes; a multiple of `VIEW_ALIGNMENT` where it is bound */
  readonly offset: number;
  readonly bytes: number;
}

/** Where a view may begin that is bound: a multiple of this many bytes is legal on every adapter. */
export const VIEW_ALIGNMENT = 256;

/** The buffer of a view's storage. @throws UsageError when it has none */
export function bufferOf({ storage }: View, what: string): GPUBuffer {
  if (storage.buffer) return storage.buffer;
  throw new UsageError(
    `${what}: "${storage.label}" has no memory; it was released, or belongs to a recording that is not planned or was disposed`,
  );
}

const GRANULE = VIEW_ALIGNMENT;

/** Rounds a request up to its size class: eighths of a power of two, so that at most 12.5 % is wasted. */
export function sizeClass(bytes: number): number {
  const granules = Math.max(1, Math.ceil(bytes / GRANULE));
  const step = Math.max(1, 2 ** (Math.floor(Math.log2(granules)) - 3));
  return Math.ceil(granules / step) * step * GRANULE;
}

/** Allocates, reuses and counts storage buffers of one device. */
export class Memory {
  readonly #device: GPUDevice;
  readonly #limit: number;
  readonly #free = new Map<number, GPUBuffer[]>();
  #allocated = 0;
  #inUse = 0;
  #peak = 0;
  #created = 0;
  #nothing: View | undefined;

  constructor(device: GPUDevice, maxBytesPerBuffer: number) {
    this.#device = device;
    this.#limit = maxBytesPerBuffer;
  }

  /** bytes handed out now; bytes held including the free list; the largest `held` has ever been */
  get usage(): { inUse: number; held: number; peak: number } {
    return { inUse: this.#inUse, held: this.#allocated, peak: this.#peak };
  }

  /** buffers ever created (a replayed recording must not raise it) */
  get created(): number {
    return this.#created;
  }

  /** A few zeros, bound where an optional operand is not given. */
  get nothing(): View {
    const [bytes, label] = [16, "nothing"];
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
    return (this.#nothing ??= {
      storage: { bytes, label, buffer: this.#device.createBuffer({ label, size: bytes, usage }) },
      ...{ offset: 0, bytes },
    });
  }

  /**
   * A buffer of at least `bytes` bytes for storage, copies and reading back.
   * @throws AdapterError when one buffer may not be that large on this adapter.
   */
  acquire(bytes: number, label: string): GPUBuffer {
    const size = sizeClass(bytes);
    const reused = this.#free.get(size)?.pop();
    this.#inUse += size;
    if (reused) return reused;
    if (bytes > this.#limit) {
      this.#inUse -= size;
      throw new AdapterError(
        `${label} needs ${bytes} bytes in one buffer; this adapter allows ${this.#limit}. ` +
          "Use a smaller batch, fewer frames, or an adapter with larger limits.",
      );
    }
    this.#allocated += size;
    this.#peak = Math.max(this.#peak, this.#allocated);
    this.#created++;
    return this.#device.createBuffer({
      label,
      size: Math.min(size, Math.ceil(this.#limit / 4) * 4),
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
  }

  /** Gives the storage's buffer back for reuse. */
  release(storage: Storage): void {
    if (!storage.buffer) return;
    this.recycle(storage.buffer, storage.bytes);
    storage.buffer = undefined;
  }

  /** Gives a buffer back that was acquired for `bytes` bytes. */
  recycle(buffer: GPUBuffer, bytes: number): void {
    const size = sizeClass(bytes);
    this.#inUse -= size;
    const list = this.#free.get(size);
    if (list) list.push(buffer);
    else this.#free.set(size, [buffer]);
  }

  /** Destroys every buffer on the free list. */
  trim(): void {
    for (const [size, buffers] of this.#free) {
      for (const buffer of buffers) buffer.destroy();
      this.#allocated -= size * buffers.length;
    }
    this.#free.clear();
  }
}
