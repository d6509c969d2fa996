/**
 * What is to be concluded about stopping early beyond the verdict: how single curves run, what an oracle would gain, whether one episode decides,
 * what rules without training do, and what an error costs. Axis letters: measurement.ts.
 */
import type { EpisodeMeasurement, ProbeMeasurement } from "../experiment/measurement.ts";
import type { BootstrapOptions, ClusterBootstrap } from "./bootstrap.ts";
import type { BudgetAxis } from "./budget.ts";
import type { Chunk, Curve } from "./curve.ts";
import { type ExitRule, type ExitRules, exitRules, type Signal } from "./exit-rules.ts";
import { type NonMonotone, nonMonotone } from "./monotone.ts";
import { type OracleStep, oracleStep } from "./oracle-step.ts";
import { type CostPoint, pareto, type ParetoPoint } from "./pareto.ts";
import { type EpisodeEvidence, leaveOneOut, type Stability } from "./stability.ts";
import type { Verdict } from "./sufficient.ts";
import {
  actionChanges,
  type RunSizes,
  runErrors,
  spreadOverActionSeeds,
  spreadOverVideoSeeds,
  trajectoriesOf,
} from "./trajectories.ts";

export interface Stopping {
  nonMonotone: {
    /** curves that were counted, one for each episode and pair of seeds */
    curves: number;
    /** the margin; null where there is none */
    tolerance: number | null;
    toTruth: NonMonotone | null;
    toLast: NonMonotone;
  };
  /** Null without a truth. */
  oracleStep: OracleStep | null;
  /** Null without a verdict. */
  stability: Stability | null;
  /** Null without a truth, with few episodes, or with one step. */
  exitRules: ExitRules | null;
  /** Null without a truth. */
  pareto: ParetoPoint[] | null;
}

export interface StoppingInputs {
  readonly measurement: ProbeMeasurement;
  readonly sizes: RunSizes;
  readonly bootstrap: ClusterBootstrap;
  readonly clusters: readonly number[];
  /** the same for all intervals */
  readonly options: BootstrapOptions;
  readonly toTruth: Curve | null;
  readonly budget: BudgetAxis | null;
  readonly verdict: Verdict;
  readonly truthScale: number | null;
  readonly floors: EpisodeEvidence["floors"];
  /** asked for */
  readonly margin?: number;
}

export function stoppingStatistics(inputs: StoppingInputs): Stopping {
  const { measurement, sizes, bootstrap, clusters, options, toTruth, budget, verdict } = inputs;
  const { episodes, settings } = measurement;
  const { K, size } = sizes;
  const steps = settings.probeSteps;
  const calls = measurement.stopCalls ?? steps.map((step) => step + 1);
  const last = (episode: EpisodeMeasurement, run: number): Chunk => ({
    data: episode.actions,
    offset: (run * K + K - 1) * size,
  });
  const tolerance = verdict.margin && Number.isFinite(verdict.margin.value) ? verdict.margin.value : null;
  const truths =
    toTruth &&
    runErrors(episodes, sizes, (episode): Chunk => ({
      ...{ data: episode.truth!, offset: 0, known: episode.truthPositions },
    }));
  const rules =
    truths &&
    exitRules({
      ...{ steps, calls, clusters, bootstrap, margin: tolerance, seed: options.seed },
      trajectories: trajectoriesOf(truths, sizes),
      signals: signalsOf(measurement, sizes),
    });
  return {
    nonMonotone: {
      curves: episodes.length * sizes.V * sizes.S,
      tolerance,
      toTruth: truths && nonMonotone(truths, tolerance, bootstrap),
      toLast: nonMonotone(runErrors(episodes, sizes, last), tolerance, bootstrap),
    },
    oracleStep: toTruth && oracleStep(toTruth.perEpisode, bootstrap),
    stability:
      toTruth && verdict.step !== null
        ? leaveOneOut(
            verdict.step,
            {
              ...{ steps, clusters, toTruth: toTruth.perEpisode, truthScale: inputs.truthScale },
              ...{ floors: inputs.floors, margin: inputs.margin },
            },
            options,
          )
        : null,
    exitRules: rules,
    pareto: toTruth && pareto([...stops(toTruth, steps, calls), ...budgets(budget), ...rulePoints(rules)]),
  };
}

/** What a trajectory can be stopped by, of what was measured. */
function signalsOf({ episodes }: ProbeMeasurement, sizes: RunSizes): Signal[] {
  const { V, S, K } = sizes;
  /** (E·V, K); null where any episode has none. */
  const measured = (name: "tapDrift" | "velocityChange"): number[][] | null =>
    episodes.every((episode) => episode[name])
      ? episodes.flatMap((episode) =>
          Array.from({ length: V }, (_, v) => [...episode[name]!.subarray(v * K, (v + 1) * K)]),
        )
      : null;
  const signal = (
    name: string,
    values: number[][] | null,
    more: Omit<Signal, "name" | "values">,
  ): Signal[] => (values ? [{ name, values, ...more }] : []);
  return [
    ...signal("velocity_change", measured("velocityChange"), { trajectories: 1, reads: 0 }),
    ...signal("tap_drift", measured("tapDrift"), { trajectories: 1, reads: 0 }),
    ...signal("action_change", actionChanges(episodes, sizes), { trajectories: 1, reads: 1 }),
    ...signal("spread_over_action_seeds", spreadOverActionSeeds(episodes, sizes), {
      ...{ trajectories: 1, reads: S },
    }),
    ...signal("spread_over_video_seeds", spreadOverVideoSeeds(episodes, sizes), {
      ...{ trajectories: V, reads: V },
    }),
  ];
}

const stops = (toTruth: Curve, steps: readonly number[], calls: readonly number[]): CostPoint[] =>
  steps.map((step, k) => ({
    ...{ way: "stop", rule: null, steps: step, calls: calls[k], reads: 1 },
    ...{ error: toTruth.mean[k], interval: toTruth.interval?.[k] ?? null },
  }));

/** The longest schedule is the stop axis's own end. */
const budgets = (budget: BudgetAxis | null): CostPoint[] =>
  (budget?.steps.slice(0, -1) ?? []).map((steps, b) => ({
    ...{ way: "budget", rule: null, steps, calls: budget!.calls[b], reads: 1 },
    ...{ error: budget!.toTruth!.mean[b], interval: budget!.toTruth!.interval?.[b] ?? null },
  }));

/** Fixed steps stand among the stops. */
const rulePoints = (rules: ExitRules | null): CostPoint[] =>
  (rules?.rules ?? [])
    .filter(({ signal }) => signal !== "fixed")
    .map(({ signal, goal, steps, calls, reads, error }: ExitRule) => ({
      ...{ way: "rule", rule: { signal, goal }, steps, calls, reads },
      ...{ error: error.mean, interval: error.interval },
    }));
