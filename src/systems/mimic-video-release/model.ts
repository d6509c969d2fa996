/**
 * The networks of one policy: the Wan tokenizer's encoder, the video transformer, the action decoder, and what is computed with them.
 * Dimensions come from the shapes of their tensors.
 *
 * Axes: V copies of an item, T latent frames of which n = 2 are given, H and W latent rows and columns, L tokens of text of width d.
 */
import { WeightsError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record, scope } from "../../gpu/recording.ts";
import { concat, expand } from "../../kernels/copy.ts";
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
import type { WeightDtype } from "../../tensor/matrix.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import { constant, copyTensor, createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import { type LoaderOptions, type LoadOptions, WeightLoader } from "../../weights/loader.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { roundedToBf16 } from "../../weights/rounded.ts";
import type { TensorSource } from "../../weights/source.ts";
import { type Clip, clipFile, clipOf, type Compression } from "./clip.ts";
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

/** The files of one policy, opened by their headers, under the names that the networks ask for. */
export interface Checkpoints {
  readonly tokenizer: TensorSource;
  readonly backbone: TensorSource;
  readonly decoder: TensorSource;
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
  readonly #checkpoints: Checkpoints;
  readonly #options: ModelOptions;

  private constructor(gpu: Gpu, checkpoints: Checkpoints, options: ModelOptions, surroundings: Surroundings) {
    const { tokenizer, backbone, decoder } = checkpoints;
    const loaderOf = (weights: TensorSource): WeightLoader => WeightLoader.from(gpu, weights, options);
    const loaders = [loaderOf(tokenizer), loaderOf(backbone), loaderOf(decoder)];
    this.gpu = gpu;
    this.vae = new WanVae(wanConfigFromShapes(tokenizer.tensors, tokenizer.name), loaders[0], "encoder");
    this.transformer = new CosmosTransformer(
      cosmosConfigFromShapes(backbone.tensors, backbone.name),
      loaders[1],
    );
    this.decoder = new World2ActionDecoder(world2ActionConfig(decoder.tensors, decoder.name), loaders[2]);
    this.policy = surroundings.policy;
    this.clip = surroundings.clip(this);
    this.statistics = surroundings.statistics(this);
    this.#loaders = loaders;
    this.#checkpoints = checkpoints;
    this.#options = options;
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
    const opened: TensorSource[] = [];
    const open = async (path: string): Promise<TensorSource> => {
      const source = await files.weights(path);
      opened.push(source);
      return source;
    };
    try {
      const checkpoints = {
        // The release casts the tokenizer's float32 weights to bfloat16 once, when it loads them.
        tokenizer: roundedToBf16(wanWeights(await open(TOKENIZER))),
        backbone: cosmosWeights(mergeAdapters(await open(policy.backbone), productOnGpu(gpu))),
        decoder: world2ActionWeights(await open(policy.decoder)),
      };
      const [clip, statistics] = [await clipFile(files), await files.json(policy.statistics)];
      return ReleaseModel.of(gpu, checkpoints, options, {
        policy,
        clip: (model) => clipOf(clip, `${files.name}/clip.json`, compression(model)),
        statistics: ({ decoder }) =>
          readStatistics(statistics, `${files.name}/${policy.statistics}`, {
            ...{ state: 1, action: decoder.chunkLength },
          }),
      });
    } catch (error) {
      for (const source of opened) await source.close();
      throw error;
    }
  }

