/**
 * Reading taps out: actions decoded from the hidden states of several stops in one batch, every step kept.
 *
 * Axes: R taps of V copies each, S noises, B = R·V·S items, taps slowest; N video tokens of width D; M steps, HA actions of width A.
 */
import { record, type Replay } from "../../gpu/recording.ts";
import type { ActionContext, ContextStorage } from "../../networks/world2action/decoder.ts";
import type { Reading, ReadOptions, TimedTap } from "../../probe/subject.ts";
import { copyTensor, createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import { repeated } from "../arrays.ts";
import { traced } from "../trace.ts";
import { ActionDenoiser, actionScheduler } from "./action-denoiser.ts";
import type { ReleaseModel } from "./model.ts";

/**
 * Decodes taps × noises.
 * @param state (J), normalised
 * @param noises (S, V) of HA·A numbers each
 * @param steps M
 * @param storage how the decoder keeps its keys and values of the video from step to step
 * @returns taps × noises, taps slowest
 */
export async function readOut(
  model: ReleaseModel,
  taps: readonly TimedTap[],
  state: Float32Array,
  noises: readonly (readonly Float32Array[])[],
  steps: number,
  storage: ContextStorage,
  options: ReadOptions,
): Promise<Reading[]> {
  const { gpu, decoder } = model;
  const [HA, A] = model.chunkShape;
  const size = HA * A;
  const [R, V, S] = [taps.length, taps[0].tap[0].dim(0), noises.length];
  const B = R * V * S;
  const owned: Tensor[] = [];
  const create = (shape: readonly number[], data: Float32Array | undefined, label: string): Tensor => {
    const tensor = createTensor(gpu, shape, data, label);
    owned.push(tensor);
    return tensor;
  };
  let context: Replay<ActionContext> | undefined;
  let denoiser: ActionDenoiser | undefined;
  try {
    const hidden = R === 1 ? taps[0].tap[0] : stacked(taps, create); // (R·V, N, D)
    context = await record(gpu, "prepare the decoder's context", () =>
      decoder.prepareContext(hidden, storage),
    );
    await context.run();
    denoiser = new ActionDenoiser(gpu, decoder, {
      state: create([B, 1, state.length], repeated(state, B), "normalised state"),
      context: context.outputs,
      videoTimes: Array.from({ length: B }, (_, b) => taps[Math.floor(b / (V * S))].time),
    });
    // Items that share a tap stand together: (R, V, S).
    const noise = new Float32Array(B * size);
    for (let b = 0; b < B; b++) noise.set(noises[b % S][Math.floor(b / S) % V], b * size);
    const x = create([B, HA, A], noise, "actions");
    const scheduler = actionScheduler(steps);
    const { states, velocities } = await traced(gpu, denoiser, x, scheduler, options);
    const jumps = velocities.map((v, i) => states[i] - scheduler.times[Math.floor(i / x.size)] * v);
    return taps.flatMap((_, r) =>
      noises.map((_, s) => {
        // (states, R, V, S, HA, A) → (V, states, HA, A)
        const ofTap = (values: Float32Array, count: number): Float32Array => {
          const out = new Float32Array(V * count * size);
          for (let v = 0; v < V; v++) {
            for (let n = 0; n < count; n++) {
              const from = (((n * R + r) * V + v) * S + s) * size;
              out.set(values.subarray(from, from + size), (v * count + n) * size);
            }
          }
          return out;
        };
        const last = states.subarray(steps * x.size);
        return { values: ofTap(last, 1), iterates: ofTap(states, steps + 1), oneJump: ofTap(jumps, steps) };
      }),
    );
  } finally {
    denoiser?.dispose();
    context?.dispose();
    for (const tensor of owned) releaseTensor(gpu, tensor);
  }

  function stacked(all: readonly TimedTap[], make: typeof create): Tensor {
    const [first] = all[0].tap;
    const together = make([R * V, ...first.shape.slice(1)], undefined, "hidden states");
    all.forEach(({ tap: [x] }, r) => copyTensor(gpu, x, together, { to: r * x.size }));
    return together;
  }
}
