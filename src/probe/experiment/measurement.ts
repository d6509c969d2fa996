/**
 * What a run of the probe is asked and what it brings back, before any statistics: the border between the code
 * that drives the models (`run.ts`) and the code that only sees numbers.
 *
 * Axis letters, everywhere in `src/probe`:
 *   E episodes   V video seeds   S action seeds   K probe steps   B budgets   R other rules   M action steps   T positions in a chunk
 *   D action dimensions   F numbers of a population's sample
 *
 * Arrays are row-major float32 in the order of the letters in their comments, in the model's normalised action units.
 */

import type { WeightDtype } from "../../tensor/matrix.ts";
import type { PopulationEstimates } from "../statistics/population.ts";
import type { Item, Part, ReadOutWords, Rule, State, Tap, TrainedOn } from "../subject.ts";

/** A part of a run that is split among machines. */
export interface Shard {
  /** From 0. */
  index: number;
  count: number;
}

/** Which part of a recorded data set is asked for, and how it is meant. */
export interface RecordingSettings {
  /** Keys of cameras, in the order of the model's; undefined: the only ones there are. */
  cameras?: readonly string[];
  /** Keys of the vectors; undefined: observation.state and action. */
  state?: string;
  action?: string;
  /** A sentence, or a part of one. */
  task?: string;
  /** Frames a second as they were recorded; undefined: as the set declares. */
  fps?: number;
  /** Whether the nearest frame may stand for a moment between two. */
  resample?: boolean;
  /** What becomes of windows that pass their episode's end; undefined: they are dropped. */
  ends?: "drop" | "pad";
  /** Seconds from window to window; undefined: one window an episode. */
  every?: number;
  /** How states and actions are meant: a name, or a mapping file. */
  embodiment?: string;
}

/** What the experiment is, as it is asked for: everything that decides its numbers, together with the model, data and device. */
export interface ProbeSettings {
  /** Folder of a checkpoint, or its name on the Hub. */
  modelDir: string;
  /** Folder with `episodes.json` and `episodes.safetensors`, or a recorded data set: its folder, or its name on the Hub; undefined: the model's own. */
  dataDir?: string;
  /** What is taken of a recorded data set; only with one. */
  recording?: RecordingSettings;
  /** Safetensors file with the system's noise, such as `video_noise` and `action_noise`; undefined: noise is drawn from the seeds. */
  noiseFile?: string;
  /** How many from the first on, or indices into the data, distinct, in the order to be reported; undefined: as many as the system says, or all if there are fewer. */
  episodes?: number | readonly number[] | "all";
  /** N, steps of the trajectory from noise to clean; undefined: the system's own. */
  videoSteps?: number;
  /** K steps, strictly increasing, whose tap conditions a full read-out; the last that can be read is added; undefined: those that the system says. */
  probeSteps?: readonly number[];
  /** M, Euler steps of the action flow; undefined: the model's own. */
  actionSteps?: number;
  /** B steps, strictly increasing, of whole schedules that are read at their ends; N is added; undefined: those that the system says, if any. */
  budgets?: readonly number[];
  /** V distinct seeds; with a noise file, rows of its seed axis; undefined: the system's habit. */
  videoSeeds?: number[];
  /** S distinct seeds; with a noise file, rows of its seed axis; "same": each trajectory's own seed, S = 1; undefined: the system's habit. */
  actionSeeds?: number[] | "same";
  /** Adapter to use: part of its name, or "software"; undefined: the best one found. */
  adapter?: string;
  /** How weights are stored on the GPU; undefined: as the system does by default. */
  dtype?: WeightDtype;
  /** Kernel variants forced by name; undefined: the device's. */
  variants?: Record<string, string>;
  /** What tensors mean that the model does not know; undefined: they are refused. */
  unexpected?: "refuse" | "ignore";
  /** Prefixes of the checkpoint's keys, [as stored, as asked for]. */
  rename?: readonly (readonly [string, string])[];
  /** What weights mean that are NaN or infinite; undefined: they are refused. */
  nonFinite?: "refuse" | "ignore";
  /** Whether checksums of torch checkpoints are compared; undefined: they are. */
  verify?: boolean;
  /** Which of several policies of a folder. */
  policy?: string;
  /** Folder or repository of parts that the checkpoint leaves to another; default: the one it names. */
  frozen?: string;
  /** At which end of an interval the training had the state, where the checkpoint does not say. */
  stateTime?: "r" | "t";
  /** File with embeddings of the prompts. */
  text?: string;
  /** Whether a large text encoder may be fetched and run. */
  encodeText?: boolean;
  /** Whether the recorded futures are read out too, noised as at each probe step. */
  oracle?: boolean;
  /** Whether the straightness of the flow is measured too, along one way of each trajectory. */
  straightness?: boolean;
  /** Bytes of memory on the GPU, where the person says so. */
  gpuMemory?: number;
  /** In what the products are computed. */
  arithmetic?: "f32" | "f16";
  /** Which part of the run is measured; undefined: all. */
  shard?: Shard;
}

