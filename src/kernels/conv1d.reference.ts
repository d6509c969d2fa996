/** conv1d.ts in plain float64 loops. */
import { type WindowShape, windowCount } from "./unfold.ts";

/** (B, P', O) of x (B, P, C) and W (O, taps, C). */
export function conv1dReference(
  x: ArrayLike<number>,
  [B, P, C]: readonly [number, number, number],
  w: ArrayLike<number>,
  out: number,
  options: WindowShape & { bias?: ArrayLike<number>; residual?: ArrayLike<number> },
): Float64Array {
  const { taps, stride = 1, padding = 0, bias, residual } = options;
  const positions = windowCount(P, options);
  const y = new Float64Array(B * positions * out);
  for (let b = 0; b < B; b++)
    for (let p = 0; p < positions; p++)
      for (let o = 0; o < out; o++) {
        const to = (b * positions + p) * out + o;
        let sum = (bias?.[o] ?? 0) + (residual?.[to] ?? 0);
        for (let k = 0; k < taps; k++) {
          const at = p * stride + k - padding;
          if (at < 0 || at >= P) continue;
          for (let c = 0; c < C; c++) sum += x[(b * P + at) * C + c] * w[(o * taps + k) * C + c];
        }
        y[to] = sum;
      }
  return y;
}
