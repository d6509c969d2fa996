/**
 * LingBot-VA's networks and sizes, and how a call of its transformer is put together.
 *
 * Axes: B items, F latent frames of a chunk, n actions of a frame, C latent channels, h and w latent rows and columns of all cameras side by
 * side, A numbers of an action token.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { expand } from "../../kernels/copy.ts";
import type { Workspace } from "../../networks/lingbot/cache.ts";
import { actionPositions, videoPositions } from "../../networks/lingbot/positions.ts";
import type { LingbotTransformer, TextContext } from "../../networks/lingbot/transformer.ts";
import { patches, tokenGrid, unpatched } from "../../networks/wan/head.ts";
import { rotaryOf } from "../../networks/wan/positions.ts";
import { widthOf } from "../../networks/wan/config.ts";
import { timeSinusoids } from "../../networks/wan/embedders.ts";
import type { WanVae } from "../../networks/wan-vae/vae.ts";
import { constant, createTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";
import type { PolicyConfig } from "./config.ts";

/** What a call sees and where it stands. */
export interface CallSurroundings {
  /** of as many items as the call has, or of fewer: then each serves as many consecutive ones */
  readonly text: TextContext;
  readonly workspace: Workspace;
  /** the chunk's first frame, counted through the episode */
  readonly start: number;
  /** (2, timeDim) sinusoids of time 0 and of the call's own */
  readonly times: Tensor;
  /** frames from the first on that are told time 0 */
  readonly cleanFrames: number;
}

export class LingbotModel {
  readonly gpu: Gpu;
  readonly config: PolicyConfig;
  readonly transformer: LingbotTransformer;
  /** its encoder */
  readonly vae: WanVae;

  /** @throws UsageError when pictures do not divide into latents and those into patches, or the networks' latents differ */
  constructor(gpu: Gpu, config: PolicyConfig, transformer: LingbotTransformer, vae: WanVae) {
    this.gpu = gpu;
    this.config = config;
    this.transformer = transformer;
    this.vae = vae;
    const { latentChannels } = vae.config;
    if (latentChannels !== transformer.config.inChannels)
      throw new UsageError(
        `LingBot-VA: the autoencoder's latents have ${latentChannels} channels, the transformer reads ${transformer.config.inChannels}`,
      );
    const [, ph, pw] = transformer.config.patchSize;
    const [rows, columns] = config.frameSize;
    const unit = this.#compression;
    if (rows % (unit * ph) !== 0 || columns % unit !== 0 || this.latentShape[3] % pw !== 0)
      throw new UsageError(
        `LingBot-VA: pictures of ${rows}×${columns} do not divide into latents of ${unit} pixels and patches of ${ph}×${pw}`,
      );
  }

  /** (C, F, h, w) of a chunk's latents */
  get latentShape(): readonly [number, number, number, number] {
    const { frames, frameSize, cameras } = this.config;
    const [rows, columns] = frameSize.map((n) => n / this.#compression);
    return [this.transformer.config.inChannels, frames, rows, columns * cameras.length];
  }

  /** (A, F, n) of a chunk's actions */
  get actionShape(): readonly [number, number, number] {
    return [this.transformer.config.actionDim, this.config.frames, this.config.actionsPerFrame];
  }

  /** tokens of a chunk */
  get tokens(): { readonly video: number; readonly action: number } {
    const [t, rows, columns] = tokenGrid([1, ...this.latentShape], this.transformer.config.patchSize);
    return { video: t * rows * columns, action: this.config.frames * this.config.actionsPerFrame };
  }

  /** Tokens that the cache holds: as many chunks of video and of actions as half the window. */
  get cacheTokens(): number {
    const { video, action } = this.tokens;
    return Math.floor(this.config.window / 2) * (video + action);
  }

  /** Items of the cache: the prompt's, and the empty prompt's where either stream is guided by it. */
  get branches(): 1 | 2 {
    return Math.max(this.config.video.guidance, this.config.action.guidance) > 1 ? 2 : 1;
  }

  /** D */
  get width(): number {
    return widthOf(this.transformer.config);
  }

  /** Records: latents (1, C, T, h, w) for so many items → their velocities (items, C, T, h, w) */
  videoVelocity(latents: Tensor, items: number, around: CallSurroundings): Tensor {
    const { patchSize } = this.transformer.config;
    const grid = tokenGrid(latents.shape, patchSize);
    const one = patches(latents, patchSize); // (1, N, C·p_h·p_w)
    const tokens = expand(one, items, ...one.shape.slice(1));
    const positions = videoPositions(around.start, ...grid);
    return unpatched(this.#velocity("video", tokens, grid[0], positions, around), grid, patchSize);
  }

  /** Records: actions (B, F·n, A) → their velocities */
  actionVelocity(actions: Tensor, around: CallSurroundings): Tensor {
    const { actionsPerFrame } = this.config;
    const frames = actions.dim(1) / actionsPerFrame;
    const positions = actionPositions(around.start, frames, actionsPerFrame);
    return this.#velocity("action", actions, frames, positions, around);
  }

  /** Sinusoids of time 0 and of another on the GPU, see `writeTime`. */
  createTimes(): Tensor {
    const { timeDim } = this.transformer.config;
    const times = createTensor(this.gpu, [2, timeDim], undefined, "time sinusoids");
    this.writeTime(times, 0);
    return times;
  }

  writeTime(times: Tensor, time: number): void {
    writeTensor(this.gpu, times, timeSinusoids([0, time], this.transformer.config.timeDim));
  }

  #velocity(
    stream: "video" | "action",
    tokens: Tensor,
    frames: number,
    positions: ReturnType<typeof videoPositions>,
    { text, workspace, times, cleanFrames }: CallSurroundings,
  ): Tensor {
    const [B, N] = tokens.shape;
    const clean = (N / frames) * cleanFrames;
    const rowOf = Uint32Array.from({ length: B * N }, (_, i) => (i % N < clean ? 0 : 1));
    const { velocity } = this.transformer.forward({
      ...{ stream, tokens, text, workspace, sinusoids: times },
      rowOf: constant([B * N], rowOf, "time row of token"),
      angles: rotaryOf(positions, this.transformer.config.headDim),
    });
    return velocity;
  }

  /** pixels of a latent, in rows and columns */
  get #compression(): number {
    const { encoderWidths, patchSize } = this.vae.config;
    return 2 ** (encoderWidths.length - 1) * patchSize;
  }
}
