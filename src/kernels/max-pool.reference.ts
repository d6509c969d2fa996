/** max-pool.ts in plain loops. */
import { pooledLength, type PoolShape } from "./max-pool.ts";

/** (B, H', W', C) of x (B, H, W, C). */
export function maxPoolReference(
  x: ArrayLike<number>,
  [B, H, W, C]: readonly [number, number, number, number],
  shape: PoolShape,
): Float64Array {
  const { taps, stride, padding } = shape;
  const [rows, columns] = [pooledLength(H, shape), pooledLength(W, shape)];
  const y = new Float64Array(B * rows * columns * C).fill(Number.NEGATIVE_INFINITY);
  for (let b = 0; b < B; b++)
    for (let r = 0; r < rows; r++)
      for (let v = 0; v < columns; v++)
        for (let c = 0; c < C; c++)
          for (let i = 0; i < taps; i++)
            for (let j = 0; j < taps; j++) {
              const [h, w] = [r * stride + i - padding, v * stride + j - padding];
              if (h < 0 || w < 0 || h >= H || w >= W) continue;
              const to = ((b * rows + r) * columns + v) * C + c;
              y[to] = Math.max(y[to], x[((b * H + h) * W + w) * C + c]);
            }
  return y;
}
