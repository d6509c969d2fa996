/** Whole schedules on the axis of steps. */

/** Where a schedule stands on the stop axis: at the step, or between the steps, that needs as many calls of the network. */
export function stepsOfCost(
  calls: readonly number[],
  stopCalls: readonly number[],
  steps: readonly number[],
): number[] {
  if (steps.length < 2) return calls.map((cost) => steps[0] + cost - stopCalls[0]);
  return calls.map((cost) => {
    const found = stopCalls.findIndex((stop) => stop >= cost);
    const high = found < 0 ? steps.length - 1 : Math.max(found, 1);
    const slope = (steps[high] - steps[high - 1]) / (stopCalls[high] - stopCalls[high - 1]);
    return steps[high] + (cost - stopCalls[high]) * slope;
  });
}
