/** What autotune.ts times of attention: each shape class, without mask or bias. */
import type { Gpu } from "../../gpu/gpu.ts";
import { createTensor, releaseTensor } from "../../tensor/tensor.ts";
import { attention } from "../attention.ts";
import { attentionReference } from "../attention.reference.ts";
import { pattern, type Trials } from "../trial.ts";
import { type AttentionVariantName, ON_GPU, SHAPE_CLASSES, VARIANTS } from "./variants.ts";

export const attentionTrials: Trials = {
  kernel: "attention",
  variants: VARIANTS,
  candidates: ON_GPU,
  prepare: (gpu: Gpu, kind) => {
    const { queries, keys, heads, headDim } = SHAPE_CLASSES[kind as keyof typeof SHAPE_CLASSES];
    const width = heads * headDim;
    const [q, k, v] = [pattern(queries * width, 271), pattern(keys * width, 619), pattern(keys * width, 433)];
    const [tq, tk, tv] = [
      createTensor(gpu, [1, queries, width], q, "autotune"),
      createTensor(gpu, [1, keys, width], k, "autotune"),
      createTensor(gpu, [1, keys, width], v, "autotune"),
    ];
    const sample = (query: number, count: number) => ({
      at: query * width,
      values: attentionReference(q.subarray(query * width), k, v, {
        ...{ batch: 1, queries: count, keys, heads, keyValueHeads: heads, headDim },
      }),
    });
    return {
      run: (variant) =>
        attention(
          { tensor: tq },
          { tensor: tk },
          { tensor: tv },
          {
            ...{ heads, headDim, variant: variant as AttentionVariantName },
          },
        ),
      // The first queries and the last one.
      truth: [sample(0, 2), sample(queries - 1, 1)],
      release: () => {
        for (const tensor of [tq, tk, tv]) releaseTensor(gpu, tensor);
      },
    };
  },
};
