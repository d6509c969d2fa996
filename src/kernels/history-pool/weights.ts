/** A pool's weights prepared for the fused and the mixed variant, in float64. */
import { POOL_KV_HEADS, type PoolShape, up4 } from "./pool.ts";

/** Numbers in the folded weights of a pool. */
export const foldedSize = ({ dim, heads, headDim }: PoolShape): number =>
  4 * (dim * up4(heads) + dim * POOL_KV_HEADS * up4(headDim) + heads * headDim * up4(dim));

/**
 * Weights of the fused variant, worked out in float64: u (D, ⌈R/4⌉, 4), then gain ⊙ W_vᵀ (D, 2, ⌈r/4⌉, 4), then W_outᵀ
 * (R·r, ⌈D/4⌉, 4).
 * @param weights as the checkpoint stores them: query (D), gain (D), queries (R·r, D), keysValues (4·r, D), out (D, R·r)
 */
export function foldPool(
  weights: Readonly<Record<"query" | "gain" | "queries" | "keysValues" | "out", ArrayLike<number>>>,
  { dim: D, heads: R, headDim: r }: PoolShape,
): Float32Array {
  const { query, gain, queries, keysValues, out } = weights;
  const folded = new Float32Array(foldedSize({ dim: D, heads: R, headDim: r }));
  const q = projectQuery(query, queries, D);
  const [uWidth, vWidth, oWidth] = [4 * up4(R), 4 * up4(r), 4 * up4(D)];
  const valuesAt = D * uWidth;
  const outAt = valuesAt + D * POOL_KV_HEADS * vWidth;
  for (let d = 0; d < D; d++) {
    for (let j = 0; j < R; j++) {
      const g = j % POOL_KV_HEADS;
      let sum = 0;
      for (let e = 0; e < r; e++) sum += keysValues[(g * r + e) * D + d] * q[j * r + e];
      folded[d * uWidth + j] = (sum * gain[d]) / Math.sqrt(r);
    }
    for (let g = 0; g < POOL_KV_HEADS; g++) {
      for (let e = 0; e < r; e++) {
        const row = (POOL_KV_HEADS + g) * r + e;
        folded[valuesAt + (d * POOL_KV_HEADS + g) * vWidth + e] = keysValues[row * D + d] * gain[d];
      }
    }
    for (let c = 0; c < R * r; c++) folded[outAt + c * oWidth + d] = out[d * R * r + c];
  }
  return folded;
}

/**
 * Weights of the mixed variant, worked out in float64.
 * @param weights as for `foldPool`
 */
export function mixedWeights(
  weights: Parameters<typeof foldPool>[0],
  shape: PoolShape,
): { u: Float32Array; values: Float32Array[]; outs: Float32Array[] } {
  const { dim: D, heads: R, headDim: r } = shape;
  const { gain, keysValues, out } = weights;
  const half = R / POOL_KV_HEADS;
  const perGroup = <T>(make: (g: number) => T): T[] =>
    Array.from({ length: POOL_KV_HEADS }, (_, g) => make(g));
  return {
    u: foldPool(weights, shape).slice(0, D * 4 * up4(R)),
    values: perGroup((g) =>
      Float32Array.from({ length: r * D }, (_, i) => {
        const row = (POOL_KV_HEADS + g) * r + Math.floor(i / D);
        return keysValues[row * D + (i % D)] * gain[i % D];
      }),
    ),
    outs: perGroup((g) =>
      Float32Array.from({ length: D * half * r }, (_, i) => {
        const [d, c] = [Math.floor(i / (half * r)), i % (half * r)];
        const head = Math.floor(c / r) * POOL_KV_HEADS + g;
        return out[d * R * r + head * r + (c % r)];
      }),
    ),
  };
}

/** W_q·query, in float64. */
export function projectQuery(
  query: ArrayLike<number>,
  queries: ArrayLike<number>,
  dim: number,
): Float64Array {
  return Float64Array.from({ length: queries.length / dim }, (_, c) => {
    let sum = 0;
    for (let d = 0; d < dim; d++) sum += queries[c * dim + d] * query[d];
    return sum;
  });
}