/** The same with everything the subject decides filled in; see settings.ts. */
export interface FullSettings extends ProbeSettings {
  /** E indices. */
  episodes: readonly number[];
  videoSteps: number;
  /** K, ending in the last step that can be read. */
  probeSteps: readonly number[];
  /** M; 0 where the read-out has no steps. */
  actionSteps: number;
  videoSeeds: number[];
  actionSeeds: number[] | "same";
  /** R names of other rules by which the whole schedules are led too, all of them to their ends; undefined: none. */
  rules?: readonly string[];
}

/** S. */
export const readSeeds = ({ actionSeeds }: Pick<FullSettings, "actionSeeds">): number =>
  actionSeeds === "same" ? 1 : actionSeeds.length;

/** Everything decoded for one episode; one finished unit of work, saved and resumed as a whole. */
export interface EpisodeMeasurement {
  /** Index into the data. */
  episode: number;
  /** Kernel variants that had been recorded when it was finished, by kernel. */
  variants?: Readonly<Record<string, readonly string[]>>;
  /** Which of the run's video seeds are here, V of them, where a part of the run was measured; undefined: all. */
  videoSeeds?: readonly number[];
  /** Name of the episode in the data. */
  id: string;
  prompt: string;
  /** What the data say of it, by name. */
  labels?: Readonly<Record<string, string>>;
  /** (T, D) the action chunk that was really taken, if known. */
  truth?: Float32Array;
  /** Positions of it that were recorded, from the first on; no error is measured against the others. Undefined: all T. */
  truthPositions?: number;
  /** The same in the data's units. */
  dataTruth?: Float32Array;
  /** (T, D) the chunk of a robot that does not move, if the data define one. */
  holdStill?: Float32Array;
  /** (V, S, K, T, D) the decoded chunk, per probe step. */
  actions: Float32Array;
  /** The same in the data's units. */
  dataActions: Float32Array;
  /** (V, S, K, M + 1, T, D) the iterate x_n before step n = 0..M−1 and at the end. */
  iterates: Float32Array;
  /** (V, S, K, M, T, D) the clean estimate of each iterate x_n, n = 0..M−1. */
  oneJump: Float32Array;
  /** (V, S, K, T, D) the decode from the recorded future instead of the imagined one, where that was asked. */
  oracle?: Float32Array;
  /** The same in the data's units. */
  dataOracle?: Float32Array;
  /** (V, S, B, T, D) the decode at the end of each whole schedule, where those were asked. */
  budgetActions?: Float32Array;
  /** The same in the data's units. */
  dataBudgetActions?: Float32Array;
  /** (V, S, R, B, T, D) the decode at the end of each whole schedule that another rule leads, where there are others. */
  ruleActions?: Float32Array;
  /** (V, S, K + B + R·B, F) what populations are counted of: at the probe steps, at the ends of the whole schedules, and of those of each other rule. */
  samples?: Float32Array;
  /** (V, S, T, D) the decode at the last probe step with hidden states set to zero; empty where the system has no such control. */
  zeroedContext: Float32Array;
  /** (V, S, T, D) the decode at the last probe step with another episode's hidden states of that step; empty when there is only one episode. */
  otherContext: Float32Array;
  /** (V, S, T, D) the decode at the last probe step with the hidden states of its frames in another order; absent where there are no frames. */
  shuffledContext?: Float32Array;
  /** (V, K, K) centred cosine of the taps of two probe steps, on sampled tokens; absent, as the next five, where a tap is no rows of tokens. */
  tapCosine?: Float32Array;
  /** (V, K, K) the same with the tokens of one of them shuffled. */
  tapCosineNull?: Float32Array;
  /** (V, K, K) linear centred kernel alignment of the taps of two probe steps. */
  tapCka?: Float32Array;
  /** (V, K, K) the same with the tokens of one of them shuffled. */
  tapCkaNull?: Float32Array;
  /** (V, K) ‖h_k − h_j‖ / ‖h_k‖ from the probe step j before k; infinite at the first, where nothing can be said. */
  tapDrift?: Float32Array;
  /** What of the taps was compared. */
  tapSample?: TapSample;
  /** (V, K) ‖u_k − u_j‖ / ‖u_k‖ of the mean velocities u between consecutive probe steps; infinite at the first two. */
  velocityChange?: Float32Array;
  /** (V, P) what the flow's straightness is measured by, where that was asked; see `Straightness` of subject.ts. */
  flowResidual?: Float32Array;
  /** (V, P) */
  flowSpeed?: Float32Array;
  /** (V, P) of networks of the average velocity */
  flowBend?: Float32Array;
  /** Operations counted. */
  flops?: FlopCounts;
}

