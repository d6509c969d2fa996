/** unfold.ts in plain float64 loops. */
import { type WindowShape, windowCount } from "./unfold.ts";

/** (B, P', taps · C padded to 4) of x (B, P, C). */
export function unfoldReference(
  x: ArrayLike<number>,
  [B, P, C]: readonly [number, number, number],
  shape: WindowShape,
): Float64Array {
  const { taps, stride = 1, padding = 0 } = shape;
  const out = windowCount(P, shape);
  const depth = Math.ceil(C / 4) * 4;
  const y = new Float64Array(B * out * taps * depth);
  for (let b = 0; b < B; b++)
    for (let p = 0; p < out; p++)
      for (let k = 0; k < taps; k++)
        for (let c = 0; c < C; c++) {
          const at = p * stride + k - padding;
          if (at >= 0 && at < P) y[((b * out + p) * taps + k) * depth + c] = x[(b * P + at) * C + c];
        }
  return y;
}
