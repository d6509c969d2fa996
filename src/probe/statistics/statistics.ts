/**
 * From decoded actions to numbers: design.md section 3 in arithmetic. Float64, sums in a fixed order, no randomness
 * but the seeded bootstrap, so equal measurements give equal bytes. Axis letters: measurement.ts.
 *
 * Names: the *last* action is the decode at video step N; the *final* action is the end x_M of the very decode that
 * an iterate belongs to. At video step N they are the same.
 */
import { UsageError } from "../../errors.ts";
import { type BootstrapOptions, clusterBootstrap } from "./bootstrap.ts";
import { checkEpisode } from "../experiment/checks.ts";
import { type Chunk, type Curve, type CurveContext, errorCurve, meanOf, squaredError } from "./curve.ts";
import { type ErrorGrid, errorGrid } from "./grid.ts";
import { type EpisodeMeasurement, type ProbeMeasurement, readSeeds } from "../experiment/measurement.ts";
import { fractions, nullToFinal, nullToTruth } from "./null-curve.ts";
import { type SufficientStep, sufficientStep } from "./sufficient.ts";

/** An error against both references; null where the reference is not known. */
export interface TwoReferences {
  toLast: Curve;
  toTruth: Curve | null;
}

/** An action-axis read-out at the last video step against both references. */
export interface ActionReadOut {
  /** Against x_M of the same decode. */
  toFinal: Curve;
  toTruth: Curve | null;
}

/** Everything that is concluded from decoded actions. */
export interface ProbeStatistics {
  /** K points. */
  videoAxis: TwoReferences;
  /** At the last video step: M + 1 points for iterates, M for one-jump estimates. */
  actionAxis: { iterate: ActionReadOut; oneJump: ActionReadOut };
  /** (M + 1) errors of a straight flow between the same ends. */
  nullCurve: { toFinal: number[]; toTruth: number[] | null };
  grid: ErrorGrid;
  /** One-point curves; null where the data or the model define no such chunk. */
  floors: { holdStill: TwoReferences | null; datasetMean: TwoReferences | null };
  /** One-point curves at the last video step; `otherEpisode` is null with one episode. */
  controls: { zeroedContext: TwoReferences | null; otherEpisode: TwoReferences | null };
  /** K points of decodes from the recorded future; null where there are none. */
  oracle: TwoReferences | null;
  /** Mean squared difference between two seeds' last actions: how far apart equally good answers lie; null with one seed. */
  betweenSeeds: { video: number | null; action: number | null };
  sufficient: SufficientStep;
  /** How intervals were made. */
  interval: { level: number; resamples: number; seed: number; clusters: number };
}

/**
 * @throws UsageError if arrays do not fit the settings, or there is no episode.
 * @throws NonFiniteError if a decoded value is not finite.
 * @throws MimicVideoError if two seeds gave equal actions.
 */
