/**
 * The networks of one policy: the Wan tokenizer's encoder, the video transformer, the action decoder, and what is computed with them.
 * Dimensions come from the shapes of their tensors.
 *
 * Axes: V copies of an item, T latent frames of which n = 2 are given, H and W latent rows and columns, L tokens of text of width d.
 */
import { WeightsError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record, scope } from "../../gpu/recording.ts";
import { expand } from "../../kernels/copy.ts";
import { widthOf } from "../../networks/cosmos/config.ts";
import { cosmosConfigFromShapes } from "../../networks/cosmos/original-config.ts";
import { cosmosWeights } from "../../networks/cosmos/original-keys.ts";
import { CosmosTransformer, type TextContext } from "../../networks/cosmos/transformer.ts";
import { standardize } from "../../networks/vae.ts";
import { bf16LatentStatistics } from "../../networks/wan-vae/config.ts";
import { wanConfigFromShapes, wanWeights } from "../../networks/wan-vae/original-keys.ts";
import { WanVae } from "../../networks/wan-vae/vae.ts";
import { world2ActionConfig, world2ActionWeights } from "../../networks/world2action/config.ts";
import { World2ActionDecoder } from "../../networks/world2action/decoder.ts";
import type { WeightDtype } from "../../tensor/packed-weight.ts";
import { SMALLER_WEIGHTS } from "../../tensor/packed-weight.ts";
import { copyTensor, createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import { type LoaderOptions, type LoadOptions, WeightLoader } from "../../weights/loader.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { roundedToBf16 } from "../../weights/rounded.ts";
import type { TensorSource } from "../../weights/source.ts";
import { type Clip, readClip } from "./clip.ts";
import { mergeAdapters } from "./lora.ts";
import { productOnGpu } from "./lora-product.ts";
import type { Policy } from "./policies.ts";
import { readStatistics, type Statistics } from "./statistics.ts";
import { MOST_TEXT_ROWS } from "./text-file.ts";

/** The tokenizer, which all policies share. */
export const TOKENIZER = "video_backbone/tokenizer/tokenizer.pth";

/** What an item's frames and prompt become before denoising; free it with `dispose`. */
export interface Prepared {
  /** (V, 16, n or T, H, W) normalised latents of the frames, of which the first n are given */
  readonly latents: Tensor;
  readonly text: TextContext;
  dispose(): void;
}

export interface ModelOptions extends LoaderOptions {
  readonly dtype: WeightDtype;
}

export class ReleaseModel {
  readonly gpu: Gpu;
  readonly policy: Policy;
  readonly clip: Clip;
  readonly statistics: Statistics;
  readonly vae: WanVae;
  readonly transformer: CosmosTransformer;
  readonly decoder: World2ActionDecoder;
  readonly #loaders: readonly WeightLoader[];
  readonly #sources: readonly TensorSource[];

  private constructor(
    parts: Pick<ReleaseModel, "gpu" | "policy" | "clip" | "statistics" | "vae" | "transformer" | "decoder">,
    loaders: readonly WeightLoader[],
    sources: readonly TensorSource[],
  ) {
    ({
      gpu: this.gpu,
      policy: this.policy,
      clip: this.clip,
      statistics: this.statistics,
      vae: this.vae,
      transformer: this.transformer,
      decoder: this.decoder,
    } = parts);
    this.#loaders = loaders;
    this.#sources = sources;
  }

  /**
   * Builds the networks and compares what they need with the headers of the files; reads no tensor.
   * @throws FormatError, WeightsError or AdapterError naming what does not fit
   */
  static async open(
    gpu: Gpu,
    files: ModelFiles,
    policy: Policy,
    options: ModelOptions,
  ): Promise<ReleaseModel> {
    const sources: TensorSource[] = [];
    const loaders: WeightLoader[] = [];
    const source = async (path: string): Promise<TensorSource> => {
      const opened = await files.weights(path);
      sources.push(opened);
      return opened;
    };
    const loaderOf = (weights: TensorSource): WeightLoader => {
      const loader = WeightLoader.from(gpu, weights, options);
      loaders.push(loader);
      return loader;
    };
    try {
      // The release casts the tokenizer's float32 weights to bfloat16 once, when it loads them.
      const tokenizer = roundedToBf16(wanWeights(await source(TOKENIZER)));
      const vae = new WanVae(
        wanConfigFromShapes(tokenizer.tensors, tokenizer.name),
        loaderOf(tokenizer),
        "encoder",
      );
      const backbone = cosmosWeights(mergeAdapters(await source(policy.backbone), productOnGpu(gpu)));
      const config = cosmosConfigFromShapes(backbone.tensors, backbone.name);
      const transformer = new CosmosTransformer(config, loaderOf(backbone));
      const actions = world2ActionWeights(await source(policy.decoder));
      const decoder = new World2ActionDecoder(
        world2ActionConfig(actions.tensors, actions.name),
        loaderOf(actions),
      );
      for (const loader of loaders) loader.compare();
      checkPair(policy, transformer, decoder);
      const largest = loaders
        .map((loader) => loader.largest)
        .reduce((most, one) => (one.bytes > most.bytes ? one : most));
      gpu.checkBinding(largest.bytes, largest.label, SMALLER_WEIGHTS);
      const clip = await readClip(files, {
        spatial: 2 ** (vae.config.encoderWidths.length - 1) * vae.config.patchSize,
        temporal: 2 ** vae.config.halvesTime.filter(Boolean).length,
        patch: config.patchSize[1],
      });
      const horizon = { state: 1, action: decoder.chunkLength };
      const name = `${files.name}/${policy.statistics}`;
      const statistics = readStatistics(await files.json(policy.statistics), name, horizon);
      return new ReleaseModel({ gpu, policy, clip, statistics, vae, transformer, decoder }, loaders, sources);
    } catch (error) {
      for (const opened of sources) await opened.close();
      throw error;
    }
  }

  /** bytes of GPU memory that the weights take */
  get weightBytes(): number {
    return this.#loaders.reduce((n, loader) => n + loader.bytes, 0);
  }

  /** N, tokens of the clip */
  get tokens(): number {
    const [T, H, W] = this.clip.latents;
    const [, ph, pw] = this.transformer.config.patchSize;
    return (T * H * W) / (ph * pw);
  }

  /** (C, T, H, W) of one clip's latents */
  get latentShape(): readonly [number, number, number, number] {
    return [this.vae.config.latentChannels, ...this.clip.latents];
  }

  /** (HA, A) of a chunk */
  get chunkShape(): readonly [number, number] {
    return [this.decoder.chunkLength, this.decoder.config.actionDim];
  }

  /** Reads the weights, and closes their files. @throws AdapterError when memory runs out */
  async load({ onProgress, ...options }: LoadOptions): Promise<void> {
    const total = this.#loaders.reduce((n, loader) => n + loader.storedBytes, 0);
    let before = 0;
    try {
      for (const loader of this.#loaders) {
        const start = before;
        await loader.load({ ...options, onProgress: (done) => onProgress?.(start + done, total) });
        before += loader.storedBytes;
      }
    } finally {
      await this.close();
    }
  }

  /**
   * Encodes frames and a prompt for V copies that share them.
   * @param frames (3, F, rows, columns) in [−1, 1]: the context, or all of a clip
   * @param text (L, d)
   */
  async prepare(frames: Float32Array<ArrayBuffer>, text: Float32Array, copies: number): Promise<Prepared> {
    const { gpu, vae, transformer, clip } = this;
    const [rows, columns] = clip.frameSize;
    const width = transformer.config.textProjectionFrom ?? transformer.config.textDim;
    // Rows of zeros behind the prompt are attended to like any other.
    const padded = new Float32Array(MOST_TEXT_ROWS * width);
    padded.set(text);
    const video = createTensor(
      gpu,
      [1, 3, frames.length / (3 * rows * columns), rows, columns],
      frames,
      "frames",
    );
    const prompt = createTensor(gpu, [1, MOST_TEXT_ROWS, width], padded, "text");
    try {
      const encoded = await record(gpu, "encode frames", () => {
        const { mean } = vae.encode(video);
        const z = standardize(mean, bf16LatentStatistics(vae.config));
        return expand(z, copies, ...z.shape.slice(1));
      });
      await encoded.run();
      await gpu.idle();
      const latents = createTensor(gpu, encoded.outputs.shape, undefined, "latents");
      copyTensor(gpu, encoded.outputs, latents);
      await gpu.idle();
      encoded.dispose();
      // What the tokenizer needed is of no size that anything else has.
      gpu.memory.trim();
      const context = await record(gpu, "prepare text", () =>
        scope("transformer", () => transformer.textContext(expand(prompt, copies, MOST_TEXT_ROWS, width))),
      );
      await context.run();
      return {
        latents,
        text: context.outputs,
        dispose: () => {
          context.dispose();
          releaseTensor(gpu, latents);
        },
      };
    } finally {
      releaseTensor(gpu, video);
      releaseTensor(gpu, prompt);
    }
  }

  /** Closes the files of weights. */
  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  /** Frees the weights. */
  release(): void {
    for (const loader of this.#loaders) loader.release();
  }
}

/** @throws WeightsError when the decoder reads other hidden states than the backbone has */
function checkPair(
  { backbone, decoder: path, layer }: Policy,
  video: CosmosTransformer,
  action: World2ActionDecoder,
): void {
  const [width, expected] = [widthOf(video.config), action.config.contextDim];
  if (width !== expected) {
    throw new WeightsError(
      `${path} reads hidden states of width ${expected}, ${backbone} has ${width}. A decoder cannot read another backbone's ` +
        "hidden states; the two are not of one policy.",
    );
  }
  if (layer > video.config.layers) {
    throw new WeightsError(
      `${path} was trained on the hidden states behind ${layer} blocks; ${backbone} has ${video.config.layers}. ` +
        "The two are not of one policy.",
    );
  }
}
