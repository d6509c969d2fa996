/**
 * A system: a composition of networks that can be opened from a checkpoint and asked the probe's question. How one is added stands
 * in docs/add-a-system.md.
 */
import type { Recordings } from "../data/lerobot/recordings.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Subject, TrainedOn } from "../probe/subject.ts";
import type { WeightDtype } from "../tensor/matrix.ts";
import type { LoaderOptions, LoadOptions } from "../weights/loader.ts";
import type { ModelFiles } from "../weights/model-files.ts";
import type { TensorSource } from "../weights/source.ts";
import type { Cache } from "./cache.ts";
import type { Policy, RecordedTrials } from "./policy.ts";
import type { Sampler } from "./sampler.ts";

/** Recognised, or what was looked for and not found. */
export type Recognition = { readonly found: true } | { readonly missing: readonly string[] };

export interface SystemOptions extends LoaderOptions {
  /** one of several policies in a folder */
  readonly policy?: string;
  readonly dtype?: WeightDtype;
  /** trajectories of an item, V: what a plan is made for; default 1 */
  readonly trajectories?: number;
  /** bytes the graphics card has, where the person says so */
  readonly gpuMemory?: number;
  /** embeddings of prompts, a file */
  readonly text?: string;
  /**
   * Opens another folder or repository that a checkpoint names, of which `choose` says the files that are needed; where it lies, a person may
   * have said.
   */
  readonly openModel?: (
    name: string,
    choose: (files: ModelFiles) => Promise<readonly string[]>,
  ) => Promise<ModelFiles>;
  /** how a file that an option names is opened; a browser has no paths */
  readonly openFile?: (path: string) => Promise<TensorSource>;
  /** small results that are dear to compute, kept between runs */
  readonly cache?: Cache;
  /** whether a text encoder of tens of gigabytes may be fetched and run */
  readonly encodeText?: boolean;
  /** at which end of an interval the training had the state, of networks of which it cannot be seen */
  readonly stateTime?: "r" | "t";
  /** whether the items' recorded futures are encoded too */
  readonly oracle?: boolean;
  /** told a line that a person should read, such as a prompt that was cut */
  readonly onNote?: (line: string) => void;
}

/** GPU memory by part, before anything is read. */
export interface Plan {
  /** what a person is told: parts with their bytes, and how it was made to fit */
  readonly lines: readonly string[];
  /** bytes of the weights */
  readonly weights: number;
  /** most that is held at once */
  readonly peak: number;
}

/** A checkpoint whose weights are known to fit and not yet read. */
export interface Opened {
  readonly name: string;
  readonly trainedOn: TrainedOn;
  /** files whose bytes are the model: folders or files, for the provenance stamp */
  readonly weightFiles: readonly string[];
  /** how weights lie on the GPU */
  readonly dtype: WeightDtype;
  /** what decides the numbers besides weights and data, for the provenance stamp */
  readonly stamp: Readonly<Record<string, string>>;
  readonly plan: Plan;
  /**
   * Reads the weights.
   * @throws AdapterError when memory runs out
   */
  load(options: LoadOptions): Promise<void>;
  /**
   * Binds data to the model; may be called before `load`, so that data that do not fit are refused first.
   * @param data a folder of the system's own episodes, or windows of a recorded data set, which is closed with the subject
   * @param noise tensors to be used instead of noise drawn from seeds, which then number its rows
   * @throws FormatError naming file, field, found and expected; UsageError when a recorded set does not fit, saying what it has
   */
  subject(data: ModelFiles | Recordings, noise?: TensorSource): Promise<BoundSubject>;
  /** A robot's side of the model, where it has one; each has a memory of its own. It describes itself before `load`, and acts after. */
  policy?(): Promise<Policy>;
  /** What makes samples, where the model makes any; draws after `load`. */
  sampler?(): Sampler;
  /** Recorded episodes that its policy can be taken through. @throws FormatError for data that do not fit */
  recordedTrials?(data: ModelFiles): Promise<RecordedTrials>;
  /** Frees what was loaded, and closes files. */
  release(): Promise<void>;
}

/** A subject whose data are closed by whoever asked for it. */
// The probe hands an encoded item back to the subject that made it, and never looks inside.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type BoundSubject = Subject<any> & {
  close(): Promise<void>;
  /** files whose bytes are the data, for the provenance stamp; default episodes.safetensors */
  readonly dataFiles?: readonly string[];
};

/** A checkpoint on its way to one file with its network's own keys. */
export interface Conversion {
  /** under those keys, without what only training uses */
  readonly source: TensorSource;
  /** for the file, what the checkpoint says of itself */
  readonly metadata: Readonly<Record<string, string>>;
  /** what it was recognised as, for a person */
  readonly words: string;
}

export interface System {
  readonly name: string;
  /** Where the model's own items lie, relative to its folder. */
  items(files: ModelFiles): Promise<string>;
  /** A data set on the Hub that the model was trained on, where its files say: the default of a model that comes from the Hub. */
  dataSet?(files: ModelFiles): Promise<string | undefined>;
  /** A checkpoint in a layout that this system knows; undefined where it is none. */
  convert?(stored: TensorSource): Conversion | undefined;
  /** From names, JSON and headers alone. */
  recognise(files: ModelFiles): Promise<Recognition>;
  /** Which of `files.paths` a run needs, before anything is downloaded. */
  needed(files: ModelFiles, options: SystemOptions): Promise<readonly string[]>;
  /**
   * Builds the networks and compares them with the headers of the weights; reads no tensor.
   * @throws UsageError, FormatError, WeightsError or AdapterError
   */
  open(gpu: Gpu, files: ModelFiles, options: SystemOptions): Promise<Opened>;
}
