/**
 * Tensors on the GPU: a shape and an element type over storage, row-major, last axis fastest. Nothing here knows a
 * model.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Storage } from "../gpu/memory.ts";
import { recording } from "../gpu/recording.ts";

export type Shape = readonly number[];

/** Element types a kernel can read; of bf16 and f16 two elements lie in a 32-bit word. */
export type DType = "f32" | "u32" | "bf16" | "f16";

export const BYTES_PER_ELEMENT: Readonly<Record<DType, number>> = { f32: 4, u32: 4, bf16: 2, f16: 2 };

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** "(2, 33, 64)" */
export const showShape = (shape: Shape): string => `(${shape.join(", ")})`;

export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly storage: Storage;

  constructor(shape: Shape, dtype: DType, storage: Storage) {
    this.shape = shape;
    this.dtype = dtype;
    this.storage = storage;
  }

  get size(): number {
    return sizeOf(this.shape);
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
    return new Tensor(full, this.dtype, this.storage);
  }
}

/** A tensor with memory of its own, zero-filled or holding `data`; free it with `release`. */
export function createTensor(
  gpu: Gpu,
  shape: Shape,
  data?: Float32Array | Uint32Array | Uint16Array,
  label = "tensor",
): Tensor {
  const dtype: DType = data instanceof Uint32Array ? "u32" : data instanceof Uint16Array ? "bf16" : "f32";
  const bytes = sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
  const storage: Storage = { bytes, label, buffer: gpu.memory.acquire(bytes, label) };
  const tensor = new Tensor(shape, dtype, storage);
  if (data) writeTensor(gpu, tensor, data);
  else {
    const encoder = gpu.device.createCommandEncoder();
    encoder.clearBuffer(storage.buffer!);
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
  const bytes = sizeOf(shape) * BYTES_PER_ELEMENT[dtype];
  return new Tensor(shape, dtype, recording().transient(bytes, name));
}

/** Overwrites all elements. @throws UsageError when the number of elements differs */
export function writeTensor(gpu: Gpu, tensor: Tensor, data: Float32Array | Uint32Array | Uint16Array): void {
  if (data.length !== tensor.size) {
    throw new UsageError(
      `${tensor.storage.label} ${showShape(tensor.shape)} holds ${tensor.size} elements, got ${data.length}`,
    );
  }
  gpu.assertAlive(`writing ${tensor.storage.label}`);
  if (data.length === 0) return;
  let source = data;
  if (data.byteLength % 4 !== 0) {
    source = new Uint16Array(data.length + 1);
    source.set(data);
  }
  gpu.device.queue.writeBuffer(
    tensor.storage.buffer!,
    0,
    source.buffer,
    source.byteOffset,
    source.byteLength,
  );
}

/** Reads all elements back. @throws DeviceLostError */
export async function readTensor(gpu: Gpu, tensor: Tensor): Promise<Float32Array> {
  return new Float32Array(await gpu.readBytes(tensor.storage.buffer!, tensor.size * 4, tensor.storage.label));
}

/** Gives the tensor's memory back to the allocator. */
export function releaseTensor(gpu: Gpu, tensor: Tensor): void {
  gpu.memory.release(tensor.storage);
}

/**
 * Copies `count` elements from element `at.from` of one tensor to element `at.to` of another; all of them by default.
 * @throws UsageError when they do not fit
 */
export function copyTensor(
  gpu: Gpu,
  from: Tensor,
  to: Tensor,
  at: { readonly from?: number; readonly to?: number; readonly count?: number } = {},
): void {
  const { from: start = 0, to: target = 0, count = from.size } = at;
  if (start + count > from.size || target + count > to.size || from.dtype !== to.dtype) {
    throw new UsageError(
      `copy of ${count} elements: ${start} of ${showShape(from.shape)} to ${target} of ${showShape(to.shape)}`,
    );
  }
  const each = BYTES_PER_ELEMENT[from.dtype];
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(
    from.storage.buffer!,
    start * each,
    to.storage.buffer!,
    target * each,
    count * each,
  );
  gpu.submit(encoder.finish(), `copy of ${from.storage.label}`, 0);
}
