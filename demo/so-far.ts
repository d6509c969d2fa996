/**
 * In the worker: what is known of a run before it has ended. From the decodes of every episode whose last step was reached, the verdict of
 * src/probe/statistics, by the same functions that count the whole run. Axis letters as in protocol.ts.
 */
import type { FullSettings } from "../src/probe/experiment/measurement.ts";
import { verdictResult } from "../src/probe/result/verdict.ts";
import { clusterBootstrap } from "../src/probe/statistics/bootstrap.ts";
import { type Chunk, type CurveContext, errorCurve } from "../src/probe/statistics/curve.ts";
import { independentClusters } from "../src/probe/statistics/independent.ts";
import type { Floor } from "../src/probe/statistics/margin.ts";
import { scaleOfTruth } from "../src/probe/statistics/statistics.ts";
import { sufficientStep } from "../src/probe/statistics/sufficient.ts";
import type { Item } from "../src/probe/subject.ts";
import type { SoFarView, StateView } from "./protocol.ts";

/** One episode's decodes at every probed step. */
export interface Decoded extends Pick<Item, "id" | "prompt" | "labels" | "truthPositions"> {
  readonly index: number;
  readonly truth?: Float32Array;
  readonly holdStill?: Float32Array;
  /** (K, runs, T, D) */
  readonly actions: Float32Array;
}

export interface Sizes {
  readonly positions: number;
  readonly dimensions: number;
  /** M */
  readonly actionSteps: number;
}

/** Gathers the states of a run. */
export class SoFar {
  readonly #settings: Pick<FullSettings, "episodes" | "probeSteps">;
  readonly #sizes: Sizes;
  readonly #datasetMean: Float32Array | undefined;
  readonly #whole: Decoded[] = [];
  #open = new Map<number, Map<number, Float32Array>>();

  constructor(
    settings: Pick<FullSettings, "episodes" | "probeSteps">,
    sizes: Sizes,
    datasetMean: Float32Array | undefined,
  ) {
    this.#settings = settings;
    this.#sizes = sizes;
    this.#datasetMean = datasetMean;
  }

  /**
   * @param holdStill (T, D) the chunk of a robot that does not move
   * @returns what is known now, when the state was an episode's last
   */
  add(state: StateView, item: Item, holdStill: Float32Array | undefined): SoFarView | undefined {
    const { probeSteps } = this.#settings;
    const steps = this.#open.get(item.index) ?? new Map<number, Float32Array>();
    this.#open.set(item.index, steps);
    steps.set(state.step, this.#decodes(state));
    if (steps.size < probeSteps.length) return undefined;
    this.#open.delete(item.index);
    const parts = probeSteps.map((step) => steps.get(step)!);
    const actions = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    parts.forEach((part, k) => actions.set(part, k * part.length));
    const { index, id, prompt, labels, truth, truthPositions } = item;
    this.#whole.push({ index, id, prompt, labels, truth, truthPositions, holdStill, actions });
    return verdictSoFar(this.#whole, this.#settings, this.#sizes, this.#datasetMean);
  }

  /** (runs, T, D) the ends of all decodes. */
  #decodes({ iterates }: StateView): Float32Array {
    const { positions, dimensions, actionSteps } = this.#sizes;
    const size = positions * dimensions;
    const runs = iterates.length / (size * (actionSteps + 1));
    const ends = new Float32Array(runs * size);
    for (let run = 0; run < runs; run++) {
      const from = (run * (actionSteps + 1) + actionSteps) * size;
      ends.set(iterates.subarray(from, from + size), run * size);
    }
    return ends;
  }
}

/** The curves with their intervals, and the verdict, of so many episodes. */
export function verdictSoFar(
  found: readonly Decoded[],
  { episodes: asked, probeSteps }: Pick<FullSettings, "episodes" | "probeSteps">,
  { positions: T, dimensions: D }: Sizes,
  datasetMean: Float32Array | undefined,
): SoFarView {
  // In the run's own order, so that sums and resamples are those of its end.
  const list = [...found].sort((a, b) => asked.indexOf(a.index) - asked.indexOf(b.index));
  const K = probeSteps.length;
  const size = T * D;
  const runs = list[0].actions.length / (K * size);
  const bootstrap = clusterBootstrap(independentClusters(list, D));
  const context: CurveContext = { episodes: list.length, positions: T, dimensions: D, bootstrap };
  const decode = (e: Decoded, k: number, run: number): Chunk => ({
    data: e.actions,
    offset: (k * runs + run) * size,
  });
  const truth = (e: Decoded): Chunk => ({ data: e.truth!, offset: 0, known: e.truthPositions });
  const known = list.every((e) => e.truth);
  const curve = (reference: (e: Decoded, run: number) => Chunk) =>
    errorCurve(context, K, function* (e, k) {
      for (let run = 0; run < runs; run++) yield [decode(list[e], k, run), reference(list[e], run)];
    });
  const toLast = curve((e, run) => decode(e, K - 1, run));
  const toTruth = known ? curve(truth) : null;
  const floor = (name: Floor["name"], of: (e: Decoded) => Float32Array | undefined): Floor[] => {
    if (!known || !list.every(of)) return [];
    const level = errorCurve(context, 1, function* (e) {
      yield [{ data: of(list[e])!, offset: 0 }, truth(list[e])];
    });
    return [{ name, error: level.mean[0] }];
  };
  const floors = [...floor("hold_still", (e) => e.holdStill), ...floor("dataset_mean", () => datasetMean)];
  const last = (e: Decoded, run: number): Chunk => decode(e, K - 1, run);
  const knownValues = (e: Decoded): number => (e.truthPositions ?? T) * D;
  const truthScale = known ? scaleOfTruth(list, last, runs, knownValues) : null;
  const verdict = sufficientStep({ steps: probeSteps, toTruth, truthScale, floors, bootstrap });
  return {
    episodes: list.map(({ index }) => index),
    of: asked.length,
    steps: [...probeSteps],
    toTruth: toTruth && { mean: toTruth.mean, interval: toTruth.interval },
    toLast: { mean: toLast.mean, interval: toLast.interval },
    floors,
    verdict: verdictResult(verdict, probeSteps),
  };
}
