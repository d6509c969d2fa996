/** How a kernel is put to the test by autotune.ts: operands of a typical shape, and what has to come out. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A part of the right result: `values` from element `at` on. */
export interface Sample {
  readonly at: number;
  readonly values: ArrayLike<number>;
}

/** A kernel's typical shape of one class, with its operands on the device. */
export interface Trial {
  /** computes with the variant of this name; called inside `record` */
  readonly run: (variant: string) => Tensor;
  readonly truth: readonly Sample[];
  readonly release: () => void;
}

/** What can be selected about a kernel. */
export interface Trials {
  readonly kernel: string;
  readonly variants: object;
  /** names to choose from by shape class, the likeliest first */
  readonly candidates: Readonly<Record<string, readonly string[]>>;
  readonly prepare: (gpu: Gpu, kind: string) => Trial;
}

/** Operands of trials: a fixed pattern without symmetries, so that exchanged rows, columns or terms are noticed. */
export const pattern = (length: number, step: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length }, (_, i) => ((i * step) % 1009) / 504.5 - 1);
