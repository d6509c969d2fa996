/** In the worker: one opened model with its episodes, on a device that is opened when first needed. */
import { readActionConfig } from "../src/networks/lucidrains-action/config.ts";
import { type ModelDescription, readModelDescription } from "../src/systems/mimic-video/description.ts";
import { MimicVideo } from "../src/systems/mimic-video/model.ts";
import { EpisodeData, type EpisodeShape } from "../src/systems/mimic-video/episodes.ts";
import type { ProbedState, ProbeProvenance } from "../src/probe/experiment/measurement.ts";
import { statementOf } from "../src/probe/result/made-by.ts";
import type { Subject } from "../src/probe/subject.ts";
import { type Episodes, holdStill, MimicVideoSubject } from "../src/systems/mimic-video/subject.ts";
import type { WeightDtype } from "../src/tensor/matrix.ts";
import type { LoadOptions } from "../src/weights/loader.ts";
import { modelFilesOf, subfolder } from "../src/weights/model-files.browser.ts";
import type { ModelFiles } from "../src/weights/model-files.ts";
import { type BrowserDevice, provenanceDevice } from "./device.ts";
import { pictureError, rgbaFrames } from "./pixels.ts";
import { Preview } from "./preview.ts";
import type { OpenedPlace } from "./place.ts";
import type {
  ActView,
  ActWish,
  DataPlace,
  EpisodeView,
  ModelView,
  RunRequest,
  RunSettings,
  StateView,
} from "./protocol.ts";

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
  /** (frames, 3, rows, columns) in 0..255 of what was recorded after the context */
  readonly future?: (index: number) => Promise<Uint8Array>;
}

/** What a run needs of a model. */
export interface BoundRun {
  readonly subject: Subject;
  readonly provenance: ProbeProvenance;
  /** How a probed state looks; computes on the device. */
  readonly show: (seen: ProbedState, settings: RunSettings, signal: AbortSignal) => Promise<StateView>;
  readonly dispose: () => Promise<void>;
}

/** A model that is open, whichever system it belongs to. */
export interface Session {
  readonly view: ModelView;
  readonly device: BrowserDevice;
  /** Brings the weights onto the device. */
  load(dtype: WeightDtype, loading: LoadOptions): Promise<void>;
  /** Takes a recorded set as data, or the model's own again; what was bound stays where that fails. */
  useData(place: DataPlace | undefined): Promise<void>;
  /** Whether a recorded set could be used, by using it for a moment. @throws what `useData` throws */
  checkData(place: DataPlace): Promise<void>;
  /** After `load`. @param prompt words in place of an episode's own */
  run(prompt: RunRequest["prompt"]): Promise<BoundRun>;
  /** After `load`: the robot acts, where the model drives one in a world that is here. */
  act?(wish: ActWish, signal: AbortSignal): AsyncIterable<ActView>;
  /** The device was lost, or is to be. */
  dropDevice(): void;
  close(): Promise<void>;
}

/** A composed model, such as the toy: its episodes can be looked at where there is no device. */
export class MimicVideoSession implements Session {
  readonly device: BrowserDevice;
  readonly #files: ModelFiles;
  readonly #description: ModelDescription;
  readonly #shape: EpisodeShape;
  readonly #openOwn: () => Promise<Data>;
  #data: Data;
  #view: ModelView;
  #model: MimicVideo | undefined;
  #dtype: WeightDtype | undefined;
  #weightsHash: Promise<string> | undefined;
  #dataHash: Promise<string> | undefined;

