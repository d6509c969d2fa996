/** Read-outs that are flows of their own: every state and every velocity of one, kept on the GPU and read once, at the end. */
import type { Gpu } from "../gpu/gpu.ts";
import type { ReadOptions } from "../probe/subject.ts";
import type { Denoiser } from "../sampling/denoiser.ts";
import { sample } from "../sampling/sample.ts";
import type { Scheduler } from "../sampling/scheduler.ts";
import { copyTensor, createTensor, readTensor, releaseTensor, type Tensor } from "../tensor/tensor.ts";

export interface Trace {
  /** (M + 1, B, …) from the noise on */
  readonly states: Float32Array;
  /** (M, B, …) what the denoiser taps first */
  readonly velocities: Float32Array;
}

/**
 * Follows a flow from x (B, …) through M steps.
 * @param x is moved to the end
 * @throws the signal's reason when aborted
 */
export async function traced(
  gpu: Gpu,
  denoiser: Denoiser,
  x: Tensor,
  scheduler: Scheduler,
  { signal, onStep }: ReadOptions,
): Promise<Trace> {
  const M = scheduler.times.length - 1;
  const iterates = createTensor(gpu, [M + 1, ...x.shape], undefined, "iterates");
  const velocities = createTensor(gpu, [M, ...x.shape], undefined, "velocities");
  try {
    for await (const at of sample(gpu, denoiser, x, { scheduler, signal })) {
      copyTensor(gpu, x, iterates, { to: at.step * x.size });
      if (at.step === M) break;
      const [velocity] = await at.tapped();
      copyTensor(gpu, velocity, velocities, { to: at.step * x.size });
      await gpu.idle();
      onStep?.();
    }
    return { states: await readTensor(gpu, iterates), velocities: await readTensor(gpu, velocities) };
  } finally {
    releaseTensor(gpu, iterates);
    releaseTensor(gpu, velocities);
  }
}
