/**
 * The published mimic-video: a World2Action decoder on a Cosmos-Predict2 video backbone, in torch files. One folder holds several
 * policies, their backbones, statistics, and a text encoder that is larger than all of them.
 */
import { UsageError } from "../../errors.ts";
import { Recordings } from "../../data/lerobot/recordings.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { TrainedOn } from "../../probe/subject.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { streamingHasher } from "../../weights/hub/hash.ts";
import type { LoadOptions } from "../../weights/loader.ts";
import type { TensorSource } from "../../weights/source.ts";
import { noCache } from "../cache.ts";
import type { BoundSubject, Opened, System, SystemOptions } from "../system.ts";
import { trainedOn } from "./clip.ts";
import { Episodes } from "./episodes.ts";
import { givenNoise } from "./given-noise.ts";
import { ReleaseModel, TOKENIZER } from "./model.ts";
import { recordedEpisodes } from "./recorded.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import { choosePolicy, looksLikeBackbone, looksLikeDecoder } from "./policies.ts";
import { ReleaseSubject } from "./subject.ts";
import { TextCache } from "./text-cache.ts";
import type { TextEmbeddings } from "./text-file.ts";
import { neededTextFiles, Texts } from "./text.ts";

const ITEMS = "episodes";

export const mimicVideoRelease: System = {
  name: "mimic-video-release",
  items: () => Promise.resolve(ITEMS),

  recognise({ paths }) {
    const missing: string[] = [];
    if (!paths.some(looksLikeDecoder)) missing.push("action_decoder/w2a_<policy>_v2w_<backbone>_….pt");
    if (!paths.some(looksLikeBackbone)) missing.push("video_backbone/v2w_<backbone>.pt");
    if (!paths.includes(TOKENIZER)) missing.push(TOKENIZER);
    return Promise.resolve(missing.length === 0 ? { found: true } : { missing });
  },

  async needed(files, options) {
    const policy = choosePolicy(files.name, files.paths, options.policy);
    const text = await neededTextFiles(files, {
      text: options.text !== undefined,
      encode: options.encodeText,
      cache: new TextCache(options.cache ?? noCache),
    });
    const clip = files.paths.filter((path) => path === "clip.json" || path.startsWith(`${ITEMS}/`));
    return [policy.decoder, policy.backbone, TOKENIZER, policy.statistics, ...clip, ...text];
  },

  async open(gpu, files, options) {
    const policy = choosePolicy(files.name, files.paths, options.policy);
    const file = options.text === undefined ? undefined : await openText(options);
    let model: ReleaseModel | undefined;
    try {
      const { dtype = "bf16", unexpected, rename } = options;
      model = await ReleaseModel.open(gpu, files, policy, { dtype, unexpected, rename });
      const texts = new Texts(files, model.textWidth, {
        ...{ file, encode: options.encodeText, cache: new TextCache(options.cache ?? noCache) },
        onNote: options.onNote,
      });
      const plan = await planMemory(model, options.gpuMemory, options.oracle ?? false, options.trajectories);
      return new OpenedRelease(gpu, files, model, texts, plan, options, file, await trainedOn(files));
    } catch (error) {
      await file?.close();
      await model?.close();
      throw error;
    }
  },
};

async function openText({ text, openFile }: SystemOptions): Promise<TensorSource> {
  if (!openFile) throw new UsageError(`--text ${text}: files cannot be opened here.`);
  return openFile(text!);
}

class OpenedRelease implements Opened {
  readonly name: string;
  readonly dtype;
  readonly #gpu: Gpu;
  readonly #model: ReleaseModel;
  readonly #texts: Texts;
  readonly #options: SystemOptions;
  readonly #file: TensorSource | undefined;
  readonly #prompts = new Set<string>();
  /** prompts that the encoder has to make before the weights take their place */
  #open: readonly string[] = [];
  #loaded = false;

  constructor(
    gpu: Gpu,
    files: ModelFiles,
    model: ReleaseModel,
    texts: Texts,
    readonly plan: MemoryPlan,
    options: SystemOptions,
    file: TensorSource | undefined,
    readonly trainedOn: TrainedOn,
  ) {
    this.name = `${files.name}, ${model.policy.name}`;
    this.dtype = options.dtype ?? "bf16";
    this.#gpu = gpu;
    this.#model = model;
    this.#texts = texts;
    this.#options = options;
    this.#file = file;
  }

  get weightFiles(): readonly string[] {
    const { decoder, backbone, statistics } = this.#model.policy;
    return [decoder, backbone, TOKENIZER, statistics];
  }

  get stamp(): Readonly<Record<string, string>> {
    const { policy, clip } = this.#model;
    const frames = `${clip.frameSize.join("×")}, ${clip.futureFrames} imagined`;
    return {
      policy: policy.name,
      layer: `${policy.layer}`,
      frames,
      // In half precision they decide the numbers too.
      "decoder's keys and values": this.plan.contextStorage,
      text: hashOfTexts(this.#texts.embeddings, this.#prompts),
    };
  }

  async load(options: LoadOptions): Promise<void> {
    await this.#encode(options.signal);
    await this.#model.load(options);
    this.#loaded = true;
  }

  async subject(data: ModelFiles | Recordings, noise?: TensorSource): Promise<BoundSubject> {
    const model = this.#model;
    const oracle = this.#options.oracle ?? false;
    const { clip, decoder, statistics } = model;
    const chunk = decoder.chunkLength;
    const { onNote } = this.#options;
    const episodes =
      data instanceof Recordings
        ? await recordedEpisodes(data, { clip, family: statistics.family, chunk, oracle, onNote })
        : await Episodes.open(data, clip, chunk, oracle);
    try {
      for (const prompt of episodes.prompts) this.#prompts.add(prompt);
      this.#open = await this.#texts.require(episodes.prompts);
      if (this.#loaded) await this.#encode(undefined);
      const given = noise && (await givenNoise(noise, episodes.count, model.latentShape, model.chunkShape));
      const embeddings = (): TextEmbeddings => this.#texts.embeddings;
      return new ReleaseSubject(model, episodes, { embeddings, plan: this.plan, oracle, noise: given });
    } catch (error) {
      await episodes.close();
      throw error;
    }
  }

  async release(): Promise<void> {
    this.#model.release();
    await this.#model.close();
    await this.#file?.close();
  }

  async #encode(signal: AbortSignal | undefined): Promise<void> {
    await this.#texts.encode(this.#gpu, this.#open, { signal });
    this.#open = [];
  }
}

/** Embeddings decide the numbers as weights do: 64 hex digits over those that are used. */
function hashOfTexts(embeddings: TextEmbeddings, prompts: ReadonlySet<string>): string {
  const hash = streamingHasher("sha256");
  for (const prompt of [...prompts].sort()) {
    const values = embeddings.get(prompt);
    if (!values) continue;
    hash.update(new TextEncoder().encode(`${prompt}\n`));
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.hex();
}
