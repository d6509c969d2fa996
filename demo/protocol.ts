/**
 * What the page and its worker tell each other. The page draws and asks; everything that computes is in the worker.
 *
 * Axis letters as in src/probe/experiment/measurement.ts: V video seeds, S action seeds, K probe steps, M action steps, T positions in
 * a chunk, D action dimensions.
 */
import type { Choices } from "../src/data/lerobot/recordings.ts";
import type { ProbeSettings } from "../src/probe/experiment/measurement.ts";
import type { TrainedOn } from "../src/probe/subject.ts";
import type { WeightDtype } from "../src/tensor/matrix.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import type { VerdictResult } from "../src/probe/result/verdict.ts";
import type { Interval } from "../src/probe/statistics/bootstrap.ts";
import type { Floor } from "../src/probe/statistics/margin.ts";
import type { RunRecord } from "../src/probe/result/run-record.ts";
import type { DroppedFile } from "../src/weights/model-files.browser.ts";

/** Where a model comes from. */
export type ModelPlace =
  /** beside the page, whose address this is */
  | { readonly kind: "toy"; readonly page: string }
  | { readonly kind: "dropped"; readonly files: readonly DroppedFile[] }
  /** owner/name[@revision][:folder] */
  | { readonly kind: "hub"; readonly name: string };

/** A recorded data set in the LeRobot format, and what was chosen of it; in place of a model's own episodes. */
export type DataPlace = (
  | { readonly kind: "dropped"; readonly files: readonly DroppedFile[] }
  /** owner/name[@revision] of a public set */
  | { readonly kind: "hub"; readonly name: string }
) & { readonly choices: DataChoices };

/** Something that may be opened. */
export type Wanted =
  | { readonly model: ModelPlace; readonly data?: DataPlace }
  | { readonly model?: undefined; readonly data: DataPlace };

/** As the command line's options of the same names; what is not said is the set's or the model's own. */
export type DataChoices = Pick<
  Choices,
  "cameras" | "state" | "action" | "task" | "fps" | "resample" | "ends" | "every"
>;

/** Settings with everything filled in that the page itself shows. */
export interface RunSettings extends ProbeSettings {
  /** the watched one last, which is measured first */
  readonly episodes: readonly number[];
  readonly videoSteps: number;
  readonly probeSteps: readonly number[];
  readonly actionSeeds: number[];
  readonly dtype: WeightDtype;
}

/** A run as the page asks for it. */
export interface RunRequest {
  readonly settings: RunSettings;
  /** the watched episode's prompt when it is not the recorded one; there is then no truth to compare with */
  readonly prompt?: { readonly episode: number; readonly text: string };
  /** kept in run.json as the command that made it */
  readonly link: string;
}

/** A film of the robot. */
export interface ActWish {
  /** video steps before the actions are read */
  readonly stop: number;
  /** number of the scene, and its seed */
  readonly scene: number;
}

/** What became of a chunk. */
export interface ActView {
  readonly prompt: string;
  /** RGBA */
  readonly frames: Uint8ClampedArray<ArrayBuffer>;
  readonly size: readonly [rows: number, columns: number];
  readonly query: number;
  readonly queries: number;
  readonly success: boolean;
  /** to the goal, in table widths */
  readonly distance: number;
}

export type Request =
  | {
      readonly type: "open";
      readonly place: ModelPlace;
      readonly data?: DataPlace;
      readonly dtype: WeightDtype;
    }
  /** other episodes for the model that is open; without a place its own */
  | { readonly type: "data"; readonly place?: DataPlace }
  | { readonly type: "run"; readonly run: RunRequest }
  /** the robot is to act, in the toy's world */
  | { readonly type: "act"; readonly wish: ActWish; readonly dtype: WeightDtype }
  | { readonly type: "compare"; readonly wish: CompareWish }
  /** whether this could be opened; what is open and what is measured stay */
  | { readonly type: "check"; readonly wanted: Wanted }
  | { readonly type: "cancel" };

/** An episode as it can be shown: RGBA frames one after another. */
export interface EpisodeView {
  readonly index: number;
  readonly id: string;
  readonly prompt: string;
  readonly context: Uint8ClampedArray<ArrayBuffer>;
  readonly jointState: Float32Array;
  /** (T, D) */
  readonly truth?: Float32Array;
  /** (T, D) the chunk of a robot that does not move */
  readonly holdStill?: Float32Array;
}

