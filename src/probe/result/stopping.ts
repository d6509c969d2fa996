/** What a result says of stopping early beyond its verdict, as `probe.json` has it; the quantities are in statistics/stopping.ts. */
import type { Interval } from "../statistics/bootstrap.ts";
import type { Estimate } from "../statistics/estimate.ts";
import type { ExitRule, Goal } from "../statistics/exit-rules.ts";
import type { NonMonotone } from "../statistics/monotone.ts";
import type { Stopping } from "../statistics/stopping.ts";
import { about, boolean, list, nullable, number, object, oneOf, type Shape, text } from "./shape.ts";

/** E episodes, K probed steps. Errors in squared normalised units; steps are steps of the schedule. */
export interface StoppingResult {
  /** Shares 0..1 of the curves of single runs that rise somewhere along the probed steps; null in older files. */
  non_monotone: {
    /** E × video seeds × action seeds */
    curves: number;
    /** the verdict's margin; null where there is none */
    tolerance: number | null;
    to_last: NonMonotone;
    to_truth: NonMonotone | null;
  } | null;
  /** Of each episode the probed step with the smallest error to the truth, which nobody knows beforehand; null without a truth. */
  oracle_step: {
    /** (E) */
    per_episode: number[];
    error: Estimate;
    /** (K) mean error of stopping everywhere at k less that of the oracle */
    regret: number[];
    regret_interval: Interval[] | null;
  } | null;
  /** The sufficient step again without each independent episode in turn; null without a verdict. */
  leave_one_out: {
    runs: number;
    /** independent episodes left out at once; more than 1 with many episodes */
    left_out: number;
    /** share 0..1 of runs that give the same step */
    same: number;
    /** smallest and largest step that a run gives */
    range: { least: number; most: number } | null;
    undetermined: number;
  } | null;
  /** Rules that need no training, their thresholds chosen on the other half of the episodes; null where they cannot be judged. */
  exit_rules: {
    /** independent episodes in each half */
    halves: number[];
    /** always to the last step */
    last: { steps: number; error: Estimate };
    /** each trajectory at its own best step */
    oracle: { steps: number; error: Estimate };
    rules: ExitRuleResult[];
  } | null;
  /** Every way to stop by what it costs; null without a truth. */
  pareto: ParetoResult[] | null;
}

export interface ExitRuleResult {
  /** "fixed": one step for all */
  signal: string;
  goal: Goal;
  /** of the first half, chosen on the second, and the other way round; null: never before the last. Of "fixed" the steps. */
  thresholds: (number | null)[];
  /** means over trajectories */
  steps: number;
  steps_saved: number;
  calls: number;
  reads: number;
  error: Estimate;
  /** against each trajectory's own best step */
  regret: Estimate;
  /** paired by episode; null for "fixed" itself */
  against_fixed: { error: Estimate; steps: number } | null;
}

export interface ParetoResult {
  way: "stop" | "budget" | "rule";
  /** null but for rules, as the next */
  signal: string | null;
  goal: Goal | null;
  steps: number;
  calls: number;
  reads: number;
  error: number;
  interval: Interval | null;
  /** another costs no more, errs no more, and is better in one of them */
  dominated: boolean;
}

