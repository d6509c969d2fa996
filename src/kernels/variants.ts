/** Which of several programs for the same operation runs on a device. */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";

/** What a variant must find on the device, and the WGSL extension it then enables; neither when it runs anywhere. */
export interface Needs {
  readonly feature: GPUFeatureName;
  readonly enable: string;
}

export const SUBGROUPS: Needs = { feature: "subgroups", enable: "enable subgroups;\n" };

const needs = (variant: unknown): Needs | undefined =>
  typeof variant === "object" && variant ? (variant as { needs?: Needs }).needs : undefined;

const runs = (gpu: Gpu, variant: unknown): boolean =>
  !needs(variant) || gpu.device.features.has(needs(variant)!.feature);

/**
 * The variant of `kernel` to use: the one forced on this device (`GpuOptions.variants`), or the first of `preferred`
 * that the device can run.
 * @throws UsageError when the forced name does not exist or does not run on this device
 */
export function choose<T extends object>(
  gpu: Gpu,
  kernel: string,
  variants: T,
  ...preferred: (keyof T & string)[]
): keyof T & string {
  const forced = gpu.variants[kernel];
  if (forced === undefined) return preferred.find((name) => runs(gpu, variants[name]))!;
  const names = Object.keys(variants).join(", ");
  if (!(forced in variants))
    throw new UsageError(`kernel "${kernel}" has no variant "${forced}"; it has ${names}`);
  const variant = variants[forced as keyof T];
  if (!runs(gpu, variant)) {
    throw new UsageError(
      `variant "${forced}" of kernel "${kernel}" needs ${needs(variant)?.feature}, which ${gpu.name} does not offer; there are ${names}`,
    );
  }
  return forced as keyof T & string;
}

/**
 * Invocations a workgroup for kernels that share nothing inside it. A CPU adapter runs a workgroup on one thread, so
 * small ones spread better over cores (8 against 64: 1.3 times faster on SwiftShader 5.0.0, 2026-11-22).
 */
export const invocations = (gpu: Gpu): number => (gpu.adapter.software ? 8 : 64);
