/**
 * From decoded actions to numbers: design.md section 3 in arithmetic. Float64, sums in a fixed order, no randomness
 * but the seeded bootstrap, so equal measurements give equal bytes. Axis letters: measurement.ts.
 *
 * Names: the *last* action is the decode at video step N; the *final* action is the end x_M of the very decode that
 * an iterate belongs to. At video step N they are the same.
 */
import { UsageError } from "../../errors.ts";
import { type BootstrapOptions, clusterBootstrap } from "./bootstrap.ts";
import { type BudgetAxis, budgetAxis } from "./budget.ts";
import { checkEpisode } from "../experiment/checks.ts";
import { type Chunk, type Curve, type CurveContext, errorCurve, meanOf, squaredError } from "./curve.ts";
import { type Estimate, estimateOf } from "./estimate.ts";
import { type ErrorGrid, errorGrid } from "./grid.ts";
import { type EpisodeMeasurement, type ProbeMeasurement, readSeeds } from "../experiment/measurement.ts";
import { type IterateAxis, iterateAxis } from "./iterate-axis.ts";
import { fractions, nullToFinal, nullToTruth } from "./null-curve.ts";
import { independentClusters } from "./independent.ts";
import { type LabelSpread, labelSpreads } from "./label-spread.ts";
import type { Floor, FloorName } from "./margin.ts";
import { type Stopping, stoppingStatistics } from "./stopping.ts";
import { sufficientStep, type Verdict } from "./sufficient.ts";

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

/** Errors in the data's units; those of different dimensions have no common mean. */
export interface DataUnits {
  /** (K, D) */
  toLast: number[][];
  /** (K, D); null where the truth is not known in the data's units. */
  toTruth: number[][] | null;
}

/** How the numbers are made. */
export interface StatisticsOptions extends BootstrapOptions {
  /** How much worse than the last a sufficient step may be, squared normalised units; default: margin.ts. */
  margin?: number;
}

/** Everything that is concluded from decoded actions. */
export interface ProbeStatistics {
  /** K points. */
  videoAxis: TwoReferences;
  /** The same by dimension, in the squared units of the data. */
  dataUnits: DataUnits;
  /** At the last video step: M + 1 points for iterates, M for one-jump estimates; null where the read-out has no steps, as the next two. */
  actionAxis: { iterate: ActionReadOut; oneJump: ActionReadOut } | null;
  /** (M + 1) errors of a straight flow between the same ends. */
  nullCurve: { toFinal: number[]; toTruth: number[] | null } | null;
  grid: ErrorGrid | null;
  /** One-point curves; null where the data or the model define no such chunk. */
  floors: { holdStill: TwoReferences | null; datasetMean: TwoReferences | null };
  /** One-point curves at the last video step; `otherEpisode` is null with one episode. */
  controls: {
    zeroedContext: TwoReferences | null;
    otherEpisode: TwoReferences | null;
    framesShuffled: TwoReferences | null;
  };
  /** K points of decodes from the recorded future; null where there are none. */
  oracle: TwoReferences | null;
  /** Mean squared difference between two seeds' last actions: how far apart equally good answers lie; null with one seed. */
  betweenSeeds: { video: number | null; action: number | null };
  /** The same by what the data say of an episode, at every probe step; empty with one seed, or where the data say nothing. */
  spreadByLabel: LabelSpread[];
  /** Whole schedules read at their ends; null where none were asked. */
  budget: BudgetAxis | null;
  /** (R) the same schedules led by each other rule. */
  otherRules: ({ rule: string } & TwoReferences)[];
  /** The trajectory's own state beside what is read of it; null where they are not of one kind. */
  iterates: IterateAxis | null;
  verdict: Verdict;
  /** MSE(control) − MSE(own) to the truth at the last step, paired by episode; null where either is not known. */
  controlDifferences: Readonly<Record<keyof ProbeStatistics["controls"], Estimate | null>>;
  /** What else is known of stopping early. */
  stopping: Stopping;
  /** How intervals were made; `clusters` counts episodes that are no copies of one another. */
  interval: { level: number; resamples: number; seed: number; clusters: number };
}

/**
 * @throws UsageError if arrays do not fit the settings, or there is no episode.
 * @throws NonFiniteError if a decoded value is not finite.
 * @throws MimicVideoError if two seeds gave equal actions.
 */
