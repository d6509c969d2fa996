/**
 * What must be true of a measurement before it is worth a mean: sizes fit, values are finite, and every seed made a
 * difference. Asked after each episode, before it is saved.
 */
import { MimicVideoError, NonFiniteError, UsageError } from "../../errors.ts";
import { type EpisodeMeasurement, readSeeds } from "./measurement.ts";

/** Sizes by axis letter (measurement.ts) and the seeds behind V and S. */
export interface MeasurementShape {
  videoSeeds: number[];
  actionSeeds: number[] | "same";
  /** K */
  probeSteps: number;
  /** B, default none */
  budgets?: number;
  /** R, default none */
  rules?: number;
  /** F, default none */
  features?: number;
  /** M */
  actionSteps: number;
  /** P, times at which the straightness of a flow was measured; default none */
  flowTimes?: number;
  /** T */
  positions: number;
  /** D */
  dimensions: number;
}

/**
 * @throws UsageError if an array has the wrong size.
 * @throws NonFiniteError naming the first array with a value that is not finite.
 * @throws MimicVideoError if two seeds gave the same actions at every probe step.
 */
export function checkEpisode(shape: MeasurementShape, episode: EpisodeMeasurement): void {
  const { videoSeeds, actionSeeds, probeSteps: K, budgets: B = 0, positions: T, dimensions: D } = shape;
  const { actionSteps: M, rules: R = 0, features: F, flowTimes: P = 0 } = shape;
  const seeds = videoSeeds.length * readSeeds({ actionSeeds });
  const size = T * D;
  const arrays: [string, Float32Array | undefined, number][] = [
    ["truth", episode.truth, size],
    ["dataTruth", episode.dataTruth, size],
    ["holdStill", episode.holdStill, size],
    ["actions", episode.actions, seeds * K * size],
    ["dataActions", episode.dataActions, seeds * K * size],
    ["oracle", episode.oracle, seeds * K * size],
    ["budgetActions", episode.budgetActions, seeds * B * size],
    ["dataBudgetActions", episode.dataBudgetActions, seeds * B * size],
    ["ruleActions", episode.ruleActions, seeds * R * B * size],
    ["samples", F === undefined ? undefined : episode.samples, seeds * (K + (1 + R) * B) * (F ?? 0)],
    ["iterates", episode.iterates, seeds * K * (M + 1) * size],
    ["oneJump", episode.oneJump, seeds * K * M * size],
    // Empty where there is no such control.
    ["zeroedContext", episode.zeroedContext.length === 0 ? undefined : episode.zeroedContext, seeds * size],
    ["otherContext", episode.otherContext.length === 0 ? undefined : episode.otherContext, seeds * size],
    ["shuffledContext", episode.shuffledContext, seeds * size],
    ...(["flowResidual", "flowSpeed", "flowBend"] as const).map(
      (name): [string, Float32Array | undefined, number] => [name, episode[name], videoSeeds.length * P],
    ),
    ...(["tapCosine", "tapCosineNull", "tapCka", "tapCkaNull"] as const).map(
      (name): [string, Float32Array | undefined, number] => [name, episode[name], videoSeeds.length * K * K],
    ),
  ];
  for (const [name, array, expected] of arrays) {
    if (!array) continue;
    if (array.length !== expected)
      throw new UsageError(
        `Episode ${episode.episode}: ${name} has ${array.length} values; ${expected} are needed for V=${videoSeeds.length}, ` +
          `S=${readSeeds({ actionSeeds })}, K=${K}, M=${M}, T=${T}, D=${D}. Decode every probe step of every seed.`,
      );
    const bad = array.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new NonFiniteError(
        `Episode ${episode.episode}: ${name} holds ${array[bad]} at index ${bad} of ${array.length}. ` +
          "Nothing can be concluded from it; try --dtype f32, another --adapter, or other inputs.",
      );
  }
  checkSeedsDiffer(shape, episode);
}

// Compared over all probe steps: where a flow ends in one point, seeds may well agree at the last.
function checkSeedsDiffer(shape: MeasurementShape, { episode, actions }: EpisodeMeasurement): void {
  const { videoSeeds, actionSeeds, probeSteps: K, positions, dimensions } = shape;
  const size = positions * dimensions;
  const chunk = (v: number, s: number) => {
    const run = v * readSeeds({ actionSeeds }) + s;
    return actions.subarray(run * K * size, (run + 1) * K * size);
  };
  const refuseEqual = (kind: string, one: number, two: number, a: Float32Array, b: Float32Array) => {
    if (!a.every((value, i) => value === b[i])) return;
    throw new MimicVideoError(
      `Episode ${episode}: ${kind} seeds ${one} and ${two} gave the same ${size} values at each of ${K} probe steps, so ` +
        `the ${kind} noise does not reach the actions and an interval over seeds would be a lie. Use distinct noise ` +
        `for each seed, or measure one ${kind} seed (--${kind}-seeds 1).`,
    );
  };
  for (let v = 1; v < videoSeeds.length; v++)
    for (let w = 0; w < v; w++) refuseEqual("video", videoSeeds[w], videoSeeds[v], chunk(w, 0), chunk(v, 0));
  if (actionSeeds === "same") return;
  for (let s = 1; s < actionSeeds.length; s++)
    for (let r = 0; r < s; r++)
      refuseEqual("action", actionSeeds[r], actionSeeds[s], chunk(0, r), chunk(0, s));
}
