/** The curves while a run goes on: of one episode from the states that have arrived, then of all episodes measured so far. */
import { chunksAt, meanError } from "./chunk.ts";
import type { LiveCurves } from "./panels.ts";
import type { EpisodeView, ModelView, SoFarView, StateView } from "./protocol.ts";
import type { ShownRun } from "./scene.ts";

/** @returns undefined as long as no state has arrived */
export function liveCurves(
  model: ModelView,
  run: ShownRun,
  episode: EpisodeView,
  states: readonly (StateView | undefined)[],
): LiveCurves | undefined {
  const reached = states.filter((state) => state !== undefined);
  const newest = reached.at(-1);
  if (!newest) return undefined;
  const M = run.actionSteps;
  const decoded = (state: StateView): Float32Array[] => chunksAt(state, model, M, M);
  const truth = run.edited?.episode === episode.index ? undefined : episode.truth;
  const complete = reached.length === run.steps.length;
  // Where a read-out has no steps there is nothing inside it.
  const iterates = M > 0 ? Array.from({ length: M + 1 }, (_, n) => chunksAt(newest, model, M, n)) : [];
  return {
    videoSteps: run.videoSteps,
    steps: reached.map(({ step }) => step),
    toTruth: truth && reached.map((state) => meanError(decoded(state), [truth])),
    toLast: complete ? reached.map((state) => meanError(decoded(state), decoded(newest))) : undefined,
    holdStill: truth && episode.holdStill && meanError([episode.holdStill], [truth]),
    datasetMean: truth && model.datasetMean && meanError([model.datasetMean], [truth]),
    iterateToFinal: iterates.map((chunks) => meanError(chunks, iterates[M])),
    iterateToTruth: truth && iterates.map((chunks) => meanError(chunks, [truth])),
  };
}

/** The curves by video step of several episodes; those inside a decode stay the watched one's, whose newest decode they belong to. */
export function meanCurves(
  { videoSteps }: ShownRun,
  { steps, toTruth, toLast, floors }: SoFarView,
  watched: LiveCurves | undefined,
): LiveCurves {
  const floor = (name: string): number | undefined => floors.find((one) => one.name === name)?.error;
  return {
    ...{ videoSteps, steps, holdStill: floor("hold_still"), datasetMean: floor("dataset_mean") },
    ...{ toTruth: toTruth?.mean, toTruthInterval: toTruth?.interval },
    ...{ toLast: toLast.mean, toLastInterval: toLast.interval },
    iterateToFinal: watched?.iterateToFinal ?? [],
    iterateToTruth: watched?.iterateToTruth,
  };
}