export function probeStatistics(
  measurement: ProbeMeasurement,
  { level = 0.95, resamples = 10_000, seed = 0, margin }: StatisticsOptions = {},
): ProbeStatistics {
  const { settings, episodes, chunkLength: T } = measurement;
  const { probeSteps, videoSeeds, actionSeeds, budgets } = settings;
  const [E, V, S, K] = [episodes.length, videoSeeds.length, readSeeds(settings), probeSteps.length];
  const M = measurement.actionTimes.length - 1;
  const D = measurement.actionNames.length;
  const size = T * D;
  if (E === 0)
    throw new UsageError("No episode was measured, so there is nothing to average; measure at least one.");
  const B = budgets?.length ?? 0;
  const rules = settings.rules ?? [];
  const axes = {
    rules: rules.length,
    flowTimes: measurement.flow?.times.length,
    probeSteps: K,
    budgets: B,
    actionSteps: M,
    positions: T,
    dimensions: D,
  };
  const sizes = { videoSeeds, actionSeeds, ...axes };
  for (const episode of episodes) checkEpisode(sizes, episode);

  const clusters = independentClusters(episodes, D);
  const bootstrap = clusterBootstrap(clusters, { level, resamples, seed });
  const { weights } = bootstrap;
  const context: CurveContext = { episodes: E, positions: T, dimensions: D, bootstrap };
  const truthKnown = episodes.every((episode) => episode.truth);

  type Pick = (episode: EpisodeMeasurement, run: number) => Chunk;
  const truth: Pick = (episode) => ({ data: episode.truth!, offset: 0, known: episode.truthPositions });
  /** Values of its truth that are known: the first positions of a chunk. */
  const knownValues = (episode: EpisodeMeasurement): number => (episode.truthPositions ?? T) * D;
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
  const holdStill = episodes.every((episode) => episode.holdStill)
    ? twoReferences(1, () => (episode) => ({ data: episode.holdStill!, offset: 0 }))
    : null;
  const mean = measurement.datasetMean;
  const datasetMean = mean ? twoReferences(1, () => () => ({ data: mean, offset: 0 })) : null;
  const control = (name: "zeroedContext" | "otherContext" | "shuffledContext"): TwoReferences | null =>
    episodes.every((episode) => (episode[name]?.length ?? 0) > 0)
      ? twoReferences(1, () => (episode, run) => ({ data: episode[name]!, offset: run * size }))
      : null;
  const oracle = episodes.every((episode) => episode.oracle)
    ? twoReferences(K, (k) => (episode, run) => ({ data: episode.oracle!, offset: (run * K + k) * size }))
    : null;

  // A read-out without steps has one iterate, its end: no axis.
  const actionAxis = M > 0 ? { iterate: readOut(M + 1, iterate), oneJump: readOut(M, oneJump) } : null;
  const fraction = fractions(measurement.actionTimes);
  const straightToTruth = (toTruth: Curve): number[] => {
    const product = (e: EpisodeMeasurement, run: number) => {
      const [x0, x1] = [iterate(0)(e, run), iterate(M)(e, run)];
      let sum = 0;
      for (let i = 0; i < knownValues(e); i++)
        sum += (x0.data[x0.offset + i] - e.truth![i]) * (x1.data[x1.offset + i] - e.truth![i]);
      return sum / knownValues(e);
    };
    const C = bootstrap.mean(
      episodes.map((e) => meanOf(Array.from({ length: V * S }, (_, run) => product(e, run)))),
    );
    return nullToTruth(toTruth.mean[0], C, toTruth.mean[M], fraction);
  };

  /** (E, K) mean squared difference of two seeds' decodes, over all pairs and all seeds of the other kind; null with one seed. */
  const spreadOver = (seeds: number, others: number, run: (seed: number, other: number) => number) => {
    if (seeds < 2) return null;
    return episodes.map((e) =>
      probeSteps.map((_, k) => {
        const at = decoded(k);
        const all: number[] = [];
        for (let a = 0; a < seeds; a++)
          for (let b = 0; b < a; b++)
            for (let other = 0; other < others; other++)
              all.push(squaredError(at(e, run(a, other)), at(e, run(b, other)), size));
        return meanOf(all);
      }),
    );
  };
  const spread = {
    video: spreadOver(V, S, (v, s) => v * S + s),
    action: spreadOver(S, V, (s, v) => v * S + s),
  };
  const atLast = (rows: number[][] | null): number | null =>
    rows && bootstrap.mean(rows.map((row) => row[K - 1]));
  const spreadByLabel = (["video", "action"] as const).flatMap((seeds) => {
    const rows = spread[seeds];
    return rows ? labelSpreads(episodes, rows, clusters, seeds, { level, resamples, seed }) : [];
  });

  const ended =
    (b: number): Pick =>
    (episode, run) => ({ data: episode.budgetActions!, offset: (run * B + b) * size });
  const budget =
    budgets &&
    budgetAxis(
      {
        ...{ steps: budgets, calls: measurement.budgetCalls ?? budgets.map((steps) => steps + 1) },
        stopCalls: measurement.stopCalls ?? probeSteps.map((step) => step + 1),
        ...twoReferences(B, ended),
      },
      { steps: probeSteps, toTruth: videoAxis.toTruth },
      bootstrap,
    );
  const otherRules = rules.map((rule, r) => ({
    rule,
    ...twoReferences(B, (b) => (episode, run) => ({
      data: episode.ruleActions!,
      offset: ((run * rules.length + r) * B + b) * size,
    })),
  }));
  const { stopNull } = measurement;
  const passed =
    (k: number): Pick =>
    (episode, run) => ({ data: episode.iterates, offset: (run * K + k) * size });
  const iterates =
    stopNull && M === 0 ? iterateAxis(curve(K, passed, last), ifTruth(K, passed), stopNull) : null;
  const controls = {
    zeroedContext: control("zeroedContext"),
    otherEpisode: control("otherContext"),
    framesShuffled: control("shuffledContext"),
  };

  /** (K, D) errors of the decodes as they are in the data's units. */
  const inDataUnits = (reference: (e: EpisodeMeasurement, run: number) => Chunk): number[][] =>
    errorCurve(context, K, function* (e, k) {
      const { dataActions: data } = episodes[e];
      for (let run = 0; run < V * S; run++)
        yield [{ data, offset: (run * K + k) * size }, reference(episodes[e], run)];
    }).perDimension;

  const floorOf = (name: FloorName, level: TwoReferences | null) =>
    level?.toTruth ? [{ name, perEpisode: level.toTruth.perEpisode.map(([error]) => error) }] : [];
  const known = [
    ...floorOf("hold_still", holdStill),
    ...floorOf("dataset_mean", datasetMean),
    ...floorOf("zeroed_context", controls.zeroedContext),
  ];
  const truthScale = truthKnown ? scaleOfTruth(episodes, last, V * S, knownValues) : null;
  const verdict = sufficientStep({
    ...{ steps: probeSteps, toTruth: videoAxis.toTruth, truthScale, margin, bootstrap },
    judgedTogether: measurement.population !== undefined,
    floors: known.map(({ name, perEpisode }): Floor => ({ name, error: bootstrap.mean(perEpisode) })),
  });
  const against = (level: TwoReferences | null): Estimate | null => {
    const own = videoAxis.toTruth?.perEpisode;
    const rows = level?.toTruth?.perEpisode;
    return own && rows
      ? estimateOf(
          rows.map(([error], e) => error - own[e][K - 1]),
          bootstrap,
        )
      : null;
  };

  return {
    videoAxis,
    dataUnits: {
      toLast: inDataUnits((e, run) => ({ data: e.dataActions, offset: (run * K + K - 1) * size })),
      toTruth: episodes.every((e) => e.dataTruth)
        ? inDataUnits((e) => ({ data: e.dataTruth!, offset: 0, known: e.truthPositions }))
        : null,
    },
    actionAxis,
    nullCurve: actionAxis && {
      toFinal: nullToFinal(actionAxis.iterate.toFinal.mean[0], fraction),
      toTruth: actionAxis.iterate.toTruth && straightToTruth(actionAxis.iterate.toTruth),
    },
    grid: actionAxis && errorGrid(episodes, { runs: V * S, K, M, size, positions: T }, weights, truthKnown),
    floors: { holdStill, datasetMean },
    controls,
    oracle,
    betweenSeeds: { video: atLast(spread.video), action: atLast(spread.action) },
    spreadByLabel,
    budget: budget ?? null,
    otherRules,
    iterates,
    verdict,
    controlDifferences: {
      zeroedContext: against(controls.zeroedContext),
      otherEpisode: against(controls.otherEpisode),
      framesShuffled: against(controls.framesShuffled),
    },
    stopping: stoppingStatistics({
      ...{ measurement, sizes: { V, S, K, D, size }, bootstrap, clusters, verdict, truthScale, margin },
      ...{ toTruth: videoAxis.toTruth, budget: budget ?? null, floors: known },
      options: { level, resamples, seed },
    }),
    interval: { level, resamples, seed, clusters: bootstrap.clusters },
  };
}

/** Root mean square of the truth over that of the last decodes. */
export function scaleOfTruth<E extends Pick<EpisodeMeasurement, "truth">>(
  episodes: readonly E[],
  last: (episode: E, run: number) => Chunk,
  runs: number,
  known: (episode: E) => number,
): number {
  let [truths, decodes] = [0, 0];
  for (const episode of episodes)
    for (let run = 0; run < runs; run++) {
      const { data, offset } = last(episode, run);
      for (let i = 0; i < known(episode); i++) {
        truths += episode.truth![i] ** 2;
        decodes += data[offset + i] ** 2;
      }
    }
  return truths === 0 ? 0 : Math.sqrt(truths / decodes);
}
