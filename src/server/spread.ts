/** How far the actions of several seeds lie apart. Arrays begin with the position, because openpi's ActionChunkBroker takes every array of an answer apart along its first axis. */
import type { Sent } from "./message.ts";
import { NdArray } from "./ndarray.ts";

/**
 * @param samples S of (T, D), S at least 2
 * @param shape (T, D)
 * @returns `spread` (T, D), the standard deviation over the S seeds (S − 1 in its denominator), and `samples` (T, S, D)
 */
export function spreadOf(
  samples: readonly Float32Array[],
  [positions, width]: readonly number[],
): Record<"spread" | "samples", Sent> {
  const count = samples.length;
  const spread = new Float32Array(positions * width);
  const all = new Float32Array(positions * count * width);
  for (let t = 0; t < positions; t++) {
    for (let d = 0; d < width; d++) {
      let mean = 0;
      for (const sample of samples) mean += sample[t * width + d] / count;
      let squares = 0;
      samples.forEach((sample, s) => {
        const value = sample[t * width + d];
        squares += (value - mean) ** 2;
        all[(t * count + s) * width + d] = value;
      });
      spread[t * width + d] = Math.sqrt(squares / (count - 1));
    }
  }
  return {
    spread: NdArray.float32(spread, [positions, width]),
    samples: NdArray.float32(all, [positions, count, width]),
  };
}