/** Whose straightness was measured, and at which P times. */
export interface MeasuredFlow {
  of: string;
  times: number[];
}

/** Of each tensor of a tap: how many of its tokens were compared. */
export interface TapSample {
  rows: readonly number[];
  tokens: readonly number[];
}

/** Additions and multiplications of matrix products, attention and convolutions, of one trajectory. */
export interface FlopCounts {
  /** Encoding the item. */
  encode: number;
  /** All calls of the network until the last probe step. */
  trajectory: number;
  /** Reading one tap from one noise. */
  readOut: number;
  /** Comparing the taps of all probe steps. */
  similarity: number;
}

/** Where the numbers come from. Equal provenance and settings mean byte-equal numbers. */
export interface ProbeProvenance {
  model: {
    name: string;
    /** Commit or tag of the checkpoint; "unversioned" when it has none. */
    revision: string;
    /** SHA-256 over the weights, 64 hex digits. */
    weightsSha256: string;
    trainedOn: TrainedOn;
    /** What kind of system it is. */
    system: string;
    /** What of it decides the numbers besides its weights: policy, text, … */
    stamp: Readonly<Record<string, string>>;
  };
  data: {
    name: string;
    /** SHA-256 over the episodes' tensors, 64 hex digits. */
    sha256: string;
  };
  /** SHA-256 of the noise file, or null when noise was drawn from the seeds. */
  noiseSha256: string | null;
  device: {
    /** What a reader recognises, such as "llvmpipe (LLVM 15.0.6, 256 bits)". */
    name: string;
    driver: string;
    /** WebGPU's own words: vendor, architecture, backend. */
    adapter: string;
    /** A CPU that plays GPU. */
    software: boolean;
  };
  dtype: WeightDtype;
  /** Such as { project, node, webgpu }. */
  versions: Record<string, string>;
  /** Kernel variants that any of the episodes was computed with, by kernel. Undefined before the run. */
  variants?: Record<string, string[]>;
}

/** What may differ between two runs with equal settings. */
export interface ProbeTiming {
  /** Seconds by phase, in the order they ran. */
  phases: { name: string; seconds: number }[];
  /** Episodes taken from the store instead of computed. */
  resumedEpisodes: number;
  /** Peak of GPU memory held by the allocator, bytes. */
  peakGpuBytes?: number;
  /** Seconds of the episodes by what was done. */
  parts?: { name: string; seconds: number }[];
}