export function probeStatistics(
  measurement: ProbeMeasurement,
  { level = 0.95, resamples = 2000, seed = 0 }: BootstrapOptions = {},
): ProbeStatistics {
  const { settings, episodes, chunkLength: T } = measurement;
  const { probeSteps, videoSeeds, actionSeeds } = settings;
  const [E, V, S, K] = [episodes.length, videoSeeds.length, readSeeds(settings), probeSteps.length];
  const M = measurement.actionTimes.length - 1;
  const D = measurement.actionNames.length;
  const size = T * D;
  if (E === 0)
    throw new UsageError("No episode was measured, so there is nothing to average; measure at least one.");
  const sizes = { videoSeeds, actionSeeds, probeSteps: K, actionSteps: M, positions: T, dimensions: D };
  for (const episode of episodes) checkEpisode(sizes, episode);

  const bootstrap = clusterBootstrap(E, { level, resamples, seed });
  const context: CurveContext = { episodes: E, positions: T, dimensions: D, bootstrap };
  const truthKnown = episodes.every((episode) => episode.truth);

  type Pick = (episode: EpisodeMeasurement, run: number) => Chunk;
  const truth: Pick = (episode) => ({ data: episode.truth!, offset: 0 });
  const decoded =
    (k: number): Pick =>
    (episode, run) => ({
      data: episode.actions,
      offset: (run * K + k) * size,
    });
  const last = decoded(K - 1);
  const iterate =
    (n: number): Pick =>
    (episode, run) => ({
      data: episode.iterates,
      offset: ((run * K + K - 1) * (M + 1) + n) * size,
    });
  const oneJump =
    (n: number): Pick =>
    (episode, run) => ({
      data: episode.oneJump,
      offset: ((run * K + K - 1) * M + n) * size,
    });

  // `run` counts (video seed, action seed) pairs.
  const curve = (points: number, estimate: (point: number) => Pick, reference: Pick): Curve =>
    errorCurve(context, points, function* (e, point) {
      const pick = estimate(point);
      for (let run = 0; run < V * S; run++) yield [pick(episodes[e], run), reference(episodes[e], run)];
    });
  const ifTruth = (points: number, estimate: (point: number) => Pick): Curve | null =>
    truthKnown ? curve(points, estimate, truth) : null;
  const twoReferences = (points: number, estimate: (point: number) => Pick): TwoReferences => ({
    toLast: curve(points, estimate, last),
    toTruth: ifTruth(points, estimate),
  });
  const readOut = (points: number, estimate: (point: number) => Pick): ActionReadOut => ({
    toFinal: curve(points, estimate, iterate(M)),
    toTruth: ifTruth(points, estimate),
  });

  const videoAxis = twoReferences(K, decoded);
  const iterates = readOut(M + 1, iterate);
  const holdStill = episodes.every((episode) => episode.holdStill)
    ? twoReferences(1, () => (episode) => ({ data: episode.holdStill!, offset: 0 }))
    : null;
  const mean = measurement.datasetMean;
  const datasetMean = mean ? twoReferences(1, () => () => ({ data: mean, offset: 0 })) : null;
  const control = (name: "zeroedContext" | "otherContext"): TwoReferences | null =>
    episodes.every((episode) => episode[name].length > 0)
      ? twoReferences(1, () => (episode, run) => ({ data: episode[name], offset: run * size }))
      : null;
  const oracle = episodes.every((episode) => episode.oracle)
    ? twoReferences(K, (k) => (episode, run) => ({ data: episode.oracle!, offset: (run * K + k) * size }))
    : null;

  const fraction = fractions(measurement.actionTimes);
  const straightToTruth = (): number[] => {
    const product = (e: EpisodeMeasurement, run: number) => {
      const [x0, x1] = [iterate(0)(e, run), iterate(M)(e, run)];
      let sum = 0;
      for (let i = 0; i < size; i++)
        sum += (x0.data[x0.offset + i] - e.truth![i]) * (x1.data[x1.offset + i] - e.truth![i]);
      return sum / size;
    };
    const C = meanOf(episodes.flatMap((e) => Array.from({ length: V * S }, (_, run) => product(e, run))));
    return nullToTruth(iterates.toTruth!.mean[0], C, iterates.toTruth!.mean[M], fraction);
  };

  const difference = (e: EpisodeMeasurement, a: number, b: number) =>
    squaredError(last(e, a), last(e, b), size);
  const betweenSeeds = (seeds: number, others: number, run: (seed: number, other: number) => number) => {
    const all: number[] = [];
    for (const e of episodes)
      for (let a = 0; a < seeds; a++)
        for (let b = 0; b < a; b++)
          for (let other = 0; other < others; other++) all.push(difference(e, run(a, other), run(b, other)));
    return all.length > 0 ? meanOf(all) : null;
  };

  return {
    videoAxis,
    actionAxis: { iterate: iterates, oneJump: readOut(M, oneJump) },
    nullCurve: {
      toFinal: nullToFinal(iterates.toFinal.mean[0], fraction),
      toTruth: truthKnown ? straightToTruth() : null,
    },
    grid: errorGrid(episodes, { runs: V * S, K, M, size }, truthKnown),
    floors: { holdStill, datasetMean },
    controls: {
      zeroedContext: control("zeroedContext"),
      otherEpisode: control("otherContext"),
    },
    oracle,
    betweenSeeds: {
      video: betweenSeeds(V, S, (v, s) => v * S + s),
      action: betweenSeeds(S, V, (s, v) => v * S + s),
    },
    sufficient: sufficientStep(probeSteps, videoAxis.toTruth, holdStill?.toTruth?.mean[0] ?? null, bootstrap),
    interval: { level, resamples, seed, clusters: E },
  };
}
