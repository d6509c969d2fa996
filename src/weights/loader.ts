/**
 * From key names to GPU tensors. A model asks for its weights by the checkpoint's own keys while it is built; nothing is
 * read until `load`, which first compares all that was asked with all that is there and reports every difference in
 * one message.
 */
import { AdapterError, WeightsError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { sizeClass, type Storage } from "../gpu/memory.ts";
import { type Elements, PackedWeight, SMALLER_WEIGHTS } from "../tensor/packed-weight.ts";
import { type Shape, showShape, sizeOf, Tensor, writeTensor } from "../tensor/tensor.ts";
import { floatDtypes, toFloat32 } from "./convert.ts";
import { dtypeBytes, type StoredDtype, type TensorSource } from "./source.ts";

/** How matrices are kept on the GPU: widened to float32, or bfloat16 as stored (exact: widened in the kernel). */
export type WeightDtype = "f32" | "bf16";

/** A small weight that the CPU needs too, such as the frequencies of a time embedding; empty until loaded. */
export interface HostWeight {
  data: Float32Array;
}

export interface LoadOptions {
  /** called after each tensor with the bytes read so far and in all */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

interface Stored {
  readonly bytes: Uint8Array;
  readonly dtype: StoredDtype;
}

/** Puts a tensor on the GPU, and yields the bytes it has written after each piece. */
type Fill = (bytes: Uint8Array, dtype: StoredDtype) => Iterable<number>;

interface Request {
  readonly key: string;
  readonly shape: Shape;
  readonly fill: Fill;
}

/** float32 bytes widened at a time. */
const PIECE_BYTES = 1 << 24;

/** The driver copies what is written and keeps the copy until the device has it; more than this may not wait. */
const WAITING_BYTES = 1 << 25;

/** Everything one `load` will read; shared by a loader and its scopes. */
interface Plan {
  readonly gpu: Gpu;
  readonly source: TensorSource;
  readonly dtype: WeightDtype;
  readonly requests: Request[];
  readonly ignored: RegExp[];
  /** tensors worked out from others after these have been read */
  readonly computed: (() => void)[];
  /** all GPU memory that is taken */
  readonly storages: Storage[];
}

/** Collects what a model asks for, then loads it. */
export class WeightLoader {
  readonly #plan: Plan;
  readonly #prefix: string;

  private constructor(plan: Plan, prefix: string) {
    this.#plan = plan;
    this.#prefix = prefix;
  }

  static from(gpu: Gpu, source: TensorSource, dtype: WeightDtype = "f32"): WeightLoader {
    return new WeightLoader(
      { gpu, source, dtype, requests: [], ignored: [], computed: [], storages: [] },
      "",
    );
  }

  get gpu(): Gpu {
    return this.#plan.gpu;
  }

  /** The same plan for keys that begin with `prefix` and a dot. */
  within(prefix: string): WeightLoader {
    return new WeightLoader(this.#plan, `${this.#prefix}${prefix}.`);
  }

  /** Whether the checkpoint has this key. */
  has(key: string): boolean {
    return this.#plan.source.tensors.has(this.#prefix + key);
  }

  /** A float32 tensor. */
  tensor(key: string, shape: Shape): Tensor {
    const { gpu } = this;
    const tensor = this.#tensor(key, shape);
    const { storage } = tensor;
    this.#request(key, shape, function* (stored, dtype) {
      const buffer = (storage.buffer = gpu.memory.acquire(storage.bytes, storage.label));
      const each = dtypeBytes[dtype];
      const step = (PIECE_BYTES / 4) * each;
      for (let at = 0; at < stored.byteLength; at += step) {
        const values = toFloat32(stored.subarray(at, at + step), dtype);
        gpu.device.queue.writeBuffer(buffer, (at / each) * 4, values.buffer, 0, values.byteLength);
        yield values.byteLength;
      }
    });
    return tensor;
  }

  /** The matrix of a linear map, shape (out, in); `checkpointShape` when it is stored with further axes of length 1. */
  linear(key: string, out: number, inner: number, checkpointShape: Shape = [out, inner]): PackedWeight {
    return this.#packed(key, out, inner, checkpointShape);
  }

  /** A convolution's kernel (O, I, taps…), reordered to (O, taps…, I) for channels-last pixels and packed. */
  convolution(key: string, shape: Shape): PackedWeight {
    const [out, channels, ...taps] = shape;
    const count = sizeOf(taps);
    const order = Uint32Array.from(
      { length: channels * count },
      (_, k) => (k % channels) * count + Math.floor(k / channels),
    );
    return this.#packed(key, out, channels * count, shape, order);
  }

  /** The matrices (out, in) of several linear maps of one input, stacked in this order: one product for all. */
  stacked(parts: readonly { readonly key: string; readonly out: number }[], inner: number): PackedWeight {
    const { gpu } = this;
    const rows = parts.reduce((n, { out }) => n + out, 0);
    const kept = this.#kept(parts.map(({ key }) => key));
    const weight = this.#weight(`${parts[0].key} and ${parts.length - 1} more`, rows, inner, kept);
    let read: Stored[] = [];
    for (const { key, out } of parts) {
      this.#request(key, [out, inner], function* (bytes, dtype) {
        read.push({ bytes, dtype });
        if (read.length < parts.length) return;
        const all = read;
        read = [];
        yield* pack(gpu, weight, all);
      });
    }
    return weight;
  }

  /** A float32 tensor worked out on the CPU from host weights, once all of them are loaded. */
  computed(label: string, shape: Shape, values: () => Float32Array): Tensor {
    const { gpu, computed } = this.#plan;
    const tensor = this.#tensor(label, shape);
    computed.push(() => {
      tensor.storage.buffer = gpu.memory.acquire(tensor.storage.bytes, tensor.storage.label);
      writeTensor(gpu, tensor, values());
    });
    return tensor;
  }

  /** The matrix (out, in) of a linear map, worked out like `computed`. */
  computedLinear(label: string, out: number, inner: number, values: () => Float32Array): PackedWeight {
    const { gpu, computed } = this.#plan;
    const weight = this.#weight(label, out, inner, "f32");
    computed.push(() => weight.upload(gpu, values()));
    return weight;
  }

  /** Runs when everything is loaded and computed so far, to let go of what was only needed for that. */
  afterLoad(action: () => void): void {
    this.#plan.computed.push(action);
  }

  /** A small weight for the CPU, float32 values. */
  host(key: string, shape: Shape): HostWeight {
    const weight: HostWeight = { data: new Float32Array(0) };
    this.#request(key, shape, (stored, dtype) => {
      weight.data = toFloat32(stored, dtype);
      return [];
    });
    return weight;
  }

  /** Keys that inference does not need, matched after the current prefix. */
  ignore(...patterns: RegExp[]): void {
    const prefix = this.#prefix.replaceAll(".", "\\.");
    this.#plan.ignored.push(...patterns.map((p) => new RegExp(`^${prefix}(?:${p.source})`)));
  }

  /** bytes of GPU memory that `load` will take, as the allocator counts them */
  get bytes(): number {
    return this.#plan.storages.reduce((n, { bytes }) => n + sizeClass(bytes), 0);
  }

  /** bytes that `load` will read, of a checkpoint that `compare` accepts */
  get storedBytes(): number {
    const { source, requests } = this.#plan;
    return requests.reduce((n, { key }) => n + (source.tensors.get(key)?.bytes ?? 0), 0);
  }

  /** What takes the most of one binding; matrices are split to fit, other tensors are not. */
  get largest(): { readonly label: string; readonly bytes: number } {
    const none = { label: "nothing", bytes: 0 };
    return this.#plan.storages.reduce((most, s) => (s.bytes > most.bytes ? s : most), none);
  }

  /**
   * Reads everything that was asked for onto the GPU. In this process's memory is the tensor at hand, as stored, and some
   * tens of megabytes.
   * @throws WeightsError naming every missing, unexpected and wrongly shaped key; AdapterError when memory runs out
   */
  async load(options: LoadOptions = {}): Promise<void> {
    const { device } = this.gpu;
    this.compare();
    device.pushErrorScope("out-of-memory");
    try {
      await this.#read(options);
    } catch (error) {
      await device.popErrorScope().catch(() => {});
      throw error;
    }
    const memory = await device.popErrorScope();
    if (memory) {
      throw new AdapterError(
        `${this.#plan.source.name} needs ${this.bytes} bytes of GPU memory, which ran out (${memory.message}). ` +
          `Close other programs on the GPU. ${SMALLER_WEIGHTS}`,
      );
    }
  }

  async #read({ onProgress, signal }: LoadOptions): Promise<void> {
    const { source, requests, computed } = this.#plan;
    const total = this.storedBytes;
    let [done, waiting] = [0, 0];
    for (const { key, fill } of requests) {
      signal?.throwIfAborted();
      const info = source.tensors.get(key)!;
      for (const written of fill(await source.read(key), info.dtype)) {
        waiting += written;
        if (waiting < WAITING_BYTES) continue;
        await this.gpu.idle();
        waiting = 0;
      }
      done += info.bytes;
      onProgress?.(done, total);
    }
    for (const compute of computed) compute();
    await this.gpu.idle();
  }

  /** Frees what `load` has put on the GPU. */
  release(): void {
    for (const storage of this.#plan.storages) this.gpu.memory.release(storage);
  }

  #tensor(label: string, shape: Shape): Tensor {
    const tensor = new Tensor(shape, "f32", { bytes: sizeOf(shape) * 4, label: this.#prefix + label });
    this.#plan.storages.push(tensor.storage);
    return tensor;
  }

  #weight(label: string, out: number, inner: number, dtype: WeightDtype): PackedWeight {
    const weight = new PackedWeight(this.gpu, out, inner, dtype, this.#prefix + label);
    this.#plan.storages.push(...weight.blocks.map(({ data }) => data.storage));
    return weight;
  }

  /** Only what is stored as bfloat16 can stay so. */
  #kept(keys: readonly string[]): WeightDtype {
    const { source, dtype } = this.#plan;
    const narrow = keys.every((key) => source.tensors.get(this.#prefix + key)?.dtype === "BF16");
    return dtype === "bf16" && narrow ? "bf16" : "f32";
  }

  #packed(key: string, out: number, inner: number, shape: Shape, order?: Uint32Array): PackedWeight {
    const { gpu } = this;
    const weight = this.#weight(key, out, inner, this.#kept([key]));
    this.#request(key, shape, (bytes, dtype) => pack(gpu, weight, [{ bytes, dtype }], order));
    return weight;
  }

  #request(key: string, shape: Shape, fill: Fill): void {
    this.#plan.requests.push({ key: this.#prefix + key, shape, fill });
  }

  /** Compares all that was asked for with all that is there; `load` does it too. @throws WeightsError */
  compare(): void {
    const { source, requests, ignored } = this.#plan;
    const asked = new Set(requests.map((r) => r.key));
    const problems: string[] = [];
    for (const { key, shape } of requests) {
      const info = source.tensors.get(key);
      if (!info) problems.push(`missing: ${key} ${showShape(shape)}`);
      else if (showShape(info.shape) !== showShape(shape)) {
        problems.push(`wrong shape: ${key} is ${showShape(info.shape)}, expected ${showShape(shape)}`);
      } else if (!floatDtypes.has(info.dtype)) {
        problems.push(`wrong type: ${key} is ${info.dtype}, expected a floating-point type`);
      }
    }
    for (const key of source.tensors.keys()) {
      if (!asked.has(key) && !ignored.some((pattern) => pattern.test(key)))
        problems.push(`unexpected: ${key}`);
    }
    if (problems.length > 0) {
      const shown = problems.slice(0, 20).join("\n  ");
      const more = problems.length > 20 ? `\n  … and ${problems.length - 20} more` : "";
      throw new WeightsError(
        `${source.name} does not fit the model (${problems.length} of ${source.tensors.size} tensors):\n  ${shown}${more}\n` +
          "Check that the config.json beside it belongs to this checkpoint.",
      );
    }
  }
}

