/**
 * From key names to GPU tensors. A model asks for its weights by the checkpoint's own keys while it is built; nothing is
 * read until `load`, which first compares all that was asked with all that is there and reports the differences in
 * one message.
 */
import { AdapterError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { sizeClass, type Storage } from "../gpu/memory.ts";
import { convolutionTerms, Matrix, SMALLER_WEIGHTS, type WeightDtype } from "../tensor/matrix.ts";
import { BYTES_PER_ELEMENT, type Shape, sizeOf, Tensor, writeTensor } from "../tensor/tensor.ts";
import { toFloat32 } from "./convert.ts";
import { mapKeys } from "./key-map.ts";
import { compareKeys } from "./mismatch.ts";
import { countNonFinite, nonFiniteError } from "./non-finite.ts";
import { asFloat32, asKept, MISSING, piecesOf, reorder } from "./pieces.ts";
import { renamePrefix } from "./rename.ts";
import { dtypeBytes, type StoredDtype, type TensorSource } from "./source.ts";

export type { WeightDtype };

/** A small weight that the CPU needs too, such as the frequencies of a time embedding; empty until loaded. */
export interface HostWeight {
  data: Float32Array;
}

export interface LoaderOptions {
  /** default "f32" */
  readonly dtype?: WeightDtype;
  /** what keys mean that no part of the model asks for; default "refuse", as they most likely belong to another architecture */
  readonly unexpected?: "refuse" | "ignore";
  /** [old prefix, new prefix] of the checkpoint's keys; the first that fits a key is applied, once */
  readonly rename?: readonly (readonly [string, string])[];
}

export interface LoadOptions {
  /** called after each tensor with the bytes read so far and in all */
  readonly onProgress?: (done: number, total: number) => void;
  /** told how many finite values of a tensor did not fit into float16, when that is asked for, and became ±65504 */
  readonly onSaturated?: (key: string, count: number) => void;
  /** what NaN and infinite values in what was asked for mean; default "refuse", as every result would be made of them */
  readonly nonFinite?: "refuse" | "ignore";
  readonly signal?: AbortSignal;
}

/** What a tensor is read in, and where its pieces go. */
interface Fill {
  /** elements that must come together, such as a row; a piece is a multiple of them */
  readonly unit: number;
  /** takes a piece as stored, which begins with element `at` */
  readonly write: (bytes: Uint8Array, dtype: StoredDtype, at: number) => Written;
}

interface Written {
  /** to the GPU */
  readonly bytes: number;
  /** finite values beyond float16's range */
  readonly saturated?: number;
}

interface Request {
  readonly key: string;
  readonly shape: Shape;
  readonly fill: Fill;
}

/** The driver copies what is written and keeps the copy until the device has it; more than this may not wait. */
const WAITING_BYTES = 1 << 25;

/** Everything one `load` will read; shared by a loader and its scopes. */
interface Plan {
  readonly gpu: Gpu;
  readonly source: TensorSource;
  readonly options: LoaderOptions;
  readonly requests: Request[];
  readonly ignored: RegExp[];
  /** tensors worked out from others after these have been read */
  readonly computed: (() => void)[];
  /** small weights for the CPU, as zeros, where nothing is read */
  readonly zeroed: (() => void)[];
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

  static from(gpu: Gpu, source: TensorSource, options: LoaderOptions = {}): WeightLoader {
    const { rename = [] } = options;
    // What fits no rule keeps its name, and a rule that fits nothing is none of this checkpoint's: others of a model may need it.
    if (rename.length > 0) source = mapKeys(source, (key) => renamePrefix(key, rename));
    return new WeightLoader(
      { gpu, source, options, requests: [], ignored: [], computed: [], zeroed: [], storages: [] },
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
    this.#request(key, shape, {
      unit: 1,
      write: (bytes, dtype, at) => {
        const buffer = (storage.buffer ??= gpu.memory.acquire(storage.bytes, storage.label));
        const values = asFloat32(bytes, dtype);
        gpu.device.queue.writeBuffer(buffer, at * 4, values.buffer, values.byteOffset, values.byteLength);
        return { bytes: values.byteLength };
      },
    });
    return tensor;
  }

  /** The matrix of a linear map, shape (out, in); `checkpointShape` when it is stored with further axes of length 1. */
  linear(key: string, out: number, inner: number, checkpointShape: Shape = [out, inner]): Matrix {
    return this.#packed(key, out, inner, checkpointShape);
  }

  /** A convolution's kernel (O, I, taps…), reordered to (O, taps…, I padded to 4) for channels-last pixels and packed. */
  convolution(key: string, shape: Shape): Matrix {
    const [out, channels, ...taps] = shape;
    const count = sizeOf(taps);
    const terms = convolutionTerms(count, channels);
    const depth = terms / count;
    const order = Int32Array.from({ length: terms }, (_, k) => {
      const channel = k % depth;
      return channel < channels ? channel * count + Math.floor(k / depth) : MISSING;
    });
    return this.#packed(key, out, terms, shape, order);
  }

  /** A transposed convolution's kernel (I, O, taps…) as the matrix (taps · O, I) of its taps, tap-major; read whole. */
  transposedConvolution(key: string, shape: Shape): Matrix {
    const { gpu } = this;
    const [inner, out, ...taps] = shape;
    const count = sizeOf(taps);
    const weight = this.#weight(key, count * out, inner, this.#kept([key]));
    // Where the term of row κ·O + o and column i is stored: (i, o, κ).
    const order = Int32Array.from({ length: count * out * inner }, (_, at) => {
      const [row, i] = [Math.floor(at / inner), at % inner];
      return (i * out + (row % out)) * count + Math.floor(row / out);
    });
    this.#request(key, shape, {
      unit: order.length,
      write: (bytes, dtype) => {
        const values = asKept(bytes, dtype, weight.dtype);
        const rows = reorder(values.bytes, BYTES_PER_ELEMENT[weight.dtype], order.length, order);
        weight.write(gpu, 0, rows);
        return { bytes: rows.byteLength, saturated: values.saturated };
      },
    });
    return weight;
  }

  /** The matrices (out, in) of several linear maps of one input, stacked in this order: one product for all. */
  stacked(parts: readonly { readonly key: string; readonly out: number }[], inner: number): Matrix {
    const rows = parts.reduce((n, { out }) => n + out, 0);
    const kept = this.#kept(parts.map(({ key }) => key));
    const weight = this.#weight(`${parts[0].key} and ${parts.length - 1} more`, rows, inner, kept);
    let above = 0;
    for (const { key, out } of parts) {
      this.#request(key, [out, inner], this.#rows(weight, above));
      above += out;
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
  computedLinear(label: string, out: number, inner: number, values: () => Float32Array): Matrix {
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
    this.#plan.zeroed.push(() => (weight.data = new Float32Array(sizeOf(shape))));
    this.#request(key, shape, {
      unit: sizeOf(shape),
      write: (bytes, dtype) => {
        weight.data = toFloat32(bytes, dtype);
        return { bytes: 0 };
      },
    });
    return weight;
  }

  /** Keys that inference does not need, matched after the current prefix. */
  ignore(...patterns: RegExp[]): void {
    const prefix = this.#prefix.replaceAll(".", "\\.");
    this.#plan.ignored.push(...patterns.map((p) => new RegExp(`^${prefix}(?:${p.source})`)));
  }

  /** All that was asked for, as a checkpoint has it. */
  get asked(): readonly { readonly key: string; readonly shape: Shape }[] {
    return this.#plan.requests;
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
   * Reads everything that was asked for onto the GPU, a few megabytes at a time: no tensor is ever whole in this process's
   * memory, and what is stored as it is kept is only copied.
   * @throws WeightsError saying which keys are missing, unexpected and wrongly shaped; NonFiniteError with counts by key;
   *   AdapterError when memory runs out
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

  async #read({ onProgress, onSaturated, nonFinite = "refuse", signal }: LoadOptions): Promise<void> {
    const { source, requests, computed } = this.#plan;
    const bad = new Map<string, { nan: number; infinite: number; elements: number }>();
    const total = this.storedBytes;
    let [done, waiting] = [0, 0];
    signal?.throwIfAborted();
    for (const { key, fill } of requests) {
      const { dtype } = source.tensors.get(key)!;
      const each = dtypeBytes[dtype];
      let [at, beyond, nan, infinite] = [0, 0, 0, 0];
      for await (const piece of piecesOf(source, key, fill.unit * each)) {
        signal?.throwIfAborted();
        const count = countNonFinite(piece, dtype);
        nan += count.nan;
        infinite += count.infinite;
        const { bytes, saturated = 0 } = fill.write(piece, dtype, at / each);
        waiting += bytes;
        beyond += saturated;
        at += piece.byteLength;
        done += piece.byteLength;
        onProgress?.(done, total);
        if (waiting < WAITING_BYTES) continue;
        await this.gpu.idle();
        waiting = 0;
      }
      if (beyond > 0) onSaturated?.(key, beyond);
      if (nan + infinite > 0) bad.set(key, { nan, infinite, elements: at / each });
    }
    if (bad.size > 0 && nonFinite === "refuse") {
      throw nonFiniteError(source.name, bad, new Set(requests.map(({ key }) => key)).size);
    }
    for (const compute of computed) compute();
    await this.gpu.idle();
  }

  /** Takes the memory that `load` would take and reads nothing, weights being zero: for a device that only counts. */
  reserve(): void {
    for (const zero of this.#plan.zeroed) zero();
    for (const storage of this.#plan.storages)
      storage.buffer ??= this.gpu.memory.acquire(storage.bytes, storage.label);
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

  #weight(label: string, out: number, inner: number, dtype: WeightDtype): Matrix {
    const weight = new Matrix(this.gpu, out, inner, dtype, this.#prefix + label);
    this.#plan.storages.push(...weight.blocks.map(({ data }) => data.storage));
    return weight;
  }

  /** Only what is stored as bfloat16 can be kept so; anything can be made float16. */
  #kept(keys: readonly string[]): WeightDtype {
    const { source, options } = this.#plan;
    const { dtype = "f32" } = options;
    const isBf16 = keys.every((key) => source.tensors.get(this.#prefix + key)?.dtype === "BF16");
    return dtype === "bf16" && !isBf16 ? "f32" : dtype;
  }

  #packed(key: string, out: number, inner: number, shape: Shape, order?: Int32Array): Matrix {
    const weight = this.#weight(key, out, inner, this.#kept([key]));
    this.#request(key, shape, this.#rows(weight, 0, order));
    return weight;
  }

  /**
   * Whole rows of a tensor into the rows of `weight` from `firstRow` on.
   * @param order where in a stored row each term lies, or MISSING for a zero; default: as stored
   */
  #rows(weight: Matrix, firstRow: number, order?: Int32Array): Fill {
    const { gpu } = this;
    const unit = order ? order.reduce((n, at) => n + (at === MISSING ? 0 : 1), 0) : weight.in;
    return {
      unit,
      write: (bytes, dtype, at) => {
        const values = asKept(bytes, dtype, weight.dtype);
        const rows = order
          ? reorder(values.bytes, BYTES_PER_ELEMENT[weight.dtype], unit, order)
          : values.bytes;
        weight.write(gpu, firstRow + at / unit, rows);
        return { bytes: rows.byteLength, saturated: values.saturated };
      },
    };
  }

  #request(key: string, shape: Shape, fill: Fill): void {
    this.#plan.requests.push({ key: this.#prefix + key, shape, fill });
  }

  /** Compares all that was asked for with all that is there; `load` does it too. @throws WeightsError */
  compare(): void {
    const { source, requests, ignored, options } = this.#plan;
    compareKeys(source, requests, {
      ignored: (key) => options.unexpected === "ignore" || ignored.some((pattern) => pattern.test(key)),
    });
  }
}
