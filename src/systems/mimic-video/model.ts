/** A video-action model assembled from its folder: text encoder, VAE, video transformer, action decoder. */
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay, scope } from "../../gpu/recording.ts";
import { expand } from "../../kernels/copy.ts";
import { FormatError } from "../../errors.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import { createTensor, releaseTensor, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { type LoaderOptions, type LoadOptions, WeightLoader } from "../../weights/loader.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { TensorSource } from "../../weights/source.ts";
import { ActionDecoder } from "../../networks/lucidrains-action/decoder.ts";
import { readActionConfig } from "../../networks/lucidrains-action/config.ts";
import { readCosmosTransformerConfig } from "../../networks/cosmos/config.ts";
import { CosmosTransformer, type TextContext } from "../../networks/cosmos/transformer.ts";
import { CosmosVae, type VaeParts } from "../../networks/cosmos-vae/vae.ts";
import { readCosmosVaeConfig } from "../../networks/cosmos-vae/config.ts";
import { type ModelDescription, type Part, readModelDescription } from "./description.ts";
import { readT5Config, T5Encoder } from "../../networks/t5/encoder.ts";
import { cutNote, PromptTokenizer } from "../../networks/t5/tokenizer.ts";
import { VideoTower } from "./video-tower.ts";

export interface MimicVideoOptions extends LoadOptions, LoaderOptions {
  /** which half of the VAE is needed; default "encoder", as imagined frames are not decoded to be acted on */
  readonly vae?: VaeParts;
  /** told when a prompt had to be cut */
  readonly onNote?: (line: string) => void;
}

/** What a prompt and context frames become before denoising; free it with `dispose`. */
export interface Prepared {
  /** (B, C, context latents, H, W) */
  readonly context: Tensor;
  readonly text: TextContext;
  dispose(): void;
}

/** A model whose weights are known to fit and not yet read. */
export interface ModelPlan {
  readonly name: string;
  /** bytes of GPU memory that the weights will take */
  readonly bytes: number;
  /** the weight that takes the most of one binding, bytes */
  readonly largest: { readonly label: string; readonly bytes: number };
  /** without weights until `load` is done */
  readonly model: MimicVideo;
  /** Reads the weights, and closes their files. @throws AdapterError when memory runs out */
  load(options?: LoadOptions): Promise<MimicVideo>;
  /** Takes the memory of the weights, on a device that only counts. */
  reserve(): void;
  /** Closes the files of a plan that is not carried out. */
  close(): Promise<void>;
}

export class MimicVideo {
  readonly gpu: Gpu;
  readonly description: ModelDescription;
  readonly tokenizer: PromptTokenizer;
  readonly textEncoder: T5Encoder;
  readonly vae: CosmosVae;
  readonly tower: VideoTower;
  readonly actionDecoder: ActionDecoder;
  readonly #loaders: readonly WeightLoader[];
  readonly #onNote: MimicVideoOptions["onNote"];

  private constructor(
    gpu: Gpu,
    description: ModelDescription,
    parts: Pick<MimicVideo, "tokenizer" | "textEncoder" | "vae" | "tower" | "actionDecoder">,
    loaders: readonly WeightLoader[],
    onNote: MimicVideoOptions["onNote"],
  ) {
    this.gpu = gpu;
    this.#onNote = onNote;
    this.description = description;
    this.tokenizer = parts.tokenizer;
    this.textEncoder = parts.textEncoder;
    this.vae = parts.vae;
    this.tower = parts.tower;
    this.actionDecoder = parts.actionDecoder;
    this.#loaders = loaders;
  }

