/**
 * LingBot-VA's video as what a sampler follows: v = v_empty + g·(v_prompt − v_empty). Every call leaves its keys and values behind those of the
 * episode, so that the tap of each state, the prompt's, is there without a copy.
 *
 * Axes: C latent channels, F frames, h and w latent rows and columns, N tokens.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { slice } from "../../kernels/copy.ts";
import { axpy, multiply, subtract } from "../../kernels/elementwise.ts";
import type { KeyValueCache } from "../../networks/lingbot/cache.ts";
import type { Denoiser, Evaluation } from "../../sampling/denoiser.ts";
import type { Call } from "../../sampling/scheduler.ts";
import { constant, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import type { PreparedText } from "./text-context.ts";
import { actionBranches } from "./action-denoiser.ts";
import type { LingbotModel } from "./model.ts";

/** The tokens that stand behind those a cache holds, of each branch that actions read: a video call has just left them there. */
export const videoTokens = (model: LingbotModel, cache: KeyValueCache): Tensor[] =>
  Array.from({ length: actionBranches(model) }, (_, branch) =>
    cache.tokens(branch, { from: cache.at, to: cache.at + model.tokens.video }),
  ).flat();

/** 1 where a chunk's latents move, 0 in frame zero, (C·F·h·w); called inside `record`. */
export function movingFrames({ latentShape }: LingbotModel): Tensor {
  const [C, F, h, w] = latentShape;
  const moves = Float32Array.from({ length: C * F * h * w }, (_, i) =>
    Math.floor(i / (h * w)) % F > 0 ? 1 : 0,
  );
  return constant([moves.length], moves, "frames that move");
}

export interface VideoDenoiserOptions {
  readonly text: Pick<PreparedText, "branches" | "prompt">;
  /** has room for the chunk's tokens behind those it holds */
  readonly cache: KeyValueCache;
  readonly start: number;
  /** whether frame 0 of the state is given, and stays */
  readonly givenFirst: boolean;
}

/** Free it with `dispose`; text and cache stay the caller's. */
export class VideoDenoiser implements Denoiser {
  readonly #gpu: Gpu;
  readonly #model: LingbotModel;
  readonly #options: VideoDenoiserOptions;
  readonly #times: Tensor;

  constructor(model: LingbotModel, options: VideoDenoiserOptions) {
    this.#gpu = model.gpu;
    this.#model = model;
    this.#options = options;
    this.#times = model.createTimes();
  }

  /** x (1, C, F, h, w) → its guided velocity, of a given frame zero. That is what is tapped; keys and values are the cache's, see `tap`. */
  evaluate(x: Tensor, want: "all" | "taps"): Evaluation {
    const { text, cache, start, givenFirst } = this.#options;
    const { branches, config } = this.#model;
    const { guidance } = config.video;
    const items = want === "all" ? branches : actionBranches(this.#model);
    const velocities = this.#model.videoVelocity(x, items, {
      text: items === 2 ? text.branches : text.prompt,
      ...{ workspace: cache, start, times: this.#times, cleanFrames: givenFirst ? 1 : 0 },
    });
    if (want === "taps") return { tapped: [velocities] };
    const branch = (i: number): Tensor => (items === 1 ? velocities : slice(velocities, 0, i, i + 1));
    const [prompt, empty] = [branch(0), branch(items - 1)];
    const guided = guidance > 1 ? axpy(empty, guidance, subtract(prompt, empty)) : prompt;
    if (!givenFirst) return { output: guided, tapped: [guided] };
    const output = multiply(guided, movingFrames(this.#model));
    return { output, tapped: [output] };
  }

  /** Keys and values of the last call's tokens, of each branch that actions read; see `KeyValueCache.tokens`. */
  tap(): Tensor[] {
    return videoTokens(this.#model, this.#options.cache);
  }

  setCall({ at }: Call): void {
    this.#model.writeTime(this.#times, at);
  }

  dispose(): void {
    releaseTensor(this.#gpu, this.#times);
  }
}
