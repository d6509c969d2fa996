/** pair-products.ts in plain float64 loops. */

export interface PairProductSizes {
  /** V */
  readonly batch: number;
  /** P */
  readonly rows: number;
  /** Q */
  readonly columns: number;
}

/** (pairs, V, orders) of x (K, V, P, Q); the second one's rows, with `both` its columns too, in each of the orders. */
export function pairProductsReference(
  x: ArrayLike<number>,
  { batch, rows, columns }: PairProductSizes,
  pairs: readonly (readonly [number, number])[],
  orders: readonly (readonly number[])[],
  both: boolean,
): Float64Array {
  const y: number[] = [];
  for (const [i, j] of pairs) {
    for (let v = 0; v < batch; v++) {
      for (const order of orders) {
        let sum = 0;
        for (let p = 0; p < rows; p++) {
          for (let q = 0; q < columns; q++) {
            const left = ((i * batch + v) * rows + p) * columns + q;
            const right = ((j * batch + v) * rows + order[p]) * columns + (both ? order[q] : q);
            sum += x[left] * x[right];
          }
        }
        y.push(sum);
      }
    }
  }
  return Float64Array.from(y);
}
