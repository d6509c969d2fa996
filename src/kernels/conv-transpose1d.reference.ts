/** conv-transpose1d.ts in plain float64 loops, scattering as the definition has it. */
import { spreadCount } from "./conv-transpose1d.ts";
import type { WindowShape } from "./unfold.ts";

/** (B, P, O) of x (B, Q, I) and W (I, O, taps), the layout of PyTorch. */
export function convTranspose1dReference(
  x: ArrayLike<number>,
  [B, Q, I]: readonly [number, number, number],
  w: ArrayLike<number>,
  out: number,
  options: WindowShape & { bias?: ArrayLike<number> },
): Float64Array {
  const { taps, stride = 1, padding = 0, bias } = options;
  const P = spreadCount(Q, options);
  const y = Float64Array.from({ length: B * P * out }, (_, at) => bias?.[at % out] ?? 0);
  for (let b = 0; b < B; b++)
    for (let q = 0; q < Q; q++)
      for (let i = 0; i < I; i++)
        for (let o = 0; o < out; o++)
          for (let k = 0; k < taps; k++) {
            const p = stride * q - padding + k;
            if (p >= 0 && p < P)
              y[(b * P + p) * out + o] += x[(b * Q + q) * I + i] * w[(i * out + o) * taps + k];
          }
  return y;
}
