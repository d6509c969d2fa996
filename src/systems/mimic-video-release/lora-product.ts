/**
 * The product of an adapter's matrices on the GPU: W₀ + B·A as the linear map `linear(B, Aᵀ)` with W₀ as residual. Float32, like the
 * loops.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { linear } from "../../kernels/linear.ts";
import { Matrix } from "../../tensor/matrix.ts";
import { createTensor, readTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";
import { type ProductWith, productInLoops } from "./lora.ts";

/** Up to so many terms of an A the loops are faster than a recording, and more exact. */
const SMALL_FACTOR = 1 << 18;

/** One recording for pieces of equal numbers of rows; a matrix has at most two. */
interface Recorded {
  readonly w0: Tensor;
  readonly b: Tensor;
  readonly replay: Replay<Tensor>;
}

export const productOnGpu =
  (gpu: Gpu): ProductWith =>
  async (a, rank) => {
    if (a.length <= SMALL_FACTOR) return productInLoops(a, rank);
    const inner = a.length / rank;
    const transposed = new Float32Array(a.length);
    for (let r = 0; r < rank; r++) {
      for (let i = 0; i < inner; i++) transposed[i * rank + r] = a[r * inner + i];
    }
    const weight = new Matrix(gpu, inner, rank, "f32", "adapter");
    weight.upload(gpu, transposed);
    const recorded = new Map<number, Recorded>();
    const recordedFor = async (count: number): Promise<Recorded> => {
      const known = recorded.get(count);
      if (known) return known;
      const w0 = createTensor(gpu, [count, inner], undefined, "rows of a matrix");
      const b = createTensor(gpu, [count, rank], undefined, "rows of an adapter");
      const replay = await record(gpu, "merge an adapter", () => linear(b, weight, { residual: w0 }));
      const made = { w0, b, replay };
      recorded.set(count, made);
      return made;
    };
    return {
      add: async (rows, b) => {
        const { w0, b: factors, replay } = await recordedFor(rows.length / inner);
        writeTensor(gpu, w0, rows);
        writeTensor(gpu, factors, b);
        await replay.run();
        return readTensor(gpu, replay.outputs);
      },
      done: () => {
        for (const { w0, b, replay } of recorded.values()) {
          replay.dispose();
          releaseTensor(gpu, w0);
          releaseTensor(gpu, b);
        }
        weight.release(gpu);
      },
    };
  };