  /**
   * Builds the parts named in model.json and compares what they need with the headers of the weights; reads no tensor.
   * @throws UsageError for another kind of model, FormatError for broken files, WeightsError for weights that do not
   *   fit, AdapterError for a tensor that cannot be bound
   */
  static async plan(
    gpu: Gpu,
    files: ModelFiles,
    { vae: vaeParts = "encoder", onNote, ...options }: Omit<MimicVideoOptions, keyof LoadOptions> = {},
  ): Promise<ModelPlan> {
    const description = readModelDescription(await files.json("model.json"), files.name);
    const { parts } = description;
    const config = (part: Part): Promise<unknown> => files.json(`${parts[part]}/config.json`);
    const tokenizer = new PromptTokenizer(await files.json(`${parts.tokenizer}/tokenizer.json`));

    const sources: TensorSource[] = [];
    const loaders = new Map<Part, WeightLoader>();
    const close = async (): Promise<void> => void (await Promise.all(sources.map((s) => s.close())));
    const loaderOf = async (part: Part): Promise<WeightLoader> => {
      const source = await files.weights(parts[part]);
      sources.push(source);
      const loader = WeightLoader.from(gpu, source, options);
      loaders.set(part, loader);
      return loader;
    };
    try {
      const textEncoder = new T5Encoder(
        readT5Config(await config("text_encoder")),
        await loaderOf("text_encoder"),
      );
      const vae = new CosmosVae(readCosmosVaeConfig(await config("vae")), await loaderOf("vae"), vaeParts);
      const transformer = new CosmosTransformer(
        readCosmosTransformerConfig(await config("transformer")),
        await loaderOf("transformer"),
      );
      const actionDecoder = new ActionDecoder(
        readActionConfig(await config("action_decoder")),
        await loaderOf("action_decoder"),
      );
      for (const loader of loaders.values()) loader.compare();
      checkComposition(description, { vae, transformer, actionDecoder }, files.name);
      const largest = [...loaders]
        .map(([part, loader]) => ({ ...loader.largest, label: `${part}: ${loader.largest.label}` }))
        .reduce((most, one) => (one.bytes > most.bytes ? one : most));
      gpu.checkBinding(largest.bytes, largest.label, SMALLER_WEIGHTS);
      const tower = new VideoTower(vae, transformer, {
        latentsMean: description.latentsMean,
        latentsStd: description.latentsStd,
        extractLayers: description.extractLayers,
        timestepOf: (tau) => description.videoTimestepScale * tau,
      });
      const built = { tokenizer, textEncoder, vae, tower, actionDecoder };
      const all = [...loaders.values()];
      const model = new MimicVideo(gpu, description, built, all, onNote);
      return {
        name: files.name,
        bytes: all.reduce((n, loader) => n + loader.bytes, 0),
        largest,
        model,
        load: async (options) => {
          await loadAll(all, options).finally(close);
          return model;
        },
        reserve: () => all.forEach((loader) => loader.reserve()),
        close,
      };
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** Plans and reads. @throws what `plan` throws, and AdapterError when memory runs out */
  static async load(
    gpu: Gpu,
    files: ModelFiles,
    { onProgress, onSaturated, signal, ...options }: MimicVideoOptions = {},
  ): Promise<MimicVideo> {
    const plan = await MimicVideo.plan(gpu, files, options);
    return plan.load({ onProgress, onSaturated, signal });
  }

  /** Shape (C, future latents, H, W) of the noise of one imagined video. */
  get futureShape(): readonly [number, number, number, number] {
    const { futureLatents, frameSize } = this.description;
    const { spatialCompression, latentChannels } = this.vae.config;
    return [
      latentChannels,
      futureLatents,
      frameSize[0] / spatialCompression,
      frameSize[1] / spatialCompression,
    ];
  }

  /** Shape (n, A) of an action chunk. */
  get chunkShape(): readonly [number, number] {
    const { chunkLength, actionDim } = this.actionDecoder.config;
    return [chunkLength, actionDim];
  }

  /** Sizes that episodes must have. */
  get episodeShape(): { jointState: number; chunk: number; action: number } {
    const [chunk, action] = this.chunkShape;
    return { jointState: this.actionDecoder.config.jointDim, chunk, action };
  }

  /**
   * Encodes a prompt and context frames (3, frames, rows, columns) in [0, 1] for `copies` trajectories that share them.
   */
  async prepare(prompt: string, frames: Float32Array<ArrayBuffer>, copies: number): Promise<Prepared> {
    const text = await this.encodePrompt(prompt, copies);
    try {
      const context = await this.encodeContext(frames, copies);
      return {
        ...{ context: context.outputs, text: text.outputs },
        dispose: () => {
          context.dispose();
          text.dispose();
        },
      };
    } catch (error) {
      text.dispose();
      throw error;
    }
  }

  /** Keys and values of a prompt for `copies` trajectories; they live as long as the replay, which has run. */
  async encodePrompt(prompt: string, copies = 1): Promise<Replay<TextContext>> {
    const ids = this.tokenizer.encode(prompt, (tokens) => this.#onNote?.(cutNote(prompt, tokens)));
    const idTensor = createTensor(this.gpu, [1, ids.length], Uint32Array.from(ids), "token ids");
    return this.#once(idTensor, "encode the prompt", () => {
      const features = scope("text_encoder", () => this.textEncoder.forward(idTensor)); // (1, S, d)
      return scope("transformer", () =>
        this.tower.transformer.textContext(expand(features, copies, ...features.shape.slice(1))),
      );
    });
  }

  /**
   * Context frames (B, 3, frames, rows, columns) in [0, 1] as latents (B · copies, C, T, H, W), where B is 1 or `copies` is; they live as
   * long as the replay, which has run.
   */
  async encodeContext(frames: Float32Array<ArrayBuffer>, copies = 1): Promise<Replay<Tensor>> {
    const { contextFrames, frameSize } = this.description;
    const one = [3, contextFrames, ...frameSize];
    const batch = frames.length / sizeOf(one);
    const video = createTensor(this.gpu, [batch, ...one], frames, "context frames");
    return this.#once(video, "encode the context", () => {
      const context = scope("vae", () => this.tower.encode(video)); // (B, C, T, H, W)
      return expand(context, batch * copies, ...context.shape.slice(1));
    });
  }

  /** Runs what is recorded on an input that is needed no longer. */
  async #once<T>(input: Tensor, label: string, body: () => T): Promise<Replay<T>> {
    try {
      const replay = await record(this.gpu, label, body);
      await replay.run();
      return replay;
    } finally {
      releaseTensor(this.gpu, input);
    }
  }

  /** Frees the weights. */
  release(): void {
    for (const loader of this.#loaders) loader.release();
  }
}

