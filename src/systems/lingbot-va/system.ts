/**
 * LingBot-VA as LeRobot publishes it: a folder with the policy's transformer, and another that it names with what was frozen in training, the
 * autoencoder and the text encoder.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { Recordings } from "../../data/lerobot/recordings.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { LingbotTransformer } from "../../networks/lingbot/transformer.ts";
import { type WanVaeConfig, readWanVaeConfig, WanVae } from "../../networks/wan-vae/vae.ts";
import type { TrainedOn } from "../../probe/subject.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import { mapKeys } from "../../weights/key-map.ts";
import { type LoadOptions, WeightLoader } from "../../weights/loader.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { Policy, RecordedTrials } from "../policy.ts";
import type { BoundSubject, Opened, Recognition, System, SystemOptions } from "../system.ts";
import { type PolicyConfig, readPolicyConfig, readPolicyTransformer } from "./config.ts";
import { EPISODE_FILES, RecordedEpisodes } from "./episodes.ts";
import { LingbotModel } from "./model.ts";
import { picturesOf } from "./observations.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import { LingbotPolicy } from "./policy.ts";
import { processorFiles, type Processors, readProcessors } from "./processors.ts";
import { LingbotSubject } from "./subject.ts";
import { neededTextFiles, PolicyTexts } from "./text.ts";

const CONFIG = "config.json";
const isWeights = (path: string): boolean => /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/.test(path);

export const lingbotVa: System = {
  name: "lingbot-va",
  // The miniature's lie beside both of its folders.
  items: ({ paths }) =>
    Promise.resolve(paths.includes("episodes/episodes.json") ? "episodes" : "../../episodes"),

  async recognise(files): Promise<Recognition> {
    const missing: string[] = [];
    const json = files.paths.includes(CONFIG) ? await files.json(CONFIG).catch(() => undefined) : undefined;
    if ((json as { type?: unknown } | undefined)?.type !== "lingbot_va")
      missing.push('config.json of type "lingbot_va"');
    if (!files.paths.some(isWeights)) missing.push("model.safetensors");
    return missing.length === 0 ? { found: true } : { missing };
  },

  needed: ({ paths }) => Promise.resolve([CONFIG, ...paths.filter(isWeights), ...processorFiles(paths)]),

  async open(gpu, files, options) {
    const json = await files.json(CONFIG);
    const config = readPolicyConfig(json, `${files.name}/${CONFIG}`);
    const processors = await readProcessors(files, config.usedChannels.length);
    const frozen = await openFrozen(config, options);
    const opened: TensorSource[] = [];
    const keep = async (source: Promise<TensorSource>): Promise<TensorSource> => {
      opened.push(await source);
      return source;
    };
    try {
      const weights = files.paths.find((path) => path.endsWith(".index.json")) ?? "model.safetensors";
      const stored = await keep(
        files.weights(files.paths.includes("model.safetensors") ? "model.safetensors" : weights),
      );
      const file = options.text === undefined ? undefined : await keep(openText(options));
      const vae = readWanVaeConfig(await frozen.json("vae/config.json"), `${frozen.name}/vae`);
      const parts: Parts = {
        ...{ config, json, vae, options, name: files.name },
        // The policy's file has a prefix that the original release has not.
        transformer: mapKeys(stored, (key) => key.replace(/^transformer\./, "")),
        autoencoder: await keep(frozen.weights("vae")),
      };
      const { model, loaders } = build(gpu, parts);
      for (const loader of loaders) loader.compare();
      const largest = loaders.map((loader) => loader.largest).reduce((a, b) => (b.bytes > a.bytes ? b : a));
      gpu.checkBinding(largest.bytes, largest.label, SMALLER_WEIGHTS);
      const counted = (counting: Gpu): LingbotModel => {
        const built = build(counting, parts);
        for (const loader of built.loaders) loader.reserve();
        return built.model;
      };
      const plan = await planMemory(gpu, counted, options.gpuMemory);
      const texts = new PolicyTexts(frozen, {
        ...{
          file,
          rows: config.textRows,
          width: model.transformer.config.textDim,
          cache: options.cache,
          onNote: options.onNote,
        },
      });
      const trained = trainedOn(stored, model);
      return new OpenedLingbot(
        files,
        frozen,
        model,
        loaders,
        processors,
        texts,
        plan,
        options,
        opened,
        trained,
      );
    } catch (error) {
      for (const source of opened) await source.close();
      throw error;
    }
  },
};

/** What the networks are built from. */
interface Parts {
  readonly name: string;
  readonly config: PolicyConfig;
  readonly json: unknown;
  readonly vae: WanVaeConfig;
  readonly transformer: TensorSource;
  readonly autoencoder: TensorSource;
  readonly options: SystemOptions;
}

function build(gpu: Gpu, { name, config, json, vae, transformer, autoencoder, options }: Parts) {
  const { dtype = "bf16", unexpected, rename } = options;
  const loaders = [transformer, autoencoder].map((source) =>
    WeightLoader.from(gpu, source, { dtype, unexpected, rename }),
  );
  const model = new LingbotModel(
    gpu,
    config,
    new LingbotTransformer(readPolicyTransformer(json, `${name}/${CONFIG}`), loaders[0]),
    new WanVae(vae, loaders[1], "encoder"),
  );
  return { model, loaders };
}

