/** spatial-softmax.ts in plain float64 loops. */

/** (B, K, 2) of x (B, N, K) and grid (N, 2). */
export function spatialSoftmaxReference(
  x: ArrayLike<number>,
  [B, N, K]: readonly [number, number, number],
  grid: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(B * K * 2);
  for (let b = 0; b < B; b++)
    for (let k = 0; k < K; k++) {
      const at = (n: number): number => x[(b * N + n) * K + k];
      let [most, total] = [Number.NEGATIVE_INFINITY, 0];
      for (let n = 0; n < N; n++) most = Math.max(most, at(n));
      for (let n = 0; n < N; n++) total += Math.exp(at(n) - most);
      for (let n = 0; n < N; n++)
        for (let d = 0; d < 2; d++)
          y[(b * K + k) * 2 + d] += (Math.exp(at(n) - most) / total) * grid[2 * n + d];
    }
  return y;
}