  /** The networks of checkpoints that are open. @throws WeightsError or AdapterError naming what does not fit */
  static of(
    gpu: Gpu,
    checkpoints: Checkpoints,
    options: ModelOptions,
    surroundings: Surroundings,
  ): ReleaseModel {
    const model = new ReleaseModel(gpu, checkpoints, options, surroundings);
    for (const loader of model.#loaders) loader.compare();
    checkPair(model);
    const largest = model.#loaders
      .map((loader) => loader.largest)
      .reduce((most, one) => (one.bytes > most.bytes ? one : most));
    gpu.checkBinding(largest.bytes, largest.label, SMALLER_WEIGHTS);
    return model;
  }

  /** The same model on a device that only counts, with the memory of its weights taken. */
  counted(gpu: Gpu): ReleaseModel {
    const { policy, clip, statistics } = this;
    const surroundings = { policy, clip: () => clip, statistics: () => statistics };
    const model = new ReleaseModel(gpu, this.#checkpoints, this.#options, surroundings);
    for (const loader of model.#loaders) loader.reserve();
    return model;
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

  /** d of the text that the transformer reads */
  get textWidth(): number {
    const { textDim, textProjectionFrom = textDim } = this.transformer.config;
    return textProjectionFrom;
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
    const width = this.textWidth;
    const video = createTensor(
      gpu,
      [1, 3, frames.length / (3 * rows * columns), rows, columns],
      frames,
      "frames",
    );
    // A projection has a bias, so that rows of zeros do not stay zeros.
    const projected = transformer.config.textProjectionFrom !== undefined;
    const textRows = projected ? MOST_TEXT_ROWS : text.length / width;
    const padded = new Float32Array(textRows * width);
    padded.set(text);
    const prompt = createTensor(gpu, [1, textRows, width], padded, "text");
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
      const context = await record(gpu, "prepare text", () => this.#textContext(prompt, copies));
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

  /**
   * Records: keys and values of a prompt (1, L, d) for V copies. Rows of zeros behind it are attended to like any other: without a bias
   * their keys and values are zeros, so they are not computed.
   */
  #textContext(prompt: Tensor, copies: number): TextContext {
    const { keys, values } = scope("transformer", () => this.transformer.textContext(prompt));
    const padding = MOST_TEXT_ROWS - prompt.dim(1);
    const padded = (x: Tensor): Tensor => {
      const zeros =
        padding > 0 ? [constant([1, padding, x.dim(2)], new Float32Array(padding * x.dim(2)))] : [];
      return expand(concat([x, ...zeros], 1), copies, MOST_TEXT_ROWS, x.dim(2));
    };
    return { keys: keys.map(padded), values: values.map(padded) };
  }

  /** Closes the files of weights. */
  async close(): Promise<void> {
    await Promise.all(Object.values<TensorSource>({ ...this.#checkpoints }).map((source) => source.close()));
  }

  /** Frees the weights. */
  release(): void {
    for (const loader of this.#loaders) loader.release();
  }
}

/** What of a model does not stand in its networks' files. */
export interface Surroundings {
  readonly policy: Policy;
  readonly clip: (model: Pick<ReleaseModel, "vae" | "transformer">) => Clip;
  readonly statistics: (model: Pick<ReleaseModel, "decoder">) => Statistics;
}

/** Pixels of a latent, frames of one, latents of a token's side. */
function compression({ vae, transformer }: Pick<ReleaseModel, "vae" | "transformer">): Compression {
  return {
    spatial: 2 ** (vae.config.encoderWidths.length - 1) * vae.config.patchSize,
    temporal: 2 ** vae.config.halvesTime.filter(Boolean).length,
    patch: transformer.config.patchSize[1],
  };
}

/** @throws WeightsError when the decoder reads other hidden states than the backbone has */
function checkPair({ policy, transformer, decoder }: ReleaseModel): void {
  const { backbone, decoder: path, layer } = policy;
  const [width, expected] = [widthOf(transformer.config), decoder.config.contextDim];
  if (width !== expected) {
    throw new WeightsError(
      `${path} reads hidden states of width ${expected}, ${backbone} has ${width}. A decoder cannot read another backbone's ` +
        "hidden states; the two are not of one policy.",
    );
  }
  if (layer > transformer.config.layers) {
    throw new WeightsError(
      `${path} was trained on the hidden states behind ${layer} blocks; ${backbone} has ${transformer.config.layers}. ` +
        "The two are not of one policy.",
    );
  }
}
