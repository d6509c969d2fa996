/**
 * Tensors on the GPU: a shape and an element type over a part of a storage, row-major, last axis fastest. Nothing here
 * knows a model.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { bufferOf, type Storage, type View, VIEW_ALIGNMENT } from "../gpu/memory.ts";
import { recording } from "../gpu/recording.ts";

export type Shape = readonly number[];

/** Element types a kernel can read; of bf16 and f16 two elements lie in a 32-bit word. */
export type DType = "f32" | "u32" | "bf16" | "f16";

export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = { f32: 4, u32: 4, bf16: 2, f16: 2 };

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** "(2, 33, 64)" */
export const showShape = (shape: Shape): string => `(${shape.join(", ")})`;

export class Tensor implements View {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly storage: Storage;
  /** where the first element stands in the storage, in bytes */
  readonly offset: number;

  constructor(shape: Shape, dtype: DType, storage: Storage, offset = 0) {
    this.shape = shape;
    this.dtype = dtype;
    this.storage = storage;
    this.offset = offset;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get bytes(): number {
    return this.size * BYTES_PER_ELEMENT[this.dtype];
  }

  /** length of axis `i`; negative counts from the end */
  dim(i: number): number {
    const axis = i < 0 ? this.shape.length + i : i;
    return this.shape[axis];
  }

  /** number of rows when all axes but the last are flattened */
  get rows(): number {
    return this.size / this.dim(-1);
  }

  /** The same elements under another shape; one axis may be −1. @throws UsageError when the sizes differ */
  reshape(...shape: number[]): Tensor {
    const known = shape.reduce((a, b) => (b === -1 ? a : a * b), 1);
    const full = shape.map((n) => (n === -1 ? this.size / known : n));
    if (sizeOf(full) !== this.size || full.some((n) => !Number.isInteger(n))) {
      throw new UsageError(
        `cannot reshape ${showShape(this.shape)} to ${showShape(shape)} (${this.storage.label})`,
      );
    }
    return new Tensor(full, this.dtype, this.storage, this.offset);
  }
}

/**
 * Rows `from` to `to` (exclusive) of a tensor whose axes but the last are flattened, as a view of the same memory:
 * (to − from, width). Kernels bind only what a view covers, so a tensor larger than one binding is worked on in row blocks. It has
 * no memory of its own: release the tensor, not the view.
 * @throws UsageError when there are no such rows, or they begin where no binding may: at no multiple of 256 bytes
 */
export function rowsOf(tensor: Tensor, from: number, to: number): Tensor {
  const width = tensor.dim(-1);
  const { label } = tensor.storage;
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || from >= to || to > tensor.rows)
    throw new UsageError(
      `rows ${from} to ${to} of ${showShape(tensor.shape)}, ${tensor.rows} rows (${label})`,
    );
  const offset = tensor.offset + from * width * BYTES_PER_ELEMENT[tensor.dtype];
  if (offset % VIEW_ALIGNMENT !== 0) {
    throw new UsageError(
      `row ${from} of ${showShape(tensor.shape)} begins at byte ${offset} of "${label}"; a view begins at a multiple of ${VIEW_ALIGNMENT}: begin at a multiple of ${rowStep(tensor)} rows`,
    );
  }
  return new Tensor([to - from, width], tensor.dtype, tensor.storage, offset);
}

/** The fewest rows after which another view may begin. */
export function rowStep(tensor: Tensor): number {
  const rowBytes = tensor.dim(-1) * BYTES_PER_ELEMENT[tensor.dtype];
  let step = 1;
  while ((step * rowBytes) % VIEW_ALIGNMENT !== 0) step *= 2;
  return step;
}

const checkShape = (shape: Shape, label: string): void => {
  if (shape.every((n) => Number.isInteger(n) && n >= 0)) return;
  throw new UsageError(
    `${label}: ${showShape(shape)} is no shape; its axes are whole numbers, none negative`,
  );
};

/** Values as they are written: float32, words, or the bit patterns of halves. */
export type Values = Float32Array | Uint32Array | Uint16Array;

/**
 * A tensor with memory of its own, zero-filled or holding `data`; free it with `releaseTensor`.
 * @throws UsageError for a shape that is none, or data of another number of elements
 */
export function createTensor(gpu: Gpu, shape: Shape, data?: Values, label = "tensor"): Tensor {
  checkShape(shape, label);
  const dtype: DType = data instanceof Uint32Array ? "u32" : data instanceof Uint16Array ? "bf16" : "f32";
  const bytes = sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
  const storage: Storage = { bytes, label };
  const tensor = new Tensor(shape, dtype, storage);
  if (data) checkValues(tensor, data);
  gpu.assertAlive(`making ${label}`);
  storage.buffer = gpu.memory.acquire(bytes, label);
  if (data) writeTensor(gpu, tensor, data);
  else {
    const encoder = gpu.device.createCommandEncoder();
    encoder.clearBuffer(storage.buffer);
    gpu.device.queue.submit([encoder.finish()]);
  }
  return tensor;
}

