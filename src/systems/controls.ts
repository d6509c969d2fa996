/** Contexts that know nothing of an item, for systems whose taps are hidden states. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Control } from "../probe/subject.ts";
import { copyTensor, writeTensor } from "../tensor/tensor.ts";

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
