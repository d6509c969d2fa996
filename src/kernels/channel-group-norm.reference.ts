/** channel-group-norm.ts in plain float64 loops. */
import type { Activation } from "./activations.ts";
import { activate, slope } from "./activations.reference.ts";

/** y (B, N, C) of x (B, N, C); `scale` and `shift` (B, C), `residual` as x. */
export function channelGroupNormReference(
  x: ArrayLike<number>,
  [B, N, C]: readonly [number, number, number],
  options: {
    groups: number;
    weight: ArrayLike<number>;
    bias: ArrayLike<number>;
    epsilon: number;
    activation?: Activation;
    scale?: ArrayLike<number>;
    shift?: ArrayLike<number>;
    residual?: ArrayLike<number>;
  },
): Float64Array {
  const { groups, weight, bias, epsilon, activation = "identity", scale, shift, residual } = options;
  const width = C / groups;
  const y = new Float64Array(x.length);
  for (let b = 0; b < B; b++)
    for (let g = 0; g < groups; g++) {
      const all: number[] = [];
      for (let n = 0; n < N; n++) for (let c = 0; c < width; c++) all.push((b * N + n) * C + g * width + c);
      const mean = all.reduce((sum, i) => sum + x[i], 0) / all.length;
      const variance = all.reduce((sum, i) => sum + (x[i] - mean) ** 2, 0) / all.length;
      for (const i of all) {
        const c = i % C;
        const normed = activate(
          ((x[i] - mean) / Math.sqrt(variance + epsilon)) * weight[c] + bias[c],
          activation,
        );
        y[i] = normed * (scale?.[b * C + c] ?? 1) + (shift?.[b * C + c] ?? 0) + (residual?.[i] ?? 0);
      }
    }
  return y;
}

/** The tangent of `channelGroupNormReference` where x moves by dx, and scale, shift and residual by theirs. */
export function channelGroupNormTangentReference(
  x: ArrayLike<number>,
  shape: readonly [number, number, number],
  options: Parameters<typeof channelGroupNormReference>[2],
  d: {
    readonly x?: ArrayLike<number>;
    readonly scale?: ArrayLike<number>;
    readonly shift?: ArrayLike<number>;
    readonly residual?: ArrayLike<number>;
  },
): Float64Array {
  const [B, N, C] = shape;
  const { groups, weight, bias, epsilon, activation = "identity", scale } = options;
  const width = C / groups;
  const y = new Float64Array(x.length);
  for (let b = 0; b < B; b++)
    for (let g = 0; g < groups; g++) {
      const all: number[] = [];
      for (let n = 0; n < N; n++) for (let c = 0; c < width; c++) all.push((b * N + n) * C + g * width + c);
      const average = (of: (i: number) => number): number =>
        all.reduce((sum, i) => sum + of(i), 0) / all.length;
      const moved = (i: number): number => d.x?.[i] ?? 0;
      const mean = average((i) => x[i]);
      const s = 1 / Math.sqrt(average((i) => (x[i] - mean) ** 2) + epsilon);
      const normed = (i: number): number => (x[i] - mean) * s;
      const [dMean, along] = [average(moved), average((i) => normed(i) * moved(i))];
      for (const i of all) {
        const c = i % C;
        const before = normed(i) * weight[c] + bias[c];
        const dBefore = s * (moved(i) - dMean - normed(i) * along) * weight[c];
        const told = b * C + c;
        y[i] =
          slope(before, activation) * dBefore * (scale?.[told] ?? 1) +
          activate(before, activation) * (d.scale?.[told] ?? 0) +
          (d.shift?.[told] ?? 0) +
          (d.residual?.[i] ?? 0);
      }
    }
  return y;
}