/** @param steps (K) probed steps. */
export function stoppingResult(stopping: Stopping, steps: readonly number[]): StoppingResult {
  const { nonMonotone, oracleStep, stability, exitRules, pareto } = stopping;
  const range = stability?.range;
  const rule = ({ againstFixed, ...own }: ExitRule, last: number): ExitRuleResult => ({
    ...own,
    steps_saved: last - own.steps,
    against_fixed: againstFixed,
  });
  return {
    non_monotone: {
      ...{ curves: nonMonotone.curves, tolerance: nonMonotone.tolerance },
      ...{ to_last: nonMonotone.toLast, to_truth: nonMonotone.toTruth },
    },
    oracle_step: oracleStep && {
      per_episode: oracleStep.places.map((k) => steps[k]),
      ...{ error: oracleStep.error, regret: oracleStep.regret, regret_interval: oracleStep.regretInterval },
    },
    leave_one_out: stability && {
      ...{ runs: stability.runs, left_out: stability.leftOut, same: stability.same },
      range: range ? { least: range[0], most: range[1] } : null,
      undetermined: stability.undetermined,
    },
    exit_rules: exitRules && {
      ...{ halves: exitRules.halves, last: exitRules.last, oracle: exitRules.oracle },
      rules: exitRules.rules.map((one) => rule(one, exitRules.last.steps)),
    },
    pareto:
      pareto &&
      pareto.map(({ rule: from, ...point }) => ({
        way: point.way,
        ...{ signal: from?.signal ?? null, goal: from?.goal ?? null },
        ...{ steps: point.steps, calls: point.calls, reads: point.reads },
        ...{ error: point.error, interval: point.interval, dominated: point.dominated },
      })),
  };
}

const amount = number({ least: 0 });
const share = number({ least: 0, most: 1 });
const whole = number({ least: 0, most: 2 ** 32, whole: true });
const interval = object<Interval>({ low: number(), high: number() });
const goal = oneOf("least_error", "fewest_steps");

/** A mean with its interval. */
export const ESTIMATE: Shape<Estimate> = object<Estimate>({ mean: number(), interval: nullable(interval) });

const nonMonotone = object<NonMonotone>({ any: ESTIMATE, beyond: nullable(ESTIMATE) });
const stopped = object<{ steps: number; error: Estimate }>({ steps: amount, error: ESTIMATE });

type Known<Key extends keyof StoppingResult> = NonNullable<StoppingResult[Key]>;

/** Each key described, for result-shape.ts. */
export const STOPPING_SHAPES: { readonly [K in keyof StoppingResult]-?: Shape<StoppingResult[K]> } = {
  non_monotone: about(
    "Shares of the curves of single runs that rise somewhere along the probed steps: at all, and by more than the tolerance.",
    nullable(
      object<Known<"non_monotone">>({
        ...{ curves: whole, tolerance: nullable(amount) },
        ...{ to_last: nonMonotone, to_truth: nullable(nonMonotone) },
      }),
    ),
  ),
  oracle_step: about(
    "Of each episode the probed step with the smallest error to the truth, known only afterwards.",
    nullable(
      object<Known<"oracle_step">>({
        ...{ per_episode: list(whole, "E"), error: ESTIMATE },
        ...{ regret: list(amount, "K"), regret_interval: nullable(list(interval, "K")) },
      }),
    ),
  ),
  leave_one_out: about(
    "The sufficient step again without each independent episode in turn.",
    nullable(
      object<Known<"leave_one_out">>({
        ...{ runs: whole, left_out: whole, same: share },
        range: nullable(object<{ least: number; most: number }>({ least: whole, most: whole })),
        undetermined: whole,
      }),
    ),
  ),
  exit_rules: about(
    "Training-free rules that stop where a signal has fallen to a threshold, chosen on the other half of the episodes.",
    nullable(
      object<Known<"exit_rules">>({
        ...{ halves: list(whole), last: stopped, oracle: stopped },
        rules: list(
          object<ExitRuleResult>({
            ...{ signal: text(), goal, thresholds: list(nullable(number())) },
            ...{ steps: amount, steps_saved: number(), calls: amount, reads: amount },
            ...{ error: ESTIMATE, regret: ESTIMATE },
            against_fixed: nullable(
              object<NonNullable<ExitRuleResult["against_fixed"]>>({ error: ESTIMATE, steps: number() }),
            ),
          }),
        ),
      }),
    ),
  ),
  pareto: about(
    "Every way to stop by calls of the network and read-outs against its error to the truth.",
    nullable(
      list(
        object<ParetoResult>({
          ...{ way: oneOf("stop", "budget", "rule"), signal: nullable(text()), goal: nullable(goal) },
          ...{ steps: amount, calls: amount, reads: amount, error: amount },
          ...{ interval: nullable(interval), dominated: boolean },
        }),
      ),
    ),
  ),
};