/**
 * What model.json says, against the parts that it composes.
 * @throws FormatError naming field, found and expected
 */
function checkComposition(
  description: ModelDescription,
  {
    vae,
    transformer,
    actionDecoder,
  }: Pick<MimicVideo, "vae" | "actionDecoder"> & { transformer: CosmosTransformer },
  name: string,
): void {
  const { action, extractLayers, latentsMean, latentsStd, contextFrames, contextLatents, frameSize } =
    description;
  const { latentChannels, temporalCompression, spatialCompression } = vae.config;
  const { actionDim, jointDim, chunkLength } = actionDecoder.config;
  const { layers, patchSize } = transformer.config;
  const refuse = (field: string, found: unknown, expected: string): never => {
    throw new FormatError(`${name}/model.json: ${field} is ${JSON.stringify(found)}, expected ${expected}`);
  };
  if (action.names.length !== actionDim)
    refuse("action.names", action.names, `${actionDim} names, as the decoder has so many action dimensions`);
  for (const [field, values] of [
    ["latents_mean", latentsMean],
    ["latents_std", latentsStd],
  ] as const) {
    if (values.length !== latentChannels)
      refuse(
        `${field} with ${values.length} values`,
        values,
        `${latentChannels}, one for each latent channel of the VAE`,
      );
  }
  if (latentsStd.some((s) => !(s > 0))) refuse("latents_std", latentsStd, "positive numbers");
  const frames = 1 + (contextLatents - 1) * temporalCompression;
  if (contextFrames !== frames)
    refuse(
      "context_latents",
      contextLatents,
      `what ${contextFrames} context frames become: 1 + (frames − 1) / ${temporalCompression}`,
    );
  const unit = spatialCompression * patchSize[1];
  if (frameSize.some((n) => n < 1 || n % unit !== 0))
    refuse("frame_size", frameSize, `multiples of ${unit} pixels`);
  const absent = extractLayers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= layers);
  if (absent !== undefined)
    refuse("extract_layers", extractLayers, `numbers of the transformer's ${layers} blocks, from 0`);
  const { holdStill, mean } = action;
  const beyond = holdStill?.find((value) => typeof value !== "number" && value.state >= jointDim);
  if (beyond) refuse("action.hold_still", holdStill, `entries of the robot's state, which has ${jointDim}`);
  if (mean && mean.length !== chunkLength * actionDim)
    refuse(
      "action.mean",
      `${mean.length / actionDim} rows`,
      `${chunkLength} rows, one for each action of a chunk`,
    );
  if (mean && !mean.every(Number.isFinite))
    refuse("action.mean", "a value that is not finite", "finite numbers");
}

async function loadAll(
  loaders: readonly WeightLoader[],
  { onProgress, ...options }: LoadOptions = {},
): Promise<void> {
  const total = loaders.reduce((n, loader) => n + loader.storedBytes, 0);
  let before = 0;
  try {
    for (const loader of loaders) {
      const start = before;
      await loader.load({ ...options, onProgress: (done) => onProgress?.(start + done, total) });
      before += loader.storedBytes;
    }
  } catch (error) {
    for (const loader of loaders) loader.release();
    throw error;
  }
}