/** A constant made while recording, such as a rotary table; it lives as long as the replay. */
export function constant(shape: Shape, data: Float32Array | Uint32Array, label = "constant"): Tensor {
  const list = recording();
  const tensor = createTensor(list.gpu, shape, data, label);
  list.owned.push(tensor.storage);
  return tensor;
}

/** Space for the result of an operation in the current recording. */
export function result(shape: Shape, name: string, dtype: DType = "f32"): Tensor {
  checkShape(shape, name);
  const bytes = sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
  return new Tensor(shape, dtype, recording().transient(bytes, name));
}

/** Which arrays hold the elements of a tensor. */
const HOLDS = { f32: Float32Array, u32: Uint32Array, bf16: Uint16Array, f16: Uint16Array } as const;

function checkValues({ shape, size, dtype, storage: { label } }: Tensor, data: Values): void {
  if (data.length !== size)
    throw new UsageError(`${label} ${showShape(shape)} holds ${size} elements, got ${data.length}`);
  if (data instanceof HOLDS[dtype]) return;
  throw new UsageError(
    `${label} holds ${dtype}, which is written as ${HOLDS[dtype].name}, got ${data.constructor.name}`,
  );
}

/**
 * Overwrites all elements.
 * @throws UsageError when the number of elements or their type differs, or the tensor was released
 */
export function writeTensor(gpu: Gpu, tensor: Tensor, data: Values): void {
  checkValues(tensor, data);
  gpu.assertAlive(`writing ${tensor.storage.label}`);
  if (data.length === 0) return;
  const buffer = bufferOf(tensor, "writing");
  let source = data;
  if (data.byteLength % 4 !== 0) {
    // WebGPU writes whole words; what the last one holds besides must be nobody's.
    if (tensor.offset + tensor.bytes < tensor.storage.bytes)
      throw new UsageError(
        `${tensor.storage.label}: an odd number of halves cannot be written into the middle`,
      );
    source = new Uint16Array(data.length + 1);
    source.set(data);
  }
  gpu.device.queue.writeBuffer(buffer, tensor.offset, source.buffer, source.byteOffset, source.byteLength);
}

/**
 * Reads all elements back.
 * @throws DeviceLostError; UsageError when the tensor does not hold float32, or was released
 */
export async function readTensor(gpu: Gpu, tensor: Tensor): Promise<Float32Array> {
  const { dtype, bytes, offset, storage } = tensor;
  gpu.assertAlive(`reading ${storage.label}`);
  if (dtype !== "f32") {
    throw new UsageError(
      `${storage.label} holds ${dtype}; readTensor gives float32, read it with gpu.readBytes`,
    );
  }
  return new Float32Array(await gpu.readBytes(bufferOf(tensor, "reading"), bytes, storage.label, offset));
}

/** Gives the memory of the tensor, and of every view of it, back to the allocator. */
export function releaseTensor(gpu: Gpu, tensor: Tensor): void {
  gpu.memory.release(tensor.storage);
}

/** Consecutive elements of one tensor, and where they go in another. */
export interface CopiedPart {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/**
 * Copies `count` elements from element `at.from` of one tensor to element `at.to` of another; all of them by default.
 * @throws UsageError when they do not fit, are parts of one storage, or are no whole words
 */
export function copyTensor(
  gpu: Gpu,
  from: Tensor,
  to: Tensor,
  at: { readonly from?: number; readonly to?: number; readonly count?: number } = {},
): void {
  copyParts(gpu, from, to, [{ from: 0, to: 0, count: from.size, ...at }]);
}

/**
 * Several such copies at once.
 * @throws UsageError when one does not fit, both tensors are parts of one storage, or one is no whole words
 */
export function copyParts(gpu: Gpu, from: Tensor, to: Tensor, parts: readonly CopiedPart[]): void {
  const each = BYTES_PER_ELEMENT[from.dtype];
  for (const { from: start, to: target, count } of parts) {
    if (start + count > from.size || target + count > to.size || from.dtype !== to.dtype) {
      throw new UsageError(
        `copy of ${count} elements: ${start} of ${showShape(from.shape)} to ${target} of ${showShape(to.shape)}`,
      );
    }
    if (from.storage === to.storage || [start, target, count].some((n) => (n * each) % 4 !== 0)) {
      throw new UsageError(
        `copy of ${count} elements at ${start} of ${from.storage.label} to ${target} of ${to.storage.label}: WebGPU copies whole words between two buffers`,
      );
    }
  }
  const [source, target] = [bufferOf(from, "copying"), bufferOf(to, "copying")];
  const encoder = gpu.device.createCommandEncoder();
  for (const part of parts) {
    const [start, end] = [from.offset + part.from * each, to.offset + part.to * each];
    encoder.copyBufferToBuffer(source, start, target, end, part.count * each);
  }
  gpu.submit(encoder.finish(), `copy of ${from.storage.label}`, 0);
}
