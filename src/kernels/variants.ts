/** Which of several programs for the same operation runs on a device. */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";

/** The kernels that have variants. */
const KERNELS = ["attention", "conv3d", "gru", "historyPool", "linear", "wideAttention"] as const;

export type KernelName = (typeof KERNELS)[number];

/** What a variant must find on the device, and the WGSL extensions it then enables; nothing when it runs anywhere. */
export interface Needs {
  readonly features?: readonly GPUFeatureName[];
  /** lines that enable WGSL extensions */
  readonly enable?: string;
  /** bytes of workgroup memory, where more than the 16,384 of every device */
  readonly workgroupBytes?: number;
  /** invocations a workgroup, where more than the 256 of every device */
  readonly workgroupSize?: number;
  /** an entry of `gpu.subgroupMatrices`; implies subgroups of 32 */
  readonly subgroupMatrix?: string;
}

/** A way to compute an operation: what it needs of a device, and what records a call of it. */
export interface Variant<Call extends readonly unknown[], Result = void> {
  readonly needs?: Needs;
  readonly run: (...call: Call) => Result;
}

export const HALF: Needs = { features: ["shader-f16"], enable: "enable f16;\n" };

/** Both needs. */
export const both = (a: Needs = {}, b: Needs = {}): Needs => ({
  ...a,
  ...b,
  features: [...(a.features ?? []), ...(b.features ?? [])],
  enable: (a.enable ?? "") + (b.enable ?? ""),
});

export const SUBGROUPS: Needs = { features: ["subgroups"], enable: "enable subgroups;\n" };

/** Of a variant, all that matters for whether it runs. */
type Demanding = Variant<never[], unknown>;

type Variants = Readonly<Record<string, Demanding>>;

/** What a variant lacks on a device, in words; undefined when it runs there. */
export function lacks(gpu: Gpu, { needs }: Demanding): string | undefined {
  const { features, limits } = gpu.device;
  const missing = needs?.features?.find((f) => !features.has(f));
  if (missing) return missing;
  if ((needs?.workgroupBytes ?? 0) > limits.maxComputeWorkgroupStorageSize)
    return `${needs?.workgroupBytes} bytes of workgroup memory`;
  if ((needs?.workgroupSize ?? 0) > limits.maxComputeInvocationsPerWorkgroup)
    return `workgroups of ${needs?.workgroupSize}`;
  if (needs?.subgroupMatrix && !gpu.subgroupMatrices.includes(needs.subgroupMatrix))
    return `subgroup matrices ${needs.subgroupMatrix}`;
  return undefined;
}

/**
 * The variant of `kernel` to use: the one forced on this device (`GpuOptions.variants`), or the first of `preferred`
 * that the device can run. It is noted in `gpu.variantsRan`.
 * @throws UsageError when the forced name does not exist or does not run on this device
 */
export function choose<T extends Variants>(
  gpu: Gpu,
  kernel: KernelName,
  variants: T,
  ...preferred: (keyof T & string)[]
): keyof T & string {
  const forced = gpu.variants[kernel];
  if (forced === undefined) {
    const name = preferred.find((candidate) => !lacks(gpu, variants[candidate]))!;
    gpu.noteVariant(kernel, name);
    return name;
  }
  const names = Object.keys(variants).join(", ");
  if (!(forced in variants))
    throw new UsageError(`kernel "${kernel}" has no variant "${forced}"; it has ${names}`);
  const lacking = lacks(gpu, variants[forced as keyof T]);
  if (lacking) {
    throw new UsageError(
      `variant "${forced}" of kernel "${kernel}" needs ${lacking}, which ${gpu.name} does not offer; there are ${names}`,
    );
  }
  gpu.noteVariant(kernel, forced);
  return forced;
}

/**
 * "linear=naive,attention=flash" as `GpuOptions.variants`; the variant's name is checked when the kernel is first used.
 * @throws UsageError for a word without an equals sign, or a kernel that has no variants
 */
export function readVariants(text: string): Record<string, string> {
  const pairs = text.split(",").map((word) => word.trim().split("="));
  const wrong = pairs.find((pair) => pair.length !== 2 || pair.includes(""));
  if (wrong)
    throw new UsageError(`variants "${text}": "${wrong.join("=")}" is not KERNEL=NAME, such as linear=naive`);
  const unknown = pairs.find(([kernel]) => !(KERNELS as readonly string[]).includes(kernel));
  if (unknown)
    throw new UsageError(
      `variants "${text}": no kernel "${unknown[0]}" has variants; those that have: ${KERNELS.join(", ")}`,
    );
  return Object.fromEntries(pairs) as Record<string, string>;
}

/** Names to prefer, by shape class: a fixed order on CPU adapters, candidates for timing on real GPUs. */
export interface Preferences<T extends object, Class extends string> {
  readonly ON_CPU: Readonly<Record<Class, readonly (keyof T & string)[]>>;
  readonly ON_GPU: Readonly<Record<Class, readonly (keyof T & string)[]>>;
}

/** As `choose`, for kernels whose variant depends on the shape: what was selected for the class (autotune.ts), else the likeliest. */
export function chooseForClass<T extends Variants, Class extends string>(
  gpu: Gpu,
  kernel: KernelName,
  kind: Class,
  variants: T,
  { ON_CPU, ON_GPU }: Preferences<T, Class>,
): keyof T & string {
  // What was timed computes in float32.
  const selected =
    gpu.arithmetic === "f32"
      ? (gpu.tuned.get(`${kernel} ${kind}`) as (keyof T & string) | undefined)
      : undefined;
  const order = gpu.adapter.software ? ON_CPU[kind] : ON_GPU[kind];
  return choose(gpu, kernel, variants, ...(selected ? [selected] : []), ...order);
}

/**
 * Invocations a workgroup for kernels that share nothing inside it. A CPU adapter runs a workgroup on one thread, so
 * small ones spread better over cores (8 against 64: 1.3 times faster on SwiftShader 5.0.0, 2026-11-22).
 */
export const invocations = (gpu: Gpu): number => (gpu.adapter.software ? 8 : 64);

/**
 * Invocations a workgroup for kernels that do little in each: a CPU adapter takes 0.4 µs to begin one (30,720 elements of the gated
 * residual: 3.0 ms by 8, 1.7 ms by 64; SwiftShader 5.0.0, 2026-11-22).
 */
export const LIGHT_INVOCATIONS = 64;
