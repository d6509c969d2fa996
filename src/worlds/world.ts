/**
 * A world: what a policy acts in, and what is said of how it went. A simulator answers to what is done; a recorded one shows what was
 * recorded and compares.
 *
 * Axes: t actions that are executed, T those of a chunk, D values of an action.
 */
import type { Observation, PolicyDescription } from "../systems/policy.ts";

/** One thing that is said of a trial. */
export interface Measure {
  readonly name: string;
  /** in words, for people */
  readonly title: string;
  /** "share": 0 or 1 a trial; "amount": a number in `units`, never below 0 */
  readonly kind: "share" | "amount";
  readonly units?: string;
}

/** One task at its beginning, and what becomes of it. */
export interface Scene {
  readonly prompt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** (T, D) what the one would do from the beginning who made the policy's data, in the data's units, where that is known */
  readonly truth?: Float32Array;
  /** What the robot sees now. */
  observe(): Observation;
  /** Carries out (t, D), in the data's units, and judges where that has led. */
  execute(actions: Float32Array): void;
  /** whether there is nothing more to be done */
  readonly over: boolean;
  /** By measure; null where one does not apply. */
  score(): Readonly<Record<string, number | null>>;
}

export interface World {
  readonly name: string;
  /** hash of the data that are shown, where they are no simulation's */
  readonly dataSha256?: string;
  /** actions of a chunk that are executed before the robot looks again */
  readonly actionsPerQuery: number;
  /** most queries of a trial */
  readonly queries: number;
  readonly measures: readonly Measure[];
  /** the label that tells scenes apart where several seeds can be one scene; trials of one scene are one piece of evidence */
  readonly repeats?: string;
  /** What keeps a policy from acting here; undefined: nothing. */
  misfit(policy: PolicyDescription): string | undefined;
  /** Equal seeds are equal scenes. */
  scene(seed: number): Promise<Scene>;
}
