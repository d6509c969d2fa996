/** modulate.ts in plain loops. */

/** (B, N, C) of x (B, N, C) and a table (B, width). */
export function modulateReference(
  x: ArrayLike<number>,
  [B, N, C]: readonly [number, number, number],
  { table, scale, shift }: { table: ArrayLike<number>; scale?: number; shift: number },
): Float64Array {
  const width = table.length / B;
  const y = new Float64Array(B * N * C);
  for (let b = 0; b < B; b++)
    for (let n = 0; n < N; n++)
      for (let c = 0; c < C; c++) {
        const at = (b * N + n) * C + c;
        const factor = scale === undefined ? 1 : 1 + table[b * width + scale + c];
        y[at] = x[at] * factor + table[b * width + shift + c];
      }
  return y;
}