  private constructor(
    device: BrowserDevice,
    files: ModelFiles,
    description: ModelDescription,
    shape: EpisodeShape,
    openOwn: () => Promise<Data>,
    [data, view]: readonly [Data, ModelView],
  ) {
    this.device = device;
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
  static async open(
    { name, revision, sources }: OpenedPlace,
    place: DataPlace | undefined,
    device: BrowserDevice,
  ): Promise<MimicVideoSession> {
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
      const sha256 = (): Promise<string> => own.sha256(["episodes.safetensors"]);
      return { episodes, name: own.name, sha256, future: (index) => episodes.future(index) };
    };
    const data = place ? await recordedData(place, description, shape) : await openOwn();
    const view = await viewOf(description, shape, data);
    return new MimicVideoSession(device, files, description, shape, openOwn, [data, view]);
  }

  async useData(place: DataPlace | undefined): Promise<void> {
    const data = await (place ? recordedData(place, this.#description, this.#shape) : this.#openOwn());
    const view = await viewOf(this.#description, this.#shape, data);
    await this.#data.episodes.close();
    this.#data = data;
    this.#view = view;
    this.#dataHash = undefined;
  }

  async checkData(place: DataPlace): Promise<void> {
    const data = await recordedData(place, this.#description, this.#shape);
    await data.episodes.close();
  }

  get view(): ModelView {
    return this.#view;
  }

  /** With both halves of the VAE: imagined frames are shown here. */
  async load(dtype: WeightDtype, loading: LoadOptions): Promise<void> {
    const gpu = await this.device.gpu();
    if (this.#model && this.#dtype === dtype) return;
    this.#model?.release();
    this.#model = undefined;
    this.#model = await MimicVideo.load(gpu, this.#files, { ...loading, dtype, vae: "both" });
    this.#dtype = dtype;
  }

  async run(prompt: RunRequest["prompt"]): Promise<BoundRun> {
    const { episodes, future: recordedFuture } = this.#data;
    // Edited words describe another future than the recorded one, so there is nothing true to compare with.
    const words: Episodes = {
      count: episodes.count,
      close: async () => {},
      read: async (index: number) => {
        const episode = await episodes.read(index);
        if (prompt?.episode !== index) return episode;
        return { ...episode, prompt: prompt.text, truth: undefined };
      },
    };
    const model = this.#model!;
    const provenance = await this.#provenance(model);
    const subject = await MimicVideoSubject.bind(model, words);
    let preview: Preview | undefined;
    return {
      subject,
      provenance,
      show: async (seen, { actionSeeds, actionSteps = model.description.actionSteps }, signal) => {
        preview ??= await Preview.create(model, subject, seen, actionSeeds);
        const shown = await preview.show(seen, actionSteps, signal);
        // Other words have another future than the recorded one.
        const future =
          seen.item.index === prompt?.episode ? undefined : await recordedFuture?.(seen.item.index);
        return {
          ...shown,
          pictureError: future && pictureError(shown.frames, future, model.description.frameSize),
        };
      },
      dispose: async () => {
        preview?.dispose();
        await subject.close();
      },
    };
  }

  async *act(wish: ActWish, signal: AbortSignal): AsyncGenerator<ActView> {
    const { acting } = await import("./acting.ts");
    yield* acting(this.#model!, wish, signal);
  }

  /** Where numbers come from, the same words as in Node but for the device and the versions. */
  async #provenance(model: MimicVideo): Promise<ProbeProvenance> {
    const { name, trainedOn, parts } = this.#description;
    const weightsSha256 = await (this.#weightsHash ??= this.#files.sha256(Object.values(parts)));
    const dataSha256 = await (this.#dataHash ??= this.#data.sha256());
    return {
      model: {
        ...{ name, revision: this.#files.revision, weightsSha256, trainedOn },
        ...{ system: "mimic-video", stamp: model.stamp },
      },
      data: { name: this.#data.name, sha256: dataSha256 },
      noiseSha256: null,
      ...provenanceDevice(model.gpu),
      dtype: this.#dtype!,
    };
  }

  dropDevice(): void {
    this.device.drop();
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
export async function viewOf(
  description: ModelDescription,
  { chunk }: EpisodeShape,
  { episodes: data, recorded }: Pick<Data, "episodes" | "recorded">,
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
