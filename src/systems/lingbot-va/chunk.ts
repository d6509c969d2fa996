/**
 * One chunk: the video is imagined, and its last call's keys and values stay while actions are decoded; or what another clip's would be.
 *
 * Axes: C latent channels, F frames, h and w latent rows and columns, N video tokens, F·n action tokens of A numbers.
 */
import { record } from "../../gpu/recording.ts";
import { sample, type SampleState } from "../../sampling/sample.ts";
import { copyTensor, createTensor, readTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import { ActionDenoiser, actionBranches, movingActions } from "./action-denoiser.ts";
import type { EpisodeMemory } from "./memory.ts";
import type { LingbotModel } from "./model.ts";
import { scheduleOf, schedulerOf, videoCalls } from "./schedule.ts";
import type { PreparedText } from "./text-context.ts";
import { VideoDenoiser, videoTokens } from "./video-denoiser.ts";

/** What every part of a chunk needs. */
export interface ChunkSurroundings {
  readonly model: LingbotModel;
  readonly memory: EpisodeMemory;
  readonly text: PreparedText;
}

/** (1, C, F, h, w): noise, and the given frame where there is one */
export function startOfVideo(
  { model, memory }: ChunkSurroundings,
  noise: Float32Array,
): Float32Array<ArrayBuffer> {
  const [C, F, h, w] = model.latentShape;
  const x = Float32Array.from(noise);
  const { given } = memory;
  if (given) for (let c = 0; c < C; c++) x.set(given.subarray(c * h * w, (c + 1) * h * w), c * F * h * w);
  return x;
}

/** A state of the video. Its tap is there once `tapped` was asked for. */
export interface VideoState extends SampleState {
  /** keys and values of the call at this state, valid until the next one; see `videoTokens` */
  tap(): Tensor[];
}

export interface ImagineOptions {
  /** N; default the policy's */
  readonly steps?: number;
  /** last state that is wanted */
  readonly last: number;
  /** whether there is a step behind the call at t = 0 */
  readonly beyond?: boolean;
  readonly signal?: AbortSignal;
}

/** Moves the video along its schedule, from noise (C·F·h·w). Room in the cache is made first; leaving the loop ends it. */
export async function* imagine(
  surroundings: ChunkSurroundings,
  noise: Float32Array,
  { steps, last, beyond, signal }: ImagineOptions,
): AsyncGenerator<VideoState> {
  const { model, memory, text } = surroundings;
  const { gpu, config } = model;
  const { cache, start, given } = memory;
  cache.makeRoom(model.tokens.video);
  const denoiser = new VideoDenoiser(model, {
    ...{ text, cache, start, givenFirst: given !== undefined },
  });
  const x = createTensor(gpu, [1, ...model.latentShape], startOfVideo(surroundings, noise), "latents");
  try {
    const schedule = scheduleOf(steps ?? config.video.steps, config.video.shift);
    for await (const state of sample(gpu, denoiser, x, {
      scheduler: schedulerOf(schedule, beyond),
      last,
      signal,
    }))
      yield { ...state, tap: () => denoiser.tap() };
  } finally {
    denoiser.dispose();
    releaseTensor(gpu, x);
  }
}

/** What a chunk came to. */
export interface Chunk {
  /** (F·n, A) */
  readonly actions: Float32Array<ArrayBuffer>;
  /** (C, F, h, w) as the policy returns them */
  readonly latents: Float32Array<ArrayBuffer>;
  /** states that entered a call, where they were asked for */
  readonly entered: { readonly video: readonly Float32Array[]; readonly action: readonly Float32Array[] };
}

export interface ChunkOptions {
  /** `video_exec_step`; default the policy's */
  readonly exec?: number;
  /** whether states are read back on the way */
  readonly trace?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Imagines a chunk and acts: predicted keys and values stay in the cache until something is observed.
 * @param videoNoise (C, F, h, w)
 * @param actionNoise (F·n, A)
 */
export async function runChunk(
  surroundings: ChunkSurroundings,
  videoNoise: Float32Array,
  actionNoise: Float32Array,
  { exec, trace = false, signal }: ChunkOptions = {},
): Promise<Chunk> {
  const { model, memory, text } = surroundings;
  const { gpu, config } = model;
  const { calls, steps } = videoCalls(exec ?? config.videoExecStep, config.video.steps);
  const entered = { video: [] as Float32Array[], action: [] as Float32Array[] };
  let latents = Float32Array.from(videoNoise);
  if (calls > 0) {
    const beyond = steps > config.video.steps;
    for await (const state of imagine(surroundings, videoNoise, { last: steps, beyond, signal })) {
      if (trace && state.step < calls) entered.video.push(await readTensor(gpu, state.latents));
      if (state.step === steps) {
        // Of the whole loop the call at t = 0 only leaves keys and values.
        if (calls > steps) await state.tapped();
        latents = Float32Array.from(await readTensor(gpu, state.latents));
      }
    }
    memory.cache.append(model.tokens.video, true);
  }
  memory.cache.makeRoom(model.tokens.action);
  const two = actionBranches(model) === 2;
  const denoiser = new ActionDenoiser(model, {
    ...{ workspace: memory.cache, start: memory.start, text: two ? text.branches : text.prompt },
  });
  const moving = movingActions(model, memory.start);
  const [A, F, n] = model.actionShape;
  const x = createTensor(
    gpu,
    [1, F * n, A],
    Float32Array.from(moving, (m, i) => m * actionNoise[i]),
    "actions",
  );
  try {
    const scheduler = schedulerOf(scheduleOf(config.action.steps, config.action.shift));
    for await (const state of sample(gpu, denoiser, x, { scheduler, signal }))
      if (trace) entered.action.push(await readTensor(gpu, state.latents));
    return { actions: Float32Array.from(await readTensor(gpu, x)), latents, entered };
  } finally {
    denoiser.dispose();
    releaseTensor(gpu, x);
  }
}

/**
 * Keys and values that a call leaves on latents (1, C, F, h, w), as tensors of their own: of a recording, or of an estimate. What stands
 * behind the cache's tokens is as it was afterwards.
 * @param time what the call is told of all frames but a given one, 0 … 1000
 */
export async function tapOf(
  { model, memory, text }: ChunkSurroundings,
  latents: Tensor,
  time = 0,
): Promise<Tensor[]> {
  const { gpu } = model;
  const { cache, start, given } = memory;
  cache.makeRoom(model.tokens.video);
  const items = actionBranches(model);
  const times = model.createTimes();
  model.writeTime(times, time);
  const place = videoTokens(model, cache);
  const copies = (label: string): Tensor[] =>
    place.map((x) => {
      const copy = createTensor(gpu, x.shape, undefined, label);
      copyTensor(gpu, x, copy);
      return copy;
    });
  const before = copies("tokens set aside");
  try {
    const replay = await record(gpu, "look at a video", () =>
      model.videoVelocity(latents, items, {
        text: items === 2 ? text.branches : text.prompt,
        ...{ workspace: cache, start, times, cleanFrames: given ? 1 : 0 },
      }),
    );
    await replay.run();
    const tap = copies("tap of a video");
    before.forEach((x, i) => copyTensor(gpu, x, place[i]));
    await gpu.idle();
    replay.dispose();
    return tap;
  } finally {
    for (const tensor of [...before, times]) releaseTensor(gpu, tensor);
  }
}