async function openFrozen(
  { frozen }: PolicyConfig,
  { openModel, text, encodeText }: SystemOptions,
): Promise<ModelFiles> {
  if (!openModel) throw new UsageError(`LingBot-VA needs ${frozen} beside it, which cannot be opened here.`);
  const files = await openModel(frozen, async (all) => [
    ...all.paths.filter((path) => /^vae\/[^/]+\.(json|safetensors)$/.test(path)),
    ...(await neededTextFiles(all, text !== undefined, encodeText ?? false)),
  ]);
  if (!files.paths.includes("vae/config.json"))
    throw new FormatError(
      `${files.name} has no vae/config.json. LingBot-VA's frozen parts are a folder with vae/, text_encoder/ and tokenizer/, as ${frozen} is; say where with --frozen.`,
    );
  await neededTextFiles(files, text !== undefined, encodeText ?? false);
  return files;
}

async function openText({ text, openFile }: SystemOptions): Promise<TensorSource> {
  if (!openFile) throw new UsageError(`--text ${text}: files cannot be opened here.`);
  return openFile(text!);
}

/** Blocks and width of what was published. */
const PUBLISHED = { layers: 30, width: 3072 };

/** A file may say it; else weights of the published size are taken for those, and any others for a test's. */
function trainedOn({ metadata }: TensorSource, { transformer, width }: LingbotModel): TrainedOn {
  const said = metadata?.get("trained_on");
  if (said === "random" || said === "toy" || said === "pretrained") return said;
  return transformer.config.layers === PUBLISHED.layers && width === PUBLISHED.width
    ? "pretrained"
    : "random";
}

class OpenedLingbot implements Opened {
  readonly name: string;
  readonly weightFiles: readonly string[];
  readonly dtype;
  readonly #frozen: ModelFiles;
  readonly #model: LingbotModel;
  readonly #loaders: readonly WeightLoader[];
  readonly #processors: Processors;
  readonly #texts: PolicyTexts;
  readonly #options: SystemOptions;
  readonly #sources: readonly TensorSource[];
  readonly #prompts = new Set<string>();
  #autoencoder = "";
  #loaded = false;

  constructor(
    files: ModelFiles,
    frozen: ModelFiles,
    model: LingbotModel,
    loaders: readonly WeightLoader[],
    processors: Processors,
    texts: PolicyTexts,
    readonly plan: MemoryPlan,
    options: SystemOptions,
    sources: readonly TensorSource[],
    readonly trainedOn: TrainedOn,
  ) {
    this.#frozen = frozen;
    this.#model = model;
    this.#loaders = loaders;
    this.#processors = processors;
    this.#texts = texts;
    this.#options = options;
    this.#sources = sources;
    this.name = files.name;
    this.dtype = options.dtype ?? ("bf16" as const);
    this.weightFiles = [
      ...files.paths.filter((path) => isWeights(path) && !path.endsWith(".json")),
      ...processors.files,
    ];
  }

  get stamp(): Readonly<Record<string, string>> {
    const { config } = this.#model;
    return {
      frozen: this.#frozen.name,
      autoencoder: this.#autoencoder,
      pictures: `${config.cameras.length} of ${config.frameSize.join("×")}${config.mirrored ? ", mirrored" : ""}`,
      text: this.#options.text === undefined ? "its own encoder" : "a file",
    };
  }

  async load(options: LoadOptions): Promise<void> {
    await this.#texts.prepare(this.#model.gpu, [...this.#prompts], options.signal);
    for (const loader of this.#loaders) await loader.load(options);
    this.#autoencoder = await this.#frozen.sha256(["vae"]);
    this.#loaded = true;
  }

  async subject(data: ModelFiles | Recordings, noise?: TensorSource): Promise<BoundSubject> {
    if (data instanceof Recordings)
      throw new UsageError(
        `LingBot-VA reads episodes.json and episodes.safetensors; it cannot read the LeRobot data set ${data.name} yet.`,
      );
    if (noise) throw new UsageError("--noise: LingBot-VA's noise is drawn from seeds; leave it out.");
    const { config } = this.#model;
    const episodes = await RecordedEpisodes.open(data, {
      ...{
        cameras: config.cameras,
        renamed: this.#processors.renamed,
        dimensions: config.usedChannels.length,
      },
    });
    try {
      for (const { prompt } of episodes.list) this.#prompts.add(prompt);
      if (this.#loaded) await this.#texts.prepare(this.#model.gpu, [...this.#prompts]);
      const [texts, processors, plan] = [this.#texts, this.#processors, this.plan];
      return new LingbotSubject(this.#model, episodes, {
        texts,
        processors,
        plan,
        oracle: this.#options.oracle ?? false,
      });
    } catch (error) {
      await episodes.close();
      throw error;
    }
  }

  async recordedTrials(data: ModelFiles): Promise<RecordedTrials> {
    const { config } = this.#model;
    const episodes = await RecordedEpisodes.open(data, {
      ...{
        cameras: config.cameras,
        renamed: this.#processors.renamed,
        dimensions: config.usedChannels.length,
      },
    });
    return {
      ...{ count: episodes.list.length, steps: episodes.steps },
      sha256: () => data.sha256(EPISODE_FILES),
      read: async (index) => {
        const steps = Array.from({ length: episodes.steps }, (_, step) => step);
        const { bytes, shape } = await episodes.frames(index, steps);
        const actions = await episodes.actions(index, 0, episodes.steps);
        return { ...episodes.list[index], frames: picturesOf(bytes, shape, config.cameras), actions };
      },
    };
  }

  /** Its weights must have been loaded when it is first asked. */
  policy(): Promise<Policy> {
    const names = this.#model.config.usedChannels.map((channel) => `channel ${channel}`);
    return Promise.resolve(new LingbotPolicy(this.#model, this.#processors.statistics, this.#texts, names));
  }

  async release(): Promise<void> {
    for (const loader of this.#loaders) loader.release();
    for (const source of this.#sources) await source.close();
  }
}
