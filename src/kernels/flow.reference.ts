/** flow.ts in plain float64 loops. */

export interface FlowShape {
  readonly batch: number;
  /** N, tokens of the packed sequence */
  readonly tokens: number;
  /** n, actions at its end */
  readonly actions: number;
  readonly width: number;
}

const timeOf = (
  s: FlowShape,
  at: { times: ArrayLike<number>; rowOf: ArrayLike<number> },
  i: number,
): number => {
  const [b, token] = [Math.floor(i / s.width / s.actions), Math.floor(i / s.width) % s.actions];
  return at.times[at.rowOf[b * s.tokens + s.tokens - s.actions + token]];
};

/** v (B, n, A) of pred (B, N, A) and x (B, n, A). */
export function toFlowReference(
  pred: ArrayLike<number>,
  x: ArrayLike<number>,
  at: { times: ArrayLike<number>; rowOf: ArrayLike<number> },
  epsilon: number | undefined,
  s: FlowShape,
): Float64Array {
  return Float64Array.from(x, (value, i) => {
    const b = Math.floor(i / s.width / s.actions);
    const p = pred[i + (b + 1) * (s.tokens - s.actions) * s.width];
    return epsilon === undefined ? p : (p - value) / Math.max(1 - timeOf(s, at, i), epsilon);
  });
}

/** [x + δ·v, held in front; x + (1 − t)·v] */
export function advanceReference(
  x: ArrayLike<number>,
  flow: ArrayLike<number>,
  at: { times: ArrayLike<number>; rowOf: ArrayLike<number> },
  delta: number,
  held: number,
  s: FlowShape,
): [Float64Array, Float64Array] {
  const moved = (i: number): boolean => Math.floor(i / s.width) % s.actions >= held;
  return [
    Float64Array.from(x, (value, i) => value + (moved(i) ? delta * flow[i] : 0)),
    Float64Array.from(x, (value, i) => value + (1 - timeOf(s, at, i)) * flow[i]),
  ];
}
