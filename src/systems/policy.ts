/**
 * A policy: what drives a robot or a simulator. It looks, and answers with a chunk of actions read out after any number of denoising
 * steps. A server and the rollouts are clients of the same object.
 *
 * Axes: F frames, T actions of a chunk, D values of an action, J values of a state.
 */

/** A camera's picture: rows from the top, three bytes a pixel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** (height, width, 3) */
  readonly rgb: Uint8Array;
}

/** What a robot sees at the moment of a query, in the data's units. */
export interface Observation {
  /** by camera, oldest first, the last one now; where there are fewer than the policy looks at, the first one is repeated */
  readonly frames: Readonly<Record<string, readonly Picture[]>>;
  /** (J) */
  readonly state: Float32Array;
  readonly prompt: string;
}

export interface ActOptions {
  /** denoising steps before the actions are read; default the policy's own */
  readonly stop?: number;
  /** of every noise of this query; default 0 */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** One of several questions that are answered together. */
export interface Query {
  readonly observation: Observation;
  /** as in `ActOptions` */
  readonly seed?: number;
}

export interface Acted {
  /** (T, D) in the data's units */
  readonly actions: Float32Array;
  /** milliseconds by part; of the whole batch, where several were asked together */
  readonly timing: Readonly<Record<string, number>>;
}

/** What a policy asks for and gives, for metadata and for checks before a query. */
export interface PolicyDescription {
  readonly name: string;
  /** F frames `interval` seconds apart; pictures of another size than (rows, columns) are resized or refused as the system says */
  readonly cameras: readonly {
    readonly name: string;
    readonly frames: number;
    readonly interval: number;
    readonly size: readonly [rows: number, columns: number];
  }[];
  /** names of the J values */
  readonly state: readonly string[];
  readonly actions: {
    readonly names: readonly string[];
    readonly units: readonly string[];
    /** T */
    readonly positions: number;
    /** seconds between two */
    readonly interval: number;
  };
  /** denoising steps after which actions can be read: 0 to `last` */
  readonly stops: { readonly last: number; readonly default: number };
}

export interface Policy {
  readonly description: PolicyDescription;
  /** An episode begins: what is remembered of the one before is forgotten. */
  reset(): void;
  /** @throws UsageError when the observation or an option does not fit, naming it; the signal's reason when aborted */
  act(observation: Observation, options?: ActOptions): Promise<Acted>;
  /**
   * Several robots at once, each as `act` would answer it but for rounding, where batches are worth it and nothing is remembered between
   * queries.
   */
  actMany?(queries: readonly Query[], options?: Omit<ActOptions, "seed">): Promise<readonly Acted[]>;
  /** Frees what the policy holds besides the model. */
  dispose(): void;
}

/** A recorded episode that a policy can be taken through: it sees what was recorded, whatever it does. */
export interface Recording {
  readonly id: string;
  readonly prompt: string;
  /** by camera, the picture before each action */
  readonly frames: Readonly<Record<string, readonly Picture[]>>;
  /** (steps, D) what was really done, in the data's units, where that is known */
  readonly actions?: Float32Array;
}

/** Recorded episodes of a policy. */
export interface RecordedTrials {
  readonly count: number;
  /** of the longest */
  readonly steps: number;
  /** hash of the recordings' bytes, for the provenance stamp */
  sha256(): Promise<string>;
  read(index: number): Promise<Recording>;
}
