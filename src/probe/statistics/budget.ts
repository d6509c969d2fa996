/**
 * The budget axis: whole schedules of N steps, each read at its end. "Stop after k of N" and "use a schedule of n steps" are different questions
 * at one cost, so both are compared with one reference, the end of the longest schedule, and with each other where they call the network equally
 * often.
 */
import type { ClusterBootstrap, Interval } from "./bootstrap.ts";
import type { Curve } from "./curve.ts";

/** A whole schedule against stopping the longest at the same cost. */
export interface EqualCost {
  /** steps of the whole schedule */
  budget: number;
  /** step at which the longest is stopped */
  stop: number;
  /** calls of the network in either */
  calls: number;
  /** mean of MSE(budget) − MSE(stop) to the truth, paired by episode */
  difference: number;
  interval: Interval | null;
}

export interface BudgetAxis {
  /** (B) steps, ascending; the last is N */
  steps: readonly number[];
  /** (B) calls of the network until each end is read */
  calls: readonly number[];
  /** (K) the same of each probe step */
  stopCalls: readonly number[];
  /** B points */
  toLast: Curve;
  toTruth: Curve | null;
  /** budgets below N whose cost a probed step has too; null without a truth */
  equalCost: EqualCost[] | null;
}

/** @param stops probe steps, and their errors to the truth */
export function budgetAxis(
  axis: Omit<BudgetAxis, "equalCost">,
  stops: { steps: readonly number[]; toTruth: Curve | null },
  bootstrap: ClusterBootstrap,
): BudgetAxis {
  const { steps, calls, stopCalls, toTruth } = axis;
  if (!toTruth || !stops.toTruth) return { ...axis, equalCost: null };
  const stopped = stops.toTruth.perEpisode;
  const equalCost = steps.slice(0, -1).flatMap((budget, b) => {
    const k = stopCalls.indexOf(calls[b]);
    if (k < 0) return [];
    const rows = toTruth.perEpisode.map((row, e) => row[b] - stopped[e][k]);
    const paired = { difference: bootstrap.mean(rows), interval: bootstrap(rows) };
    return [{ budget, stop: stops.steps[k], calls: calls[b], ...paired }];
  });
  return { ...axis, equalCost };
}
