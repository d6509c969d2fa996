/** In the worker: one opened model with its episodes, and the device it runs on, which is opened when first needed. */
import type { Gpu } from "../src/gpu/gpu.ts";
import { openBrowserGpu } from "../src/gpu/open.ts";
import { readActionConfig } from "../src/networks/lucidrains-action/config.ts";
import { type ModelDescription, readModelDescription } from "../src/systems/mimic-video/description.ts";
import { MimicVideo } from "../src/systems/mimic-video/model.ts";
import { EpisodeData } from "../src/systems/mimic-video/episodes.ts";
import type { ProbeProvenance } from "../src/probe/experiment/measurement.ts";
import { statementOf } from "../src/probe/result/result.ts";
import { holdStill } from "../src/systems/mimic-video/subject.ts";
import type { WeightDtype } from "../src/tensor/matrix.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { modelFilesOf, subfolder } from "../src/weights/model-files.browser.ts";
import type { ModelFiles } from "../src/weights/model-files.ts";
import { rgbaFrames } from "./pixels.ts";
import type { OpenedPlace } from "./place.ts";
import type { DeviceView, EpisodeView, ModelView } from "./protocol.ts";

/** Version of this project, put in by vite.config.ts. */
declare const PROJECT_VERSION: string;

/** More would only fill the page; every episode can still be measured. */
const SHOWN_EPISODES = 24;

type Dtype = WeightDtype;

export class Session {
  readonly data: EpisodeData;
  readonly view: ModelView;
  readonly #files: ModelFiles;
  readonly #dataFiles: ModelFiles;
  readonly #description: ModelDescription;
  #gpu: Gpu | undefined;
  #model: MimicVideo | undefined;
  #dtype: Dtype | undefined;
  #hashes: Promise<[string, string]> | undefined;

  private constructor(
    files: ModelFiles,
    dataFiles: ModelFiles,
    description: ModelDescription,
    data: EpisodeData,
    view: ModelView,
  ) {
    this.#files = files;
    this.#dataFiles = dataFiles;
    this.#description = description;
    this.data = data;
    this.view = view;
  }

  /** Reads the description and the episodes; no device is needed yet. */
  static async open({ name, revision, sources }: OpenedPlace): Promise<Session> {
    const files = modelFilesOf(name, sources, revision);
    const description = readModelDescription(await files.json("model.json"), name);
    const config = readActionConfig(
      await files.json(`${description.parts.action_decoder}/config.json`),
      "action decoder",
      description.body,
    );
    const { chunkLength, actionDim, jointDim } = config;
    // A few tiles with two seeds of noise each suit the page better than a data set, where a model has both.
    const folder = sources.has("episodes/episodes.json") ? "episodes" : description.episodes;
    const dataFiles = modelFilesOf(folder, subfolder(sources, folder));
    const shape = { jointState: jointDim, chunk: chunkLength, action: actionDim };
    const data = await EpisodeData.open(dataFiles, "", description, shape);
    const indices = Array.from({ length: Math.min(data.count, SHOWN_EPISODES) }, (_, i) => i);
    const episodes: EpisodeView[] = [];
    for (const index of indices) {
      const { id, prompt, context, jointState, truth } = await data.read(index);
      const frames = rgbaFrames(context, description.contextFrames);
      const still = holdStill(description, chunkLength, { jointState });
      episodes.push({ index, id, prompt, context: frames, jointState, truth, holdStill: still });
    }
    return new Session(files, dataFiles, description, data, {
      name: description.name,
      trainedOn: description.trainedOn,
      statement: statementOf(description.trainedOn),
      frameSize: description.frameSize,
      contextFrames: description.contextFrames,
      actionNames: description.action.names,
      actionUnits: description.action.units,
      actionSteps: description.actionSteps,
      chunkLength,
      datasetMean: description.action.mean,
      episodes,
    });
  }

  /**
   * The device, opened again if the last one was lost. Kernels are the likeliest ones: timing them all first, as the command line
   * does (autotune.ts), would keep a visitor waiting for the first result.
   */
  async gpu(onOpen: (gpu: Gpu) => void): Promise<Gpu> {
    if (this.#gpu) return this.#gpu;
    const gpu = await openBrowserGpu();
    this.#gpu = gpu;
    onOpen(gpu);
    return gpu;
  }

  /** The model on the device with both halves of its VAE: imagined frames are shown here. */
  async model(gpu: Gpu, dtype: Dtype, loading: LoadOptions): Promise<MimicVideo> {
    if (this.#model && this.#dtype === dtype) return this.#model;
    this.#model?.release();
    this.#model = undefined;
    this.#model = await MimicVideo.load(gpu, this.#files, { ...loading, dtype, vae: "both" });
    this.#dtype = dtype;
    return this.#model;
  }

  /** Where numbers come from, the same words as in Node but for the device and the versions. */
  async provenance(gpu: Gpu, dtype: Dtype): Promise<ProbeProvenance> {
    const { name, trainedOn, parts } = this.#description;
    const hash = async (): Promise<[string, string]> => [
      await this.#files.sha256(Object.values(parts)),
      await this.#dataFiles.sha256(["episodes.safetensors"]),
    ];
    const [weightsSha256, dataSha256] = await (this.#hashes ??= hash());
    const view = deviceView(gpu);
    return {
      model: {
        ...{ name, revision: this.#files.revision, weightsSha256, trainedOn },
        ...{ system: "mimic-video", stamp: this.#model?.stamp ?? {} },
      },
      data: { name: this.#dataFiles.name, sha256: dataSha256 },
      noiseSha256: null,
      device: {
        name: view.name,
        driver: gpu.adapter.description || gpu.adapter.origin,
        adapter: view.adapter,
        software: view.software,
      },
      dtype,
      versions: { project: PROJECT_VERSION, browser: browserName() },
    };
  }

  /** Lets go of the device and what lies on it; the next use opens another. */
  dropDevice(): void {
    this.#gpu?.destroy();
    this.#gpu = undefined;
    this.#model = undefined;
  }

  async close(): Promise<void> {
    this.dropDevice();
    await this.data.close();
  }
}

/** Limits that decide whether a model fits. */
const LIMITS = [
  ["largest buffer", "maxBufferSize"],
  ["largest binding", "maxStorageBufferBindingSize"],
  ["workgroup memory", "maxComputeWorkgroupStorageSize"],
] as const;

export function deviceView({ device, adapter, name }: Gpu): DeviceView {
  const { vendor, architecture, device: model, software, origin } = adapter;
  const words = [vendor, architecture, model, origin].filter(Boolean);
  return {
    // Browsers often keep the device's own name to themselves.
    name: adapter.description || model || [vendor, architecture].filter(Boolean).join(" ") || name,
    adapter: words.join(", "),
    software,
    features: [...device.features].sort(),
    limits: LIMITS.map(([label, key]) => [label, device.limits[key]]),
  };
}

function browserName(): string {
  const { userAgentData } = navigator as { userAgentData?: { brands: { brand: string; version: string }[] } };
  const brand = userAgentData?.brands.find((b) => !/not.?a.?brand/i.test(b.brand));
  return brand ? `${brand.brand} ${brand.version}` : navigator.userAgent;
}
