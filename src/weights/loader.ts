/**
 * From key names to GPU tensors. A model asks for its weights by the checkpoint's own keys while it is built; nothing is
 * read until `load`, which first compares all that was asked with all that is there and reports every difference in
 * one message.
 */
import { WeightsError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { PackedWeight } from "../tensor/packed-weight.ts";
import { releaseTensor, type Shape, showShape, sizeOf, Tensor, writeTensor } from "../tensor/tensor.ts";
import { floatDtypes, toFloat32 } from "./convert.ts";
import type { StoredDtype, TensorSource } from "./source.ts";

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

interface Request {
  readonly key: string;
  readonly shape: Shape;
  /** bytes it will take on the GPU */
  readonly bytes: number;
  readonly fill: (stored: Uint8Array, dtype: StoredDtype) => void;
  readonly release: () => void;
}

/** Everything one `load` will read; shared by a loader and its scopes. */
interface Plan {
  readonly gpu: Gpu;
  readonly source: TensorSource;
  readonly dtype: WeightDtype;
  readonly requests: Request[];
  readonly ignored: RegExp[];
  /** tensors worked out from others after these have been read, and how to free them */
  readonly computed: (() => void)[];
  readonly releases: (() => void)[];
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
      { gpu, source, dtype, requests: [], ignored: [], computed: [], releases: [] },
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
    const label = this.#prefix + key;
    const tensor = new Tensor(shape, "f32", { bytes: sizeOf(shape) * 4, label });
    this.#request(key, shape, tensor.storage.bytes, {
      fill: (stored, dtype) => {
        tensor.storage.buffer = gpu.memory.acquire(tensor.storage.bytes, label);
        writeTensor(gpu, tensor, toFloat32(stored, dtype));
      },
      release: () => releaseTensor(gpu, tensor),
    });
    return tensor;
  }

  /** The matrix of a linear map, shape (out, in); `checkpointShape` when it is stored with further axes of length 1. */
  linear(key: string, out: number, inner: number, checkpointShape: Shape = [out, inner]): PackedWeight {
    return this.#packed(key, out, inner, checkpointShape, (values) => values);
  }

  /** A convolution's kernel (O, I, taps…), reordered to (O, taps…, I) for channels-last pixels and packed. */
  convolution(key: string, shape: Shape): PackedWeight {
    const [out, channels, ...taps] = shape;
    const count = sizeOf(taps);
    return this.#packed(key, out, channels * count, shape, (values) => {
      const reordered = new (values.constructor as Float32ArrayConstructor)(values.length) as typeof values;
      for (let o = 0; o < out; o++) {
        for (let c = 0; c < channels; c++) {
          const from = (o * channels + c) * count;
          for (let t = 0; t < count; t++) reordered[(o * count + t) * channels + c] = values[from + t];
        }
      }
      return reordered;
    });
  }

  /** The matrices (out, in) of several linear maps of one input, stacked in this order: one product for all. */
  stacked(parts: readonly { readonly key: string; readonly out: number }[], inner: number): PackedWeight {
    const { gpu, source, dtype } = this.#plan;
    const stored = parts.map(({ key }) => source.tensors.get(this.#prefix + key)?.dtype);
    const kept = dtype === "bf16" && stored.every((d) => d === "BF16") ? "bf16" : "f32";
    const total = parts.reduce((n, { out }) => n + out, 0);
    const label = `${this.#prefix}${parts[0].key} and ${parts.length - 1} more`;
    const weight = new PackedWeight(gpu, total, inner, kept, label);
    let values: Float32Array | Uint16Array | undefined;
    let filled = 0;
    let first = 0;
    for (const { key, out } of parts) {
      const at = first * inner;
      first += out;
      this.#request(key, [out, inner], (weight.bytes * out) / total, {
        fill: (bytes, storedDtype) => {
          values ??= kept === "bf16" ? new Uint16Array(total * inner) : new Float32Array(total * inner);
          values.set(
            kept === "bf16"
              ? new Uint16Array(bytes.slice().buffer, 0, bytes.byteLength / 2)
              : toFloat32(bytes, storedDtype),
            at,
          );
          if (++filled < parts.length) return;
          weight.upload(gpu, values);
          values = undefined;
          filled = 0;
        },
        release: () => weight.release(gpu),
      });
    }
    return weight;
  }

  /** A float32 tensor worked out on the CPU from host weights, once all of them are loaded. */
  computed(label: string, shape: Shape, values: () => Float32Array): Tensor {
    const { gpu, computed, releases } = this.#plan;
    const tensor = new Tensor(shape, "f32", { bytes: sizeOf(shape) * 4, label: this.#prefix + label });
    computed.push(() => {
      tensor.storage.buffer = gpu.memory.acquire(tensor.storage.bytes, tensor.storage.label);
      writeTensor(gpu, tensor, values());
    });
    releases.push(() => releaseTensor(gpu, tensor));
    return tensor;
  }

  /** The matrix (out, in) of a linear map, worked out like `computed`. */
  computedLinear(label: string, out: number, inner: number, values: () => Float32Array): PackedWeight {
    const { gpu, computed, releases } = this.#plan;
    const weight = new PackedWeight(gpu, out, inner, "f32", this.#prefix + label);
    computed.push(() => weight.upload(gpu, values()));
    releases.push(() => weight.release(gpu));
    return weight;
  }

  /** Runs when everything is loaded and computed so far, to let go of what was only needed for that. */
  afterLoad(action: () => void): void {
    this.#plan.computed.push(action);
  }

  /** A small weight for the CPU, float32 values. */
  host(key: string, shape: Shape): HostWeight {
    const weight: HostWeight = { data: new Float32Array(0) };
    this.#request(key, shape, 0, {
      fill: (stored, dtype) => {
        weight.data = toFloat32(stored, dtype);
      },
      release: () => {},
    });
    return weight;
  }

  /** Keys that inference does not need, matched after the current prefix. */
  ignore(...patterns: RegExp[]): void {
    const prefix = this.#prefix.replaceAll(".", "\\.");
    this.#plan.ignored.push(...patterns.map((p) => new RegExp(`^${prefix}(?:${p.source})`)));
  }

  /** bytes of GPU memory that `load` will take */
  get bytes(): number {
    return this.#plan.requests.reduce((n, r) => n + r.bytes, 0);
  }

  /**
   * Reads everything that was asked for onto the GPU.
   * @throws WeightsError naming every missing, unexpected and wrongly shaped key; AdapterError when memory runs out
   */
  async load({ onProgress, signal }: LoadOptions = {}): Promise<void> {
    const { source, requests } = this.#plan;
    this.compare();
    const total = requests.reduce((n, r) => n + source.tensors.get(r.key)!.bytes, 0);
    let done = 0;
    for (const { key, fill } of requests) {
      signal?.throwIfAborted();
      const info = source.tensors.get(key)!;
      fill(await source.read(key), info.dtype);
      done += info.bytes;
      onProgress?.(done, total);
    }
    for (const compute of this.#plan.computed) compute();
    await this.gpu.idle();
  }

  /** Frees what `load` has put on the GPU. */
  release(): void {
    for (const r of this.#plan.requests) r.release();
    for (const release of this.#plan.releases) release();
  }

  #packed(
    key: string,
    out: number,
    inner: number,
    shape: Shape,
    reorder: (values: Float32Array | Uint16Array) => Float32Array | Uint16Array,
  ): PackedWeight {
    const { gpu, source, dtype } = this.#plan;
    const label = this.#prefix + key;
    // Only what is stored as bfloat16 can stay so.
    const kept = dtype === "bf16" && source.tensors.get(label)?.dtype === "BF16" ? "bf16" : "f32";
    const weight = new PackedWeight(gpu, out, inner, kept, label);
    this.#request(key, shape, weight.bytes, {
      fill: (stored, storedDtype) => {
        const values =
          kept === "bf16"
            ? new Uint16Array(stored.slice().buffer, 0, stored.byteLength / 2)
            : toFloat32(stored, storedDtype);
        weight.upload(gpu, reorder(values));
      },
      release: () => weight.release(gpu),
    });
    return weight;
  }

  #request(key: string, shape: Shape, bytes: number, rest: Pick<Request, "fill" | "release">): void {
    this.#plan.requests.push({ key: this.#prefix + key, shape, bytes, ...rest });
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
