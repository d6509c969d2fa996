/**
 * Relative positions of T5 (transformers' `_relative_position_bucket`, bidirectional): half of the buckets for keys behind the query, half for those
 * before it; near positions have one each, far ones share on a logarithmic scale. In the reference's float32 order, as a logarithm
 * that should be a whole number may come out just below it there.
 */
import { UsageError } from "../../errors.ts";

const f32 = Math.fround;

/** @throws UsageError for numbers that leave no bucket for a near position, or no distance for far ones */
export function checkBuckets(buckets: number, maxDistance: number, name: string): void {
  const exact = Math.floor(Math.floor(buckets / 2) / 2);
  if (exact < 1 || maxDistance <= exact) {
    throw new UsageError(
      `${name}: relative_attention_num_buckets ${buckets} with relative_attention_max_distance ${maxDistance}: ` +
        "at least 4 buckets are needed, and a distance beyond a quarter of them",
    );
  }
}

/** The bucket of every relative position key − query from −(tokens − 1) to tokens − 1. */
export function relativeBuckets(
  tokens: number,
  buckets: number,
  maxDistance: number,
): Uint32Array<ArrayBuffer> {
  const half = Math.floor(buckets / 2);
  const exact = Math.floor(half / 2);
  const scale = f32(Math.log(maxDistance / exact));
  const far = (n: number): number => {
    const share = f32(f32(Math.log(f32(n / exact))) / scale);
    return Math.min(half - 1, exact + Math.trunc(f32(share * (half - exact))));
  };
  return Uint32Array.from({ length: 2 * tokens - 1 }, (_, i) => {
    const delta = i - (tokens - 1);
    const n = Math.abs(delta);
    return (delta > 0 ? half : 0) + (n < exact ? n : far(n));
  });
}
