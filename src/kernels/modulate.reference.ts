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

/** The tangent of `modulateReference` where x moves by dx and the table by dTable. */
export function modulateTangentReference(
  x: ArrayLike<number>,
  shape: readonly [number, number, number],
  told: { table: ArrayLike<number>; scale?: number; shift: number },
  d: { readonly x?: ArrayLike<number>; readonly table?: ArrayLike<number> },
): Float64Array {
  const [B, N, C] = shape;
  const { table, scale, shift } = told;
  const width = table.length / B;
  return Float64Array.from({ length: B * N * C }, (_, at) => {
    const row = Math.floor(at / (N * C)) * width + (at % C);
    const factor = scale === undefined ? 1 : 1 + table[row + scale];
    const dFactor = scale === undefined ? 0 : (d.table?.[row + scale] ?? 0);
    return (d.x?.[at] ?? 0) * factor + x[at] * dFactor + (d.table?.[row + shift] ?? 0);
  });
}