/** A model as it can be shown, known before any weight is read. */
export interface ModelView {
  readonly name: string;
  readonly trainedOn: TrainedOn;
  /** what must not be concluded */
  readonly statement: string;
  /** (rows, columns) */
  readonly frameSize: readonly [number, number];
  readonly contextFrames: number;
  readonly actionNames: readonly string[];
  readonly actionUnits: readonly string[];
  /** the model's own M; 0 where a read-out has no steps */
  readonly actionSteps: number;
  /** T */
  readonly chunkLength: number;
  /** (T, D) */
  readonly datasetMean?: Float32Array;
  /** the recorded set that takes the place of the model's own episodes, in a sentence */
  readonly recorded?: string;
  readonly episodes: readonly EpisodeView[];
  /** of a model that imagines no video: what is denoised is the action itself */
  readonly plan?: {
    /** N of its own schedule */
    readonly steps: number;
    /** steps that are probed by default */
    readonly probed: readonly number[];
    /** whether a read-out shares its trajectory's seed */
    readonly pairsSeeds: boolean;
  };
}

/** The adapter and what it allows. */
export interface DeviceView {
  readonly name: string;
  readonly adapter: string;
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: readonly (readonly [name: string, value: number])[];
}

/** One probed state of one episode: what is imagined there, and the actions decoded from its hidden states. */
export interface StateView {
  readonly episode: number;
  /** k */
  readonly step: number;
  readonly tau: number;
  /** RGBA frames of the future imagined from the first video seed */
  readonly frames: Uint8ClampedArray<ArrayBuffer>;
  /** (V, S, M + 1, T, D) */
  readonly iterates: Float32Array;
  /** mean squared difference of those frames to the recorded ones, of pixels in [0, 1]; where the recording goes on that long */
  readonly pictureError?: number;
}

/** Errors along the probed steps, with 95 % intervals from two episodes on. */
export interface CurveSoFar {
  /** (K) */
  readonly mean: readonly number[];
  readonly interval: readonly Interval[] | null;
}

/** What the episodes that were measured so far say together. */
export interface SoFarView {
  /** their numbers, in the run's order */
  readonly episodes: readonly number[];
  /** how many there will be */
  readonly of: number;
  /** (K) probed steps */
  readonly steps: readonly number[];
  readonly toTruth: CurveSoFar | null;
  readonly toLast: CurveSoFar;
  /** errors to the truth that need no knowledge of the scene */
  readonly floors: readonly Floor[];
  readonly verdict: VerdictResult;
}

/** One side of a comparison: the words that are said, and the seed of the noise that the video starts from. */
export interface SideWish {
  readonly prompt: string;
  readonly seed: number;
}

/** Two runs from one scene. */
export interface CompareWish {
  readonly episode: number;
  readonly sides: readonly [SideWish, SideWish];
  readonly settings: RunSettings;
}

/** Seconds a step and bytes held, for the device panel. */
export interface CostView {
  readonly videoStep?: number;
  readonly actionStep?: number;
  readonly heldBytes: number;
  readonly peakBytes: number;
}

export type Event =
  | { readonly type: "opened"; readonly model: ModelView }
  /** what was to be opened draws samples, see digits/; what is open stays */
  | { readonly type: "samples"; readonly place: ModelPlace }
  | { readonly type: "device"; readonly device: DeviceView }
  | { readonly type: "ready" }
  | {
      readonly type: "progress";
      readonly phase: string;
      readonly done: number;
      readonly total: number;
      readonly unit: string;
    }
  /** the episode that is being measured from now on */
  | { readonly type: "measuring"; readonly episode: number }
  | { readonly type: "state"; readonly state: StateView }
  | { readonly type: "soFar"; readonly soFar: SoFarView }
  | { readonly type: "compared"; readonly side: 0 | 1; readonly state: StateView }
  | { readonly type: "comparedAll" }
  /** what was asked about could be opened */
  | { readonly type: "checked"; readonly wanted: Wanted }
  | { readonly type: "cost"; readonly cost: CostView }
  | { readonly type: "done"; readonly result: ProbeResult; readonly run: RunRecord }
  | { readonly type: "cancelled" }
  | { readonly type: "acting"; readonly act: ActView }
  | { readonly type: "acted" }
  /** what goes on was not quite what was asked for */
  | { readonly type: "warning"; readonly kind: string; readonly message: string }
  /** `kind` is the name of the error class, see src/errors.ts */
  | {
      readonly type: "failed";
      readonly during: Request["type"];
      readonly kind: string;
      readonly message: string;
    };
