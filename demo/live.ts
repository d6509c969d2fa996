/** The curves of one episode while its run goes on, from the states that have arrived. */
import { chunksAt, meanError } from "./chunk.ts";
import type { LiveCurves } from "./panels.ts";
import type { EpisodeView, ModelView, StateView } from "./protocol.ts";
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
