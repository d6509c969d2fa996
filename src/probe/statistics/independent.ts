/** Which episodes are evidence of their own. A copy of an episode narrows an interval without teaching anything. */
import type { EpisodeMeasurement } from "../experiment/measurement.ts";

/** What tells a copy. */
type Evidence = Pick<EpisodeMeasurement, "id" | "prompt" | "labels" | "truth" | "holdStill" | "actions">;

/** The label of windows that were cut from one recording. */
export const RECORDING = "recording";

/**
 * The cluster of each episode, numbered from 0 in order of first appearance. Two episodes are one where the data say that they are windows of
 * one recording (a label `recording`), or where their truth is equal to the last bit and
 *
 *   - so is everything decoded (copies under one noise), or
 *   - they bear one id and one prompt, or
 *   - they have one prompt, one floor, and a truth that changes from position to position: two recordings of a robot that
 *     stands still, or of one constant push, may well agree.
 *
 * @param dimensions D.
 */
export function independentClusters(episodes: readonly Evidence[], dimensions: number): number[] {
  const clusterOf: number[] = [];
  let clusters = 0;
  episodes.forEach((episode, e) => {
    const twin = episodes.findIndex((other, i) => i < e && areOne(other, episode, dimensions));
    clusterOf.push(twin < 0 ? clusters++ : clusterOf[twin]);
  });
  return clusterOf;
}

function areOne(a: Evidence, b: Evidence, dimensions: number): boolean {
  if (a.labels?.[RECORDING] !== undefined && a.labels[RECORDING] === b.labels?.[RECORDING]) return true;
  if (!areEqual(a.truth, b.truth)) return false;
  if (areEqual(a.actions, b.actions)) return true;
  if (!a.truth || a.prompt !== b.prompt) return false;
  return a.id === b.id || (areEqual(a.holdStill, b.holdStill) && moves(a.truth, dimensions));
}

function areEqual(a: Float32Array | undefined, b: Float32Array | undefined): boolean {
  if (!a || !b) return a === b;
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** Whether a chunk (T, D) has positions that differ. */
const moves = (truth: Float32Array, D: number): boolean =>
  truth.some((value, i) => i >= D && value !== truth[i - D]);
