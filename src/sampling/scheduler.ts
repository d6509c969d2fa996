/**
 * What a sampler does, as numbers. Every solver of a diffusion or flow model is linear in the state and in what the network said, so a
 * scheduler is a table of coefficients, known to the host in float64; the loop (sample.ts) knows no solver by name.
 *
 * Names, k a state, i a call of the network: x the state, f the network's output at call i, clean the estimate of clean data made
 * of both.
 *
 *   f     = network(input(i)·x, call(i))
 *   clean = clean(i).x · x + clean(i).f · f                  clamped, constrained to what is known
 *   x     ← correct · (x, clean, f, past, noise)             where a solver corrects what it predicted before
 *   x     ← predict · (x, clean, f, past, noise)
 *
 * `past` are the cleans or the outputs f of the calls before, newest first; before the first call they are zero.
 */

/** What the network is told: a time, or for models of an average velocity the two ends of an interval. */
export interface Call {
  readonly at: number;
  readonly until?: number;
}

/** Coefficients; what is left out is 0. */
export interface Terms {
  readonly x?: number;
  readonly clean?: number;
  readonly f?: number;
  readonly past?: readonly number[];
  /** of fresh standard Gaussian noise */
  readonly noise?: number;
}

export interface Scheduler {
  readonly name: string;
  /** times of the N + 1 states */
  readonly times: readonly number[];
  /** which call stands at each state; the last state's is made only for what is tapped there */
  readonly states: readonly number[];
  /** what `past` holds, and how many of them */
  readonly history: { readonly of: "clean" | "f"; readonly length: number };
  /** limits of the clean estimate, where a solver has them */
  readonly clamp?: readonly [low: number, high: number];
  call(i: number): Call;
  /** factor on the state before it enters the network; default 1 */
  input?(i: number): number;
  /** the clean estimate; needed where it is a term, remembered, clamped or constrained */
  clean?(i: number): { readonly x: number; readonly f: number };
  step(i: number): { readonly correct?: Terms; readonly predict: Terms };
}

/** Number of steps, N. */
export const stepsOf = ({ times }: Scheduler): number => times.length - 1;
