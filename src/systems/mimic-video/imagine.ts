/**
 * Imagined futures: a trajectory of the video flow behind an encoded context, from noise on, as the probe looks at it and a policy acts
 * on it.
 */
import type { DenoiseOptions, Item, State, Tap } from "../../probe/subject.ts";
import { videoGrid } from "../../sampling/grid.ts";
import { gaussian } from "../../sampling/noise.ts";
import { sample } from "../../sampling/sample.ts";
import { euler } from "../../sampling/schedulers.ts";
import { createTensor, releaseTensor, sizeOf } from "../../tensor/tensor.ts";
import { framesShuffled } from "../controls.ts";
import type { MimicVideo, Prepared } from "./model.ts";
import { VideoFlow } from "./video-flow.ts";

/** N where nothing else is asked for. */
export const VIDEO_STEPS = 50;

/** (C, future latents, H, W) what the future of an item starts from */
export const videoNoise = (model: MimicVideo, { id, index }: Pick<Item, "id" | "index">, seed: number) =>
  gaussian(`video/${id}/${index}`, seed, sizeOf(model.futureShape));

/** (n, A) what its action chunk starts from */
export const actionNoise = (model: MimicVideo, { id, index }: Pick<Item, "id" | "index">, seed: number) =>
  gaussian(`action/${id}/${index}`, seed, sizeOf(model.chunkShape));

/** Whether frames can change places: a control needs more than one to come. */
export const shufflesFrames = ({ futureShape }: MimicVideo): boolean => futureShape[1] > 1;

/**
 * Stands still at every state.
 * @param noise (B, C, future latents, H, W)
 */
export async function* imagine(
  model: MimicVideo,
  { context, text }: Pick<Prepared, "context" | "text">,
  noise: Float32Array,
  { steps = VIDEO_STEPS, last, signal }: DenoiseOptions,
): AsyncGenerator<State> {
  const { gpu, tower, futureShape } = model;
  const latents = createTensor(gpu, [context.dim(0), ...futureShape], noise, "future latents");
  const flow = new VideoFlow(gpu, tower, text, context);
  const scheduler = euler(videoGrid(steps));
  const [past, future] = [context.dim(2), futureShape[1]];
  const frames = [
    { latents: context, from: 0, to: past },
    { latents, from: 0, to: future },
  ];
  try {
    for await (const state of sample(gpu, flow, latents, { scheduler, last, signal })) {
      const shuffled = (seed: number): Promise<Tap> => framesShuffled(gpu, frames, seed, () => state.again());
      yield {
        ...{ step: state.step, time: state.time, latents, tap: () => state.tapped() },
        shuffled: shufflesFrames(model) ? shuffled : undefined,
      };
    }
  } finally {
    flow.dispose();
    releaseTensor(gpu, latents);
  }
}
