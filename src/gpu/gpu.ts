/**
 * One device and what belongs to it: memory, pipelines, counters, and what happens when it is lost. Nothing here
 * is shared between devices, so two can live in one process.
 */
import { AdapterError, DeviceLostError, GpuValidationError } from "../errors.ts";
import { Memory } from "./memory.ts";
import { PipelineCache } from "./pipelines.ts";

/** What a result file says about the adapter. */
export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** a CPU pretending to be a GPU: small workgroups win there */
  readonly software: boolean;
  /** how the adapter was found, for example "installed driver" or "SwiftShader from npm" */
  readonly origin: string;
}

/** What matrix products multiply in. */
export type Arithmetic = "f32" | "f16";

export interface GpuOptions {
  /** kernels forced to a named variant, for tests and benchmarks: `{ linear: "naive" }` */
  readonly variants?: Readonly<Record<string, string>>;
  /** a binding limit below the adapter's own, to test splitting; bytes; buffers may be larger */
  readonly maxBindingBytes?: number;
  /**
   * Of matrix products and of attention with many queries: "f16" rounds what is multiplied to half precision, sums stay float32. Default "f32".
   * Refused where the adapter has no shader-f16.
   */
  readonly arithmetic?: Arithmetic;
  /** floating-point operations of one dispatch at most; default `WATCHED_FLOPS`, on software adapters no bound */
  readonly dispatchFlops?: number;
}

/** A browser ends a dispatch after 2 s: what an adapter of 100 GFLOP/s does in that time. */
const WATCHED_FLOPS = 2e11;

/** Features that kernels use when present; none is required. */
const USEFUL_FEATURES = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  // Dawn's experiment, with unsafe APIs allowed only (open.node.ts); the types do not know it.
  "chromium-experimental-subgroup-matrix" as GPUFeatureName,
] as const;

/** A shape of subgroup matrices (M × K times K × N) as Dawn's adapter info lists it. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** `f16 16×16×16 → f32`: component, M × N × K, component of the sums. Only where every subgroup has 32 invocations, as kernels want it. */
function subgroupMatrices(info: GPUAdapterInfo): string[] {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[] };
  if (info.subgroupMinSize !== 32 || info.subgroupMaxSize !== 32) return [];
  return [...subgroupMatrixConfigs].map(
    ({ componentType, resultComponentType, M, N, K }) =>
      `${componentType} ${M}×${N}×${K} → ${resultComponentType}`,
  );
}

/** A card and its driver: some drivers name only themselves ("NVIDIA: 580.159.04"), software adapters only together with their version. */
export function nameOf({ device, description, vendor, software }: AdapterDescription): string {
  const both =
    !software && device && description && !description.toLowerCase().includes(device.toLowerCase());
  return both ? `${device}, ${description}` : description || device || vendor || "unnamed adapter";
}

