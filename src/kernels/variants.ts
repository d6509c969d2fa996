/** Which of several programs for the same operation runs on a device. */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";

/**
 * The variant of `kernel` to use: the one forced on this device (`GpuOptions.variants`), or `preferred`.
 * @throws UsageError when the forced name does not exist
 */
export function choose<T extends object>(
  gpu: Gpu,
  kernel: string,
  variants: T,
  preferred: keyof T & string,
): keyof T & string {
  const forced = gpu.variants[kernel];
  if (forced === undefined) return preferred;
  if (forced in variants) return forced as keyof T & string;
  throw new UsageError(
    `kernel "${kernel}" has no variant "${forced}"; it has ${Object.keys(variants).join(", ")}`,
  );
}

/**
 * Invocations a workgroup for kernels that share nothing inside it. A CPU adapter runs a workgroup on one thread, so
 * small ones spread better over cores (8 against 64: 1.3 times faster on SwiftShader 5.0.0, 2026-11-22).
 */
export const invocations = (gpu: Gpu): number => (gpu.adapter.software ? 8 : 64);