/** All that a run brings back. */
export interface ProbeMeasurement {
  settings: FullSettings;
  provenance: ProbeProvenance;
  /** D names. */
  actionNames: string[];
  /** D units, one for each name. */
  actionUnits: string[];
  /** (T, D) the training set's mean chunk, if the model carries one. */
  datasetMean?: Float32Array;
  /** K times of the probe steps, in the system's convention: video τ, 1 is noise, 0 is clean. */
  taus: number[];
  /** M + 1 action times in the model's own convention, from noise to clean. */
  actionTimes: number[];
  /** K calls of the network until each probe step is read; undefined: one more than its steps. */
  stopCalls?: number[];
  /** B the same of each whole schedule. */
  budgetCalls?: number[];
  /** K fractions of the first state's noise that are left at each probe step, where iterates are those of the trajectory; undefined: where they are a read-out's own. */
  stopNull?: number[];
  /** Undefined: its straightness was not asked for. */
  flow?: MeasuredFlow;
  /** T, positions in a chunk. */
  chunkLength: number;
  /** How a result speaks of what was read; undefined: of actions. */
  words?: ReadOutWords;
  /** How the whole schedules are led, and R other ways; undefined: there is one way. */
  rules?: readonly Rule[];
  /** What only all samples together have; undefined: nothing. */
  population?: PopulationEstimates;
  /** What the dimensions mean together; undefined: nobody said. */
  parts?: readonly Part[];
  /** Seconds from one position to the next, where that is known. */
  interval?: number;
  /** Those of the settings, in their order; of a part of a run those that it measured. */
  episodes: EpisodeMeasurement[];
  timing: ProbeTiming;
}

/** One report of progress: `done` of `total` units of a phase, such as 12 of 200 "video steps". */
export interface ProbeProgress {
  phase: string;
  done: number;
  total: number;
  unit: string;
}

/** Every value that affects the numbers of a unit, by name; two units mix only if all of these are equal. */
export type Fingerprint = Record<string, string | number | boolean | null | readonly (string | number)[]>;

/** Finished units on disk. `files.node.ts` has the one for folders. */
export interface UnitStore {
  /**
   * Says what the units of this run depend on; called once, before `load` and `save`.
   * @param share the episodes of which this run measures at least a part.
   * @returns the episodes that need not be computed again.
   * @throws UsageError when stored units depend on other values, naming those that differ.
   */
  begin: (fingerprint: Fingerprint, share?: readonly number[]) => Promise<number[]>;
  /** @returns a finished unit, or undefined when this episode is not stored. */
  load: (episode: number) => Promise<EpisodeMeasurement | undefined>;
  /** Keeps a finished unit; once this resolves it survives an interrupt. */
  save: (measurement: EpisodeMeasurement) => Promise<void>;
}

/** What a run reports to and obeys. */
export interface ProbeHooks {
  onProgress?: (progress: ProbeProgress) => void;
  /** One line a person should read before something long begins. */
  onNote?: (line: string) => void;
  /** Stops the run between two dispatches; `runProbe` then rejects with `signal.reason`. */
  signal?: AbortSignal;
  store?: UnitStore;
  /** Lets a page show what stands at every probe step; the run waits for it. */
  onState?: (seen: ProbedState) => Promise<void>;
}

/** What a watcher sees at a probe step. Tensors stay on the GPU and are overwritten by the next step. */
export interface ProbedState {
  readonly item: Item;
  readonly state: State;
  readonly tap: Tap;
  /** What the item became before denoising, as its subject made it. */
  readonly encoded: unknown;
}

/** Drives the models. */
export type RunProbe = (settings: ProbeSettings, hooks: ProbeHooks) => Promise<ProbeMeasurement>;

/**
 * The fingerprint of a run: the settings and the provenance, without what only names a place (folders, files).
 * The list of episodes belongs to it, because the control with another episode's context depends on the list; which part
 * of the run a machine measures does not, because it changes no number.
 */
export function fingerprintOf(settings: FullSettings, provenance: ProbeProvenance): Fingerprint {
  const { model, data, device, noiseSha256, dtype, versions } = provenance;
  return {
    system: model.system,
    ...model.stamp,
    weights: model.weightsSha256,
    data: data.sha256,
    noise: noiseSha256,
    episodes: settings.episodes,
    "video steps": settings.videoSteps,
    "probe steps": settings.probeSteps,
    "action steps": settings.actionSteps,
    "video seeds": settings.videoSeeds,
    "action seeds": settings.actionSeeds,
    oracle: settings.oracle ?? false,
    ...(settings.budgets ? { budgets: settings.budgets } : {}),
    ...(settings.rules ? { rules: settings.rules } : {}),
    ...(settings.straightness ? { straightness: true } : {}),
    dtype,
    arithmetic: settings.arithmetic ?? "f32",
    variants: Object.entries(settings.variants ?? {}).map(([kernel, name]) => `${kernel}=${name}`),
    adapter: device.adapter,
    driver: device.driver,
    "project version": versions.project ?? null,
  };
}
