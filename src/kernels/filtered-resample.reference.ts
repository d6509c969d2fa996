/** filtered-resample.ts in plain loops; up as the transposed convolution that it is, every pixel spread over its taps. */
import { resampledLength, type Resampling } from "./filtered-resample.ts";

export function filteredResampleReference(
  x: ArrayLike<number>,
  [B, H, W, C]: readonly [number, number, number, number],
  filter: ArrayLike<number>,
  direction: Resampling,
): Float64Array {
  const taps = Math.sqrt(filter.length);
  const padding = Math.floor((taps - 1) / 2);
  const [rows, columns] = [H, W].map((n) => resampledLength(n, taps, direction));
  const y = new Float64Array(B * rows * columns * C);
  const [wide, tall] = direction === "down" ? [columns, rows] : [W, H];
  for (let b = 0; b < B; b++)
    for (let r = 0; r < tall; r++)
      for (let v = 0; v < wide; v++)
        for (let i = 0; i < taps; i++)
          for (let j = 0; j < taps; j++) {
            const [h, w] = [2 * r + i - padding, 2 * v + j - padding];
            const [farH, farW] = direction === "down" ? [H, W] : [rows, columns];
            if (h < 0 || w < 0 || h >= farH || w >= farW) continue;
            for (let c = 0; c < C; c++) {
              const near = ((b * tall + r) * wide + v) * C + c;
              const far = ((b * farH + h) * farW + w) * C + c;
              if (direction === "down") y[near] += filter[i * taps + j] * x[far];
              else y[far] += 4 * filter[i * taps + j] * x[near];
            }
          }
  return y;
}
