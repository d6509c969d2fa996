/**
 * What the iterate's error would be if the action flow were straight: x(f) = (1 − f)·x_0 + f·x_M, whatever was
 * learned. A curve of iterates that follows its null says nothing about when the action is known.
 *
 *   to the final action   MSE(f) = (1 − f)²·MSE_0                                       f = n/M on the uniform grid
 *   to the truth          MSE(f) = (1 − f)²·A + 2·f·(1 − f)·C + f²·B
 *
 * A, B: errors of x_0 and x_M against the truth; C: mean of (x_0 − truth)·(x_M − truth). The second is the first
 * with the truth in place of x_M (then B = C = 0).
 */

/** How far along each action time lies, 0 at noise and 1 at the final action, in either direction of time; equals n/M on a uniform grid. */
export function fractions(actionTimes: ArrayLike<number>): number[] {
  const steps = actionTimes.length - 1;
  const span = actionTimes[steps] - actionTimes[0];
  return Array.from(actionTimes, (time) => Math.abs((time - actionTimes[0]) / span));
}

/** @param startError MSE_0, the error of the action noise against the final action. */
export function nullToFinal(startError: number, fraction: number[]): number[] {
  return fraction.map((f) => startError * (1 - f) ** 2);
}

/** @param A, C, B as in the header. */
export function nullToTruth(A: number, C: number, B: number, fraction: number[]): number[] {
  return fraction.map((f) => (1 - f) ** 2 * A + 2 * f * (1 - f) * C + f ** 2 * B);
}