/** A device with its allocator, pipeline cache and counters. */
export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly memory: Memory;
  readonly pipelines: PipelineCache;
  readonly variants: Readonly<Record<string, string>>;
  /** variants chosen on this adapter by checking and timing, by kernel and shape class: `linear many` → `shared128` */
  readonly tuned = new Map<string, string>();
  /** shapes of subgroup matrices, such as `f16 16×16×16 → f32` */
  readonly subgroupMatrices: readonly string[];
  readonly maxBindingBytes: number;
  readonly arithmetic: Arithmetic;
  /** operations beyond which work is split over dispatches */
  readonly dispatchFlops: number;
  readonly counters = {
    ...{ bindGroups: 0, buffers: 0, dispatches: 0, submits: 0 },
    /** of matrix products, attention and convolutions that were run: `Recording.flops` */
    flops: 0,
  };
  /** Look at every tensor of every replay and stop at the first that is not finite; slow, see finite.ts. */
  checkFinite = false;
  readonly #ran = new Map<string, Set<string>>();
  #running = "nothing";
  #lost: GPUDeviceLostInfo | undefined;
  /** the first error outside of `validated` that nobody was told yet */
  #refused: { readonly error: GPUError; readonly running: string } | undefined;

  private constructor(
    device: GPUDevice,
    adapter: AdapterDescription,
    matrices: readonly string[],
    options: GpuOptions,
  ) {
    this.device = device;
    this.adapter = adapter;
    this.subgroupMatrices = matrices;
    this.variants = options.variants ?? {};
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
    this.maxBindingBytes = Math.min(
      options.maxBindingBytes ?? Number.POSITIVE_INFINITY,
      maxStorageBufferBindingSize,
    );
    this.arithmetic = options.arithmetic ?? "f32";
    if (this.arithmetic === "f16" && !device.features.has("shader-f16")) {
      device.destroy();
      throw new AdapterError(
        `half-precision arithmetic needs shader-f16, which ${this.name} does not offer; use --arithmetic f32 or another adapter`,
      );
    }
    this.dispatchFlops =
      options.dispatchFlops ?? (adapter.software ? Number.POSITIVE_INFINITY : WATCHED_FLOPS);
    this.memory = new Memory(device, maxBufferSize);
    this.pipelines = new PipelineCache(device);
    void device.lost.then((info) => {
      this.#lost = info;
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#refused ??= { error: event.error, running: this.#running };
    });
  }

  /**
   * A device with the adapter's own limits and every useful feature it has.
   * @throws AdapterError when the adapter refuses
   */
  static async request(
    adapter: GPUAdapter,
    origin: string,
    software: boolean,
    options: GpuOptions = {},
  ): Promise<Gpu> {
    const { limits, info } = adapter;
    const device = await adapter
      .requestDevice({
        requiredFeatures: USEFUL_FEATURES.filter((f) => adapter.features.has(f)),
        requiredLimits: {
          maxBufferSize: limits.maxBufferSize,
          maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
          maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
          maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
          maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
          maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
        },
      })
      .catch((cause: Error) => {
        throw new AdapterError(
          `the adapter "${info.description || info.device}" gave no device: ${cause.message}`,
        );
      });
    const { vendor, architecture, device: name, description } = info;
    return new Gpu(
      device,
      { vendor, architecture, device: name, description, software, origin },
      device.features.has("chromium-experimental-subgroup-matrix") ? subgroupMatrices(info) : [],
      options,
    );
  }

  /** A name for messages and file stamps, such as "SwiftShader driver 5.0.0". */
  get name(): string {
    return nameOf(this.adapter);
  }

  /** Notes that a variant of a kernel was recorded. */
  noteVariant(kernel: string, variant: string): void {
    const names = this.#ran.get(kernel) ?? new Set();
    this.#ran.set(kernel, names.add(variant));
  }

  /** The variants recorded so far, by kernel, in alphabetical order. */
  get variantsRan(): Record<string, string[]> {
    const sorted = [...this.#ran].sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(sorted.map(([kernel, names]) => [kernel, [...names].sort()]));
  }

  /** @throws AdapterError when `bytes` cannot be bound at once on this adapter */
  checkBinding(
    bytes: number,
    label: string,
    remedy = "Use a smaller batch, fewer frames, or an adapter with larger limits.",
  ): void {
    if (bytes <= this.maxBindingBytes) return;
    throw new AdapterError(
      `${label} needs ${bytes} bytes in one binding; this adapter allows ${this.maxBindingBytes}. ${remedy}`,
    );
  }

  /**
   * Throws what the device has said since it was last asked; `next` says what was about to run.
   * @throws DeviceLostError when it is gone; GpuValidationError, or AdapterError when out of memory, when it refused something
   */
  assertAlive(next: string): void {
    if (!this.#lost) return this.#raiseRefused(next);
    throw new DeviceLostError(
      `the GPU device was lost (${this.#lost.reason}: ${this.#lost.message || "no message"}) while running ` +
        `"${this.#running}"; "${next}" was not started. Lower the batch or close other GPU programs, then run again.`,
    );
  }

  #raiseRefused(next: string): void {
    if (!this.#refused) return;
    const { error, running } = this.#refused;
    this.#refused = undefined;
    const message = `the device refused something, "${running}" or what followed it, before "${next}": ${error.message}`;
    if (error instanceof GPUOutOfMemoryError) {
      throw new AdapterError(
        `${message}; ${this.memory.usage.held} bytes are held. Use a smaller batch, or an adapter with more memory.`,
      );
    }
    throw new GpuValidationError(message);
  }

  submit(commands: GPUCommandBuffer, label: string, dispatches: number): void {
    this.#running = label;
    this.device.queue.submit([commands]);
    this.counters.dispatches += dispatches;
    this.counters.submits++;
  }

  /** Runs `work` under error scopes and waits for their verdict. */
  async validated(label: string, work: () => void): Promise<void> {
    const scopes = ["internal", "out-of-memory", "validation"] as const;
    for (const s of scopes) this.device.pushErrorScope(s);
    work();
    const [validation, memory, internal] = await Promise.all(scopes.map(() => this.device.popErrorScope()));
    this.assertAlive(label);
    if (validation)
      throw new GpuValidationError(`"${label}" was refused by the device: ${validation.message}`);
    if (memory) {
      const { held } = this.memory.usage;
      throw new AdapterError(
        `out of GPU memory in "${label}" with ${held} bytes held: ${memory.message}. Use a smaller batch.`,
      );
    }
    if (internal) throw new GpuValidationError(`"${label}" failed inside the driver: ${internal.message}`);
  }

  /** Resolves when everything submitted has finished. @throws DeviceLostError */
  async idle(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone();
    this.assertAlive("waiting for the queue");
  }

  /** Copies `bytes` bytes out of a buffer, from byte `offset` on, a multiple of 4. @throws DeviceLostError */
  async readBytes(buffer: GPUBuffer, bytes: number, label: string, offset = 0): Promise<ArrayBuffer> {
    this.assertAlive(`reading ${label}`);
    const size = Math.ceil(bytes / 4) * 4;
    if (size === 0) return new ArrayBuffer(0);
    const staging = this.device.createBuffer({
      label: `readback of ${label}`,
      size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    try {
      const encoder = this.device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
      this.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ).catch((cause: Error) => {
        this.assertAlive(`reading ${label}`);
        throw new GpuValidationError(`reading ${label} failed: ${cause.message}`);
      });
      return staging.getMappedRange().slice(0, bytes);
    } finally {
      staging.destroy();
    }
  }

  /** Releases the device and everything on it. */
  destroy(): void {
    this.device.destroy();
  }
}
