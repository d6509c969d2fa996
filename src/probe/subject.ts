/**
 * All that the probe knows of a system: a thing whose read-out can be asked for after any number of denoising steps. Types only, so
 * that systems may import this file and nothing else of the probe.
 *
 * Axes: V trajectories in one batch ("copies"), S read-out noises, K states of a trajectory, M inner steps, T positions of a
 * read-out (actions of a chunk), D dimensions. Truth, floors and readings are in the model's normalised units.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How the weights came about. Decides what may be concluded, so it is written across figures and files. */
export type TrainedOn = "random" | "toy" | "pretrained";

/** What a trajectory or a read-out starts from, made by the system: one array, or one for each fresh draw it needs. */
export type Noise = readonly Float32Array<ArrayBuffer>[];

/** What the read-out is conditioned on; may be empty. Only `Subject.read` looks inside. */
export type Tap = readonly Tensor[];

/** One thing to be measured: an episode's window, a prompt. */
export interface Item {
  readonly index: number;
  readonly id: string;
  readonly prompt: string;
  /** (T, D) what really happened, where that is known */
  readonly truth?: Float32Array<ArrayBuffer>;
  /** positions of the truth that were recorded, from the first on: behind the end of an episode there are none; default all T */
  readonly truthPositions?: number;
  /** (T, D) the same in the data's units */
  readonly dataTruth?: Float32Array<ArrayBuffer>;
  /** what the data say of it, by name: `ambiguity`, `task`; windows of one `recording` are no evidence of their own */
  readonly labels?: Readonly<Record<string, string>>;
}

/** A state of a trajectory. Everything on it is valid until the next one is asked for. */
export interface State {
  /** k steps have been taken */
  readonly step: number;
  /** the state's time, as `Axis.times` has it */
  readonly time: number;
  /** (V, …) */
  readonly latents: Tensor;
  /** What the latents are multiplied by to lie on (1 − time)·clean + time·noise; default 1, a straight flow's own. */
  readonly scale?: number;
  /** computed when asked for, (V, …) each */
  tap(kind: string): Promise<Tap>;
  /** The tap of this state with its frames in another order, none in its place; asked for after `tap`, once, where there are frames. */
  shuffled?(seed: number): Promise<Tap>;
}

/** States along a schedule. */
export interface Axis {
  /** N of the schedule */
  readonly steps: number;
  /** one for each state that can be read, from noise on; their number less one is the last step that can be probed */
  readonly times: readonly number[];
  /** whether the last state is no end of the trajectory, so that it is probed only if it is asked for; default false */
  readonly openEnded?: boolean;
  /** what an iterate's error is when nothing was learned, as a fraction of that of the first; default (1 − n/M)² */
  readonly nullCurve?: readonly number[];
  /** times seen in training */
  readonly trained?: readonly [from: number, to: number];
  /** calls of the network until each state is read, its own included; default k + 1 */
  readonly calls?: readonly number[];
}

/** What is measured when nothing is asked for. */
export interface Defaults {
  /** from the first on, or all where there are fewer */
  readonly episodes: number;
  /** as fractions of the last step that can be read */
  readonly probeSteps: readonly number[];
  readonly videoSeeds: readonly number[];
  /** whole schedules, by their steps; default none */
  readonly budgets?: readonly number[];
}

/** A way to lead whole schedules: a name for `DenoiseOptions.rule`, and words for a reader. */
export interface Rule {
  readonly name: string;
  readonly words: string;
}

/** Consecutive dimensions of a read-out that mean one thing. */
export interface Part {
  readonly name: string;
  /** inclusive, exclusive */
  readonly from: number;
  readonly to: number;
  readonly kind: "squared" | "rotation6d" | "rotvec" | "event" | "logits";
  readonly units: string;
  /** of an event: its two states in the data's units */
  readonly states?: readonly [number, number];
}

/** One decode of one tap. */
export interface Reading {
  /** (V, T, D) */
  readonly values: Float32Array;
  /** (V, M + 1, T, D), where there is an inner axis */
  readonly iterates?: Float32Array;
  /** (V, M, T, D) the clean read-out that inner step n alone would jump to */
  readonly oneJump?: Float32Array;
  /** (V, F) what a subject's populations are counted of */
  readonly sample?: Float32Array;
}

/** Samples of all items at one point of a trajectory. */
export interface PopulationSamples {
  /** (n) index of the item that each is of */
  readonly items: readonly number[];
  /** (n, F) */
  readonly values: Float32Array;
}

/** A number that only many samples together have. Its error is its distance from `target`. */
export interface PopulationMeasure {
  readonly name: string;
  readonly words: string;
  /** 0 of a distance, 1 of a ratio; undefined: it judges nothing */
  readonly target?: number;
}

/** What can be said only of many samples together, such as the Fréchet distance to real ones; samples come from every item alike. */
export interface Population {
  /** F */
  readonly features: number;
  readonly measures: readonly PopulationMeasure[];
  /** what samples are compared with, for a reader: "359 held-out pictures" */
  readonly against: string;
  /** samples below which nothing is concluded */
  readonly fewest: number;
  /** the measures of other sets, for scale */
  readonly floors: readonly { readonly words: string; readonly values: Readonly<Record<string, number>> }[];
  /** which of the floors knows nothing but the items: 5 % of its error is the margin of a verdict */
  readonly worst: number;
  /**
   * The measures of samples, by name; a function of how often each sample counts (n), which then is called for many resamples.
   */
  of(samples: PopulationSamples): (counts?: ArrayLike<number>) => Readonly<Record<string, number>>;
}