/** Uploads the rows of tensors as stored, one tensor below the other. */
function pack(
  gpu: Gpu,
  weight: PackedWeight,
  stored: readonly Stored[],
  order?: Uint32Array,
): Iterable<number> {
  const { dtype } = stored[0];
  // Slabs hold elements of one type.
  if (stored.some((part) => part.dtype !== dtype)) {
    const values = stored.map((part) => toFloat32(part.bytes, part.dtype));
    return weight.slabs(gpu, values, { order });
  }
  const asStored = weight.dtype === "bf16" || dtype === "F32";
  return weight.slabs(gpu, stored.map(elementsOf), {
    order,
    widen: asStored
      ? undefined
      : ({ buffer, byteOffset, byteLength }) =>
          toFloat32(new Uint8Array(buffer, byteOffset, byteLength), dtype),
  });
}

/** Elements in place, unless they lie where their type cannot be read. */
function elementsOf({ bytes, dtype }: Stored): Elements {
  const each = dtypeBytes[dtype];
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % each === 0 ? bytes : bytes.slice();
  const length = byteLength / each;
  if (each === 1) return new Uint8Array(buffer, byteOffset, length);
  if (each === 2) return new Uint16Array(buffer, byteOffset, length);
  return each === 4
    ? new Float32Array(buffer, byteOffset, length)
    : new Float64Array(buffer, byteOffset, length);
}
