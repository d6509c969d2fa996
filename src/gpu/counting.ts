/**
 * A device that only counts. Whatever runs on it takes the same memory in the same order as on a real one, and computes nothing: so the
 * memory that a model needs is found by walking the model's own code, before a byte of weights is read.
 */
import { type Arithmetic, Gpu } from "./gpu.ts";

/** WebGPU's flags, where no device has been opened yet. */
const FLAGS = {
  GPUBufferUsage: { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 },
  GPUShaderStage: { COMPUTE: 4 },
  GPUMapMode: { READ: 1 },
} as const;

/** What a device allows, as far as kernels ask. */
export interface CountedDevice {
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Partial<Record<keyof GPUSupportedLimits, number>>>;
  readonly software: boolean;
  /** bytes of one binding */
  readonly maxBindingBytes?: number;
  /** operations of one dispatch */
  readonly dispatchFlops?: number;
  readonly arithmetic?: Arithmetic;
  readonly variants?: Readonly<Record<string, string>>;
}

/** Limits that every WebGPU device has. */
const LEAST_LIMITS = {
  maxBufferSize: 268_435_456,
  maxStorageBufferBindingSize: 134_217_728,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
} as const;

/** A counting device with the limits, features and chosen kernels of `gpu`. */
export async function countingLike(gpu: Gpu): Promise<Gpu> {
  const { features, limits } = gpu.device;
  const names = Object.keys(LEAST_LIMITS) as (keyof typeof LEAST_LIMITS)[];
  const counting = await countingGpu({
    features,
    limits: Object.fromEntries(names.map((name) => [name, limits[name]])),
    software: gpu.adapter.software,
    maxBindingBytes: gpu.maxBindingBytes,
    dispatchFlops: gpu.dispatchFlops,
    arithmetic: gpu.arithmetic,
    variants: gpu.variants,
  });
  for (const [kind, variant] of gpu.tuned) counting.tuned.set(kind, variant);
  return counting;
}

/** A device of the kind described; buffers may be as large as the limits say, and there is no end of them. */
export async function countingGpu(description: CountedDevice): Promise<Gpu> {
  for (const [name, flags] of Object.entries(FLAGS)) {
    if (!(name in globalThis)) Object.assign(globalThis, { [name]: flags });
  }
  const limits = { ...LEAST_LIMITS, ...description.limits };
  const device = countingDevice(description.features, limits);
  const adapter = {
    features: description.features,
    limits,
    info: { vendor: "", architecture: "", device: "counting", description: "a device that only counts" },
    requestDevice: () => Promise.resolve(device),
  };
  const { software, maxBindingBytes, dispatchFlops, arithmetic, variants } = description;
  const options = { maxBindingBytes, dispatchFlops, arithmetic, variants };
  return Gpu.request(adapter as unknown as GPUAdapter, "counted", software, options);
}

/** Every call succeeds and does nothing; what is read back is zero. */
function countingDevice(features: ReadonlySet<string>, limits: object): GPUDevice {
  const nothing = (): void => {};
  const buffer = ({ size }: { size: number }) => ({
    size,
    destroy: nothing,
    mapAsync: () => Promise.resolve(),
    getMappedRange: () => new ArrayBuffer(size),
  });
  const pass = {
    setPipeline: nothing,
    setBindGroup: nothing,
    dispatchWorkgroups: nothing,
    end: nothing,
  };
  const encoder = {
    beginComputePass: () => pass,
    clearBuffer: nothing,
    copyBufferToBuffer: nothing,
    finish: () => ({}),
  };
  const device = {
    features,
    limits,
    lost: new Promise(nothing),
    queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: () => Promise.resolve() },
    createBuffer: buffer,
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createBindGroup: () => ({}),
    createShaderModule: () => ({ getCompilationInfo: () => Promise.resolve({ messages: [] }) }),
    createComputePipelineAsync: () => Promise.resolve({}),
    createCommandEncoder: () => encoder,
    pushErrorScope: nothing,
    popErrorScope: () => Promise.resolve(null),
    addEventListener: nothing,
    destroy: nothing,
  };
  return device as unknown as GPUDevice;
}
