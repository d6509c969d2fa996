/**
 * What an error costs: every way to stop, by calls of the network and read-outs until an action is there, against its error to the truth. A
 * point is dominated where another costs no more of either, errs no more, and is better in one of them. By means alone: whether two points
 * differ is said by their intervals.
 */
import type { Interval } from "./bootstrap.ts";
import type { Goal } from "./exit-rules.ts";

export interface CostPoint {
  /** "stop": the longest schedule stopped at `steps`; "budget": a whole schedule of `steps`; "rule": an exit rule */
  way: "stop" | "budget" | "rule";
  /** which rule; null for the others */
  rule: { signal: string; goal: Goal } | null;
  /** steps taken, a mean for exit rules */
  steps: number;
  /** calls of the network until the action is there, over all trajectories that it takes */
  calls: number;
  /** read-outs, the last included */
  reads: number;
  /** mean squared error to the truth */
  error: number;
  interval: Interval | null;
}

export interface ParetoPoint extends CostPoint {
  dominated: boolean;
}

/** The same points in their order, with what dominates said. */
export function pareto(points: readonly CostPoint[]): ParetoPoint[] {
  const axes = ({ calls, reads, error }: CostPoint): number[] => [calls, reads, error];
  const dominates = (a: CostPoint, b: CostPoint): boolean => {
    const [one, two] = [axes(a), axes(b)];
    return one.every((value, i) => value <= two[i]) && one.some((value, i) => value < two[i]);
  };
  return points.map((point) => ({ ...point, dominated: points.some((other) => dominates(other, point)) }));
}