/** A context that knows nothing of the item: writes into `into`, which is shaped like `own`. */
export interface Control {
  /** whether another item's last tap is needed */
  readonly needsOther: boolean;
  write(own: Tap, other: Tap | undefined, into: Tap): void;
}

/** A tap to be read, with its time. */
export interface TimedTap {
  readonly tap: Tap;
  readonly time: number;
}

/** How straight the way ahead is at P times of a flow's own way, (V, P) each: what one step of the velocity alone would miss. */
export interface Straightness {
  /**
   * What the identity of average velocities leaves over: ‖u − v ∓ (t − r)·du/dt‖ of a network that jumps, (1 − t)·‖dv/dt‖ of an ordinary flow, whose velocity v
   * stands for its own average; 0 where the way is straight.
   */
  readonly residual: Float32Array;
  /** ‖v‖, to which it is compared */
  readonly speed: Float32Array;
  /** ‖u − v‖, of a network that jumps */
  readonly bend?: Float32Array;
}

/** Measures a flow that can be differentiated: that of the read-out, or the one that a trajectory follows. */
export interface StraightnessMeter<C> {
  /** whose flow: "the action decoder" */
  readonly of: string;
  /** P times, from noise on, in the flow's own convention; M inner steps, N of the trajectory */
  times(steps: { readonly inner: number; readonly stop: number }): readonly number[];
  /**
   * Along one way of each of V copies.
   * @param last what stands at the end of the trajectory
   * @param noise (V) the trajectory's, `readNoise` (V) the read-out's
   */
  measure(
    c: C,
    last: TimedTap,
    noise: readonly Noise[],
    readNoise: readonly Noise[],
    steps: { readonly inner: number; readonly stop: number },
    options: ReadOptions,
  ): Promise<Straightness>;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** after every inner step, with the steps of all noises together */
  readonly onStep?: () => void;
}

export interface DenoiseOptions {
  /** N; default the system's own */
  readonly steps?: number;
  /** the last state that will be asked for: what only later steps need is not computed */
  readonly last?: number;
  /** a schedule by name, where the system has several */
  readonly rule?: string;
  readonly signal?: AbortSignal;
}

/** How a result speaks of what is read, where that is no robot's action after a video. */
export interface ReadOutWords {
  /** "image": after how many calls does it stop changing? */
  readonly what: string;
  /** what errors are errors of: "the classifier's logits" */
  readonly read: string;
  /** "the class asked for" */
  readonly truth: string;
}

/** @typeParam C what an item becomes before denoising */
export interface Subject<C extends Held = Held> {
  readonly gpu: Gpu;
  readonly items: { readonly count: number; read(index: number): Promise<Item> };
  readonly axes: {
    /** stop after k of N steps */
    stop(steps?: number): Axis;
    /** schedules worth comparing, by their steps, where one of any length can be run to its end and read there */
    readonly budget?: readonly number[];
    /** ways to lead a whole schedule, the stop axis' own first, where there are several */
    readonly rules?: readonly Rule[];
    /** steps of the read-out itself */
    inner?(steps?: number): Axis;
  };
  /** default: the probe's own */
  readonly defaults?: Defaults;
  /** T */
  readonly positions: number;
  /** seconds from one position to the next, where the data say */
  readonly interval?: number;
  /** names and units of the D dimensions, and what they mean together */
  readonly dimensions: { readonly names: readonly string[]; readonly units: readonly string[] };
  readonly parts: readonly Part[];
  /** the first is the one that is read by default */
  readonly tapKinds: readonly string[];
  /** default those of a robot's actions after a video */
  readonly words?: ReadOutWords;
  /** whether trajectory and read-out share one seed by default */
  readonly pairsSeeds: boolean;
  /** most trajectories that one batch may hold */
  readonly mostCopies: number;
  noise(item: Item, seed: number): Noise;
  readNoise(item: Item, seed: number): Noise;
  encode(item: Item, copies: number): Promise<C>;
  /** Leaving the loop ends the trajectory. `noise` has one entry for each copy. */
  denoise(c: C, noise: readonly Noise[], options: DenoiseOptions): AsyncIterable<State>;
  /** The recorded future in place of the imagined one, noised as at step k; undefined where an item has none. */
  oracle?(c: C, step: number, noise: readonly Noise[], options: DenoiseOptions): Promise<TimedTap>;
  /** Where its flow can be differentiated. */
  readonly straightness?: StraightnessMeter<C>;
  /** GPU memory: of one tap, and what reading it takes more, for V copies */
  bytes(c: C): { readonly tap: number; readonly readRow: number };
  /** bytes that held taps and their reading may take */
  readonly readBudget: number;
  /**
   * Reads out every tap from every noise; `noises` is (S, V).
   * @param innerSteps M; default the system's own
   * @returns taps × noises, taps slowest
   */
  read(
    taps: readonly TimedTap[],
    c: C,
    noises: readonly (readonly Noise[])[],
    innerSteps: number | undefined,
    options: ReadOptions,
  ): Promise<readonly Reading[]>;
  /** (T, D) each: what a read-out that ignores the scene says, by name (`holdStill`, `datasetMean`) */
  floors(item: Item): Readonly<Record<string, Float32Array<ArrayBuffer>>>;
  readonly controls: Readonly<Record<string, Control>>;
  /** what its readings' samples are together, where that is known; reading them draws nothing (S = 1) */
  readonly population?: Population;
  /** whether its states have `shuffled` */
  readonly shufflesFrames?: boolean;
  /** (…, T, D) normalised → the data's units */
  toData(values: Float32Array, item: Item): Float32Array;
}

/** What holds GPU memory until it is told to let go. */
export interface Held {
  dispose(): void;
}
