/** Contexts that know nothing of an item, for systems whose taps are hidden states. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Control } from "../probe/subject.ts";
import { gaussian } from "../sampling/noise.ts";
import {
  copyParts,
  copyTensor,
  createTensor,
  releaseTensor,
  type Tensor,
  writeTensor,
} from "../tensor/tensor.ts";

/** Hidden states set to zero, and those of another item. */
export const contextControls = (gpu: Gpu): Readonly<Record<"zeroed" | "otherEpisode", Control>> => ({
  zeroed: {
    needsOther: false,
    write: (_own, _other, into) => into.forEach((x) => writeTensor(gpu, x, new Float32Array(x.size))),
  },
  otherEpisode: {
    needsOther: true,
    write: (_own, other, into) => into.forEach((x, i) => copyTensor(gpu, other![i], x)),
  },
});

/** Consecutive frames of latents (V, C, T, H, W). */
export interface Frames {
  readonly latents: Tensor;
  /** inclusive, exclusive */
  readonly from: number;
  readonly to: number;
}

/**
 * What `look` sees when frames stand in another order, none in its own place; afterwards they are back. The frames are moved and the network looks anew,
 * because a decoder that attends to hidden states without positions, as those here do, cannot tell in which order these come: to permute the
 * tokens of a tap would change nothing.
 * @param runs the frames of a clip, in order
 * @param seed decides the order
 */
export async function framesShuffled<T>(
  gpu: Gpu,
  runs: readonly Frames[],
  seed: number,
  look: () => Promise<T>,
): Promise<T> {
  const kept = runs.map(({ latents }) => {
    const copy = createTensor(gpu, latents.shape, undefined, "frames in order");
    copyTensor(gpu, latents, copy);
    return copy;
  });
  const places = runs.flatMap(({ from, to }, run) =>
    Array.from({ length: to - from }, (_, t) => ({ run, t: from + t })),
  );
  try {
    for (const [place, source] of otherOrder(places.length, seed).entries()) {
      const [to, from] = [places[place], places[source]];
      copyFrame(gpu, kept[from.run], from.t, runs[to.run].latents, to.t);
    }
    return await look();
  } finally {
    runs.forEach(({ latents }, i) => copyTensor(gpu, kept[i], latents));
    for (const copy of kept) releaseTensor(gpu, copy);
  }
}

/** For every place the one that is put there: one cycle through all of them, so that none stays. */
function otherOrder(length: number, seed: number): number[] {
  const draws = gaussian("order of frames", seed, length);
  const cycle = Array.from(draws.keys()).sort((a, b) => draws[a] - draws[b]);
  const order = new Array<number>(length);
  cycle.forEach((place, i) => (order[place] = cycle[(i + 1) % length]));
  return order;
}

function copyFrame(gpu: Gpu, from: Tensor, source: number, to: Tensor, target: number): void {
  const [V, C, , H, W] = from.shape;
  const size = H * W;
  const parts = Array.from({ length: V * C }, (_, channel) => ({
    from: (channel * from.dim(2) + source) * size,
    to: (channel * to.dim(2) + target) * size,
    count: size,
  }));
  copyParts(gpu, from, to, parts);
}
