/**
 * What LingBot-VA remembers of an episode: the encoder's last frames, and keys and values of what was observed and done. Between two chunks
 * the frames that followed and the actions that were taken are written, clean, where the imagined ones stood.
 *
 * Axes: V cameras, C latent channels, t latent frames, h and w latent rows and columns of all cameras side by side, F frames of a chunk, n
 * actions of a frame, A numbers of an action token.
 */
import { UsageError } from "../../errors.ts";
import { record } from "../../gpu/recording.ts";
import { concat, expand, slice } from "../../kernels/copy.ts";
import { KeyValueCache } from "../../networks/lingbot/cache.ts";
import type { TextContext } from "../../networks/lingbot/transformer.ts";
import { standardize } from "../../networks/vae.ts";
import { latentStatistics } from "../../networks/wan-vae/config.ts";
import { WanStream } from "../../networks/wan-vae/stream.ts";
import { createTensor, readTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import type { LingbotModel } from "./model.ts";

/** Values of latents (C, t, h, w). */
export interface Latents {
  readonly frames: number;
  readonly values: Float32Array<ArrayBuffer>;
}

export class EpisodeMemory {
  readonly cache: KeyValueCache;
  readonly #model: LingbotModel;
  readonly #stream: WanStream;
  readonly #times: Tensor;
  #first: Latents | undefined;
  #start = 0;

  constructor(model: LingbotModel) {
    const { gpu, transformer, branches, cacheTokens, width } = model;
    this.#model = model;
    this.#stream = new WanStream(gpu, model.vae);
    this.#times = model.createTimes();
    const sizes = { blocks: transformer.config.layers, items: branches, capacity: cacheTokens, width };
    this.cache = new KeyValueCache(gpu, sizes);
  }

  /** The next chunk's first frame, counted through the episode. */
  get start(): number {
    return this.#start;
  }

  /** Latents of the first observation (C, 1, h, w): frame 0, which is given while the first chunk is imagined; none later. */
  get given(): Float32Array | undefined {
    return this.#start === 0 ? this.#first?.values : undefined;
  }

  /** An episode begins with one frame (V, 3, 1, rows, columns) of every camera. */
  async begin(frames: Float32Array<ArrayBuffer>): Promise<Latents> {
    this.cache.clear();
    this.#stream.reset();
    this.#start = 0;
    this.#first = await this.encode(frames, 1);
    return this.#first;
  }

  /** What the encoder makes of the next `count` frames (V, 3, count, rows, columns), which are then seen for good. */
  async encode(frames: Float32Array<ArrayBuffer>, count: number): Promise<Latents> {
    const { gpu, vae, config } = this.#model;
    const cameras = config.cameras.length;
    const video = createTensor(gpu, [cameras, 3, count, ...config.frameSize], frames, "frames");
    try {
      const { mean } = await this.#stream.push(video);
      const beside = await record(gpu, "standardise latents", () => {
        const z = standardize(mean, latentStatistics(vae.config)); // (V, C, t, h, columns of a camera)
        return concat(
          Array.from({ length: cameras }, (_, v) => slice(z, 0, v, v + 1)),
          4,
        );
      });
      await beside.run();
      const values = Float32Array.from(await readTensor(gpu, beside.outputs));
      const latents = { frames: beside.outputs.dim(2), values };
      beside.dispose();
      return latents;
    } finally {
      releaseTensor(gpu, video);
    }
  }

  /**
   * What was observed behind the chunk, and what was done.
   * @param seen latents of the frames that followed; behind the first chunk those of the first observation are put before them
   * @param actions (F·n, A), as `actionTokens` lays them out
   * @param text of all branches
   */
  async observe(seen: Latents, actions: Float32Array<ArrayBuffer>, text: TextContext): Promise<Latents> {
    const { cache } = this;
    if (!this.#first)
      throw new UsageError(
        "LingBot-VA: an episode begins with its first frame, before anything else is observed",
      );
    const latents = this.#start === 0 ? joinedFrames(this.#first, seen, this.#model.latentShape[0]) : seen;
    cache.clearPredicted();
    await this.#write("video", latents, actions, text);
    await this.#write("action", latents, actions, text);
    this.#start += latents.frames;
    return latents;
  }

  dispose(): void {
    this.cache.dispose();
    this.#stream.dispose();
    releaseTensor(this.#model.gpu, this.#times);
  }

  /** A call of one stream at time 0, which leaves observed tokens; what it says is not used. */
  async #write(
    stream: "video" | "action",
    latents: Latents,
    actions: Float32Array<ArrayBuffer>,
    text: TextContext,
  ): Promise<void> {
    const model = this.#model;
    const { gpu, branches } = model;
    const [C, , h, w] = model.latentShape;
    const [A, F, n] = model.actionShape;
    const isVideo = stream === "video";
    const x = isVideo
      ? createTensor(gpu, [1, C, latents.frames, h, w], latents.values, "observed latents")
      : createTensor(gpu, [1, F * n, A], actions, "actions taken");
    const count = isVideo ? (model.tokens.video / F) * latents.frames : model.tokens.action;
    this.cache.makeRoom(count);
    const around = {
      ...{ text, workspace: this.cache, start: this.#start, times: this.#times },
      cleanFrames: isVideo ? latents.frames : F,
    };
    try {
      const replay = await record(gpu, `observe ${stream}`, () =>
        isVideo
          ? model.videoVelocity(x, branches, around)
          : model.actionVelocity(expand(x, branches, F * n, A), around),
      );
      await replay.run();
      this.cache.append(count, false);
      await gpu.idle();
      replay.dispose();
    } finally {
      releaseTensor(gpu, x);
    }
  }
}

/** (C, t₁, …) and (C, t₂, …) joined on the frame axis. */
export function joinedFrames(a: Latents, b: Latents, channels: number): Latents {
  const values = new Float32Array(a.values.length + b.values.length);
  const [eachA, eachB] = [a.values.length / channels, b.values.length / channels];
  for (let c = 0; c < channels; c++) {
    values.set(a.values.subarray(c * eachA, (c + 1) * eachA), c * (eachA + eachB));
    values.set(b.values.subarray(c * eachB, (c + 1) * eachB), c * (eachA + eachB) + eachA);
  }
  return { frames: a.frames + b.frames, values };
}
