/** A golden case: one computation of the PyTorch reference, see test/golden/README.md. */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Shape } from "../tensor/tensor.ts";
import type { WeightDtype } from "../tensor/matrix.ts";
import type { StoredDtype, TensorSource } from "../weights/source.ts";

/** An input or output as stored. */
export interface CaseTensor {
  readonly shape: Shape;
  readonly dtype: StoredDtype;
  /** integers and booleans as numbers too */
  readonly data: Float32Array;
}

export interface ExpectedOutput {
  readonly shape: Shape;
  readonly torch_float32_relative_error: number;
}

export interface GoldenCase {
  readonly name: string;
  readonly kind: string;
  readonly config: Record<string, unknown>;
  readonly args: Record<string, unknown>;
  /** what computed it: "mimic-video 0.5.8" */
  readonly reference?: { readonly package?: string };
  readonly expected: Readonly<Record<string, ExpectedOutput>>;
  readonly inputs: ReadonlyMap<string, CaseTensor>;
  readonly weights: TensorSource;
  /** how matrices are kept on the GPU */
  readonly dtype: WeightDtype;
}

/** Computes a case through the project's public classes: output name → values. */
export type CaseRunner = (gpu: Gpu, golden: GoldenCase) => Promise<ReadonlyMap<string, Float32Array>>;

/** The named input. @throws UsageError when the case lacks it */
export function input(golden: GoldenCase, name: string): CaseTensor {
  const found = golden.inputs.get(name);
  if (!found) throw new UsageError(`${golden.name}: input "${name}" is missing`);
  return found;
}

/** Inputs `prefix.0`, `prefix.1`, … in order. */
export function inputList(golden: GoldenCase, prefix: string): CaseTensor[] {
  const list: CaseTensor[] = [];
  for (let i = 0; golden.inputs.has(`${prefix}.${i}`); i++) list.push(input(golden, `${prefix}.${i}`));
  return list;
}

/** @throws UsageError naming the first input, argument or configuration key that the runner does not know */
export function allowOnly(
  golden: GoldenCase,
  what: "inputs" | "args" | "config",
  known: readonly RegExp[],
): void {
  const names = what === "inputs" ? [...golden.inputs.keys()] : Object.keys(golden[what]);
  for (const name of names) {
    if (!known.some((k) => new RegExp(`^(?:${k.source})$`).test(name))) {
      throw new UsageError(`${golden.name} (${golden.kind}): ${what} "${name}" is not supported`);
    }
  }
}
