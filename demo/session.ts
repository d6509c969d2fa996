/** In the worker: one opened model with its episodes, and the device it runs on, which is opened when first needed. */
import type { Gpu } from "../src/gpu/gpu.ts";
import { openBrowserGpu } from "../src/gpu/open.ts";
import { readActionConfig } from "../src/networks/lucidrains-action/config.ts";
import { type ModelDescription, readModelDescription } from "../src/systems/mimic-video/description.ts";
import { MimicVideo } from "../src/systems/mimic-video/model.ts";
import { EpisodeData, type EpisodeShape } from "../src/systems/mimic-video/episodes.ts";
import type { ProbeProvenance } from "../src/probe/experiment/measurement.ts";
import { statementOf } from "../src/probe/result/result.ts";
import { type Episodes, holdStill } from "../src/systems/mimic-video/subject.ts";
import type { WeightDtype } from "../src/tensor/matrix.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { modelFilesOf, subfolder } from "../src/weights/model-files.browser.ts";
import type { ModelFiles } from "../src/weights/model-files.ts";
import { rgbaFrames } from "./pixels.ts";
import type { OpenedPlace } from "./place.ts";
import type { DataPlace, DeviceView, EpisodeView, ModelView } from "./protocol.ts";

/** Version of this project, put in by vite.config.ts. */
declare const PROJECT_VERSION: string;

/** More would only fill the page; every episode can still be measured. */
const SHOWN_EPISODES = 24;
/** Of a recorded set, where each is a piece of a video to be fetched and decoded. */
const SHOWN_RECORDED = 8;

/** What is measured, and where it comes from. */
interface Data {
  readonly episodes: Episodes;
  readonly name: string;
  /** 64 hex digits over what decides the numbers */
  readonly sha256: () => Promise<string>;
  /** of a recorded set: what was found in it */
  readonly recorded?: string;
}

type Dtype = WeightDtype;

export class Session {
  readonly #files: ModelFiles;
  readonly #description: ModelDescription;
  readonly #shape: EpisodeShape;
  readonly #openOwn: () => Promise<Data>;
  #data: Data;
  #view: ModelView;
  #gpu: Gpu | undefined;
  #model: MimicVideo | undefined;
  #dtype: Dtype | undefined;
  #weightsHash: Promise<string> | undefined;
  #dataHash: Promise<string> | undefined;

  private constructor(
    files: ModelFiles,
    description: ModelDescription,
    shape: EpisodeShape,
    openOwn: () => Promise<Data>,
    [data, view]: readonly [Data, ModelView],
  ) {
    this.#files = files;
    this.#description = description;
    this.#shape = shape;
    this.#openOwn = openOwn;
    this.#data = data;
    this.#view = view;
  }

  /**
   * Reads the description and the episodes; no device is needed yet.
   * @param place a recorded set in place of the model's own episodes
   */
  static async open({ name, revision, sources }: OpenedPlace, place?: DataPlace): Promise<Session> {
    const files = modelFilesOf(name, sources, revision);
    const description = readModelDescription(await files.json("model.json"), name);
    const config = readActionConfig(
      await files.json(`${description.parts.action_decoder}/config.json`),
      "action decoder",
      description.body,
    );
    const { chunkLength, actionDim, jointDim } = config;
    const shape = { jointState: jointDim, chunk: chunkLength, action: actionDim };
    // A few tiles with two seeds of noise each suit the page better than a data set, where a model has both.
    const folder = sources.has("episodes/episodes.json") ? "episodes" : description.episodes;
    const openOwn = async (): Promise<Data> => {
      const own = modelFilesOf(folder, subfolder(sources, folder));
      const episodes = await EpisodeData.open(own, "", description, shape);
      return { episodes, name: own.name, sha256: () => own.sha256(["episodes.safetensors"]) };
    };
    const data = place ? await recordedData(place, description, shape) : await openOwn();
    return new Session(files, description, shape, openOwn, [data, await viewOf(description, shape, data)]);
  }

  /** Takes a recorded set as data, or the model's own episodes again; what was bound stays where that fails. */
  async useData(place: DataPlace | undefined): Promise<void> {
    const data = await (place ? recordedData(place, this.#description, this.#shape) : this.#openOwn());
    const view = await viewOf(this.#description, this.#shape, data);
    await this.#data.episodes.close();
    this.#data = data;
    this.#view = view;
    this.#dataHash = undefined;
  }

  get episodes(): Episodes {
    return this.#data.episodes;
  }

  get view(): ModelView {
    return this.#view;
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
    const weightsSha256 = await (this.#weightsHash ??= this.#files.sha256(Object.values(parts)));
    const dataSha256 = await (this.#dataHash ??= this.#data.sha256());
    const view = deviceView(gpu);
    return {
      model: {
        ...{ name, revision: this.#files.revision, weightsSha256, trainedOn },
        ...{ system: "mimic-video", stamp: this.#model?.stamp ?? {} },
      },
      data: { name: this.#data.name, sha256: dataSha256 },
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
    await this.#data.episodes.close();
  }
}

async function recordedData(
  place: DataPlace,
  description: ModelDescription,
  shape: EpisodeShape,
): Promise<Data> {
  const { openRecordings } = await import("./recorded-data.ts");
  const { recordedEpisodes } = await import("../src/systems/mimic-video/recorded.ts");
  const notes: string[] = [];
  const recordings = await openRecordings(place, (line) => notes.push(line));
  try {
    const episodes = await recordedEpisodes(recordings, description, shape, (line) => notes.push(line));
    return {
      ...{ episodes, name: recordings.name, recorded: notes.join(". ") },
      sha256: () => recordings.sha256(),
    };
  } catch (error) {
    await recordings.close();
    throw error;
  }
}

/** Reads the episodes that are shown. Data that cannot be read are closed. */
async function viewOf(
  description: ModelDescription,
  { chunk }: EpisodeShape,
  { episodes: data, recorded }: Data,
): Promise<ModelView> {
  const most = recorded === undefined ? SHOWN_EPISODES : SHOWN_RECORDED;
  const episodes: EpisodeView[] = [];
  try {
    for (let index = 0; index < Math.min(data.count, most); index++) {
      const { id, prompt, context, jointState, truth } = await data.read(index);
      const frames = rgbaFrames(context, description.contextFrames);
      const still = holdStill(description, chunk, { jointState });
      episodes.push({ index, id, prompt, context: frames, jointState, truth, holdStill: still });
    }
  } catch (error) {
    await data.close();
    throw error;
  }
  return {
    name: description.name,
    trainedOn: description.trainedOn,
    statement: statementOf(description.trainedOn),
    frameSize: description.frameSize,
    contextFrames: description.contextFrames,
    actionNames: description.action.names,
    actionUnits: description.action.units,
    actionSteps: description.actionSteps,
    chunkLength: chunk,
    datasetMean: description.action.mean,
    ...(recorded !== undefined && { recorded }),
    episodes,
  };
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
