/**
 * When something with two states, such as a gripper, goes from one to the other. A value is in the upper state above the middle of the two.
 * A chunk is taken to begin in the state that the reference has at its first position, whatever the estimate says there: an estimate that is
 * already over has switched at position 0.
 */

/** The estimate's switches against the reference's. */
export interface SwitchError {
  /** Positions from the reference's first switch to the estimate's, without a sign; undefined unless both switch. */
  readonly time?: number;
  /** Switches of the reference. */
  readonly switches: number;
  /** Switches that the reference has more, or the estimate. */
  readonly missing: number;
  readonly extra: number;
}

/**
 * @param estimate (T) values
 * @param reference (T) values
 * @param states the two, in the same units
 */
export function switchError(
  estimate: ArrayLike<number>,
  reference: ArrayLike<number>,
  states: readonly [number, number],
): SwitchError {
  const middle = (states[0] + states[1]) / 2;
  const begin = reference[0] > middle;
  const [own, expected] = [estimate, reference].map((values) => switchesOf(values, middle, begin));
  return {
    time: own.length > 0 && expected.length > 0 ? Math.abs(own[0] - expected[0]) : undefined,
    switches: expected.length,
    missing: Math.max(0, expected.length - own.length),
    extra: Math.max(0, own.length - expected.length),
  };
}

/** Positions at which the state is another than just before. */
function switchesOf(values: ArrayLike<number>, middle: number, begin: boolean): number[] {
  const found: number[] = [];
  let state = begin;
  for (let t = 0; t < values.length; t++) {
    if (values[t] > middle === state) continue;
    state = !state;
    found.push(t);
  }
  return found;
}
