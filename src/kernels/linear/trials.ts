/** What autotune.ts times of linear: a product in float32 of each shape class. */
import type { Gpu } from "../../gpu/gpu.ts";
import { Matrix } from "../../tensor/matrix.ts";
import { createTensor, releaseTensor } from "../../tensor/tensor.ts";
import { linear } from "../linear.ts";
import { linearReference } from "../linear.reference.ts";
import { pattern, type Trials } from "../trial.ts";
import { type LinearVariantName, ON_GPU, SHAPE_CLASSES, VARIANTS } from "./variants.ts";

export const linearTrials: Trials = {
  kernel: "linear",
  variants: VARIANTS,
  candidates: ON_GPU,
  prepare: (gpu: Gpu, kind) => {
    const { rows, inner, columns } = SHAPE_CLASSES[kind as keyof typeof SHAPE_CLASSES];
    const x = pattern(rows * inner, 271);
    const w = pattern(columns * inner, 619);
    const weight = new Matrix(gpu, columns, inner, "f32", "autotune");
    weight.upload(gpu, w);
    const tx = createTensor(gpu, [rows, inner], x, "autotune");
    const sample = (row: number, count: number) => ({
      at: row * columns,
      values: linearReference(x.subarray(row * inner), w, count, inner, columns),
    });
    return {
      run: (variant) => linear(tx, weight, { variant: variant as LinearVariantName }),
      // The first rows and the last one.
      truth: [sample(0, Math.min(rows, 3)), sample(rows - 1, 1)],
      release: () => {
        releaseTensor(gpu, tx);
        weight.release(gpu);
      },
    };
  },
};
