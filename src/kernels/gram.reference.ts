/** gram.ts in plain float64 loops. */

/** (batch, rows, rows) products of the rows of x (batch, rows, dim). */
export function gramReference(x: ArrayLike<number>, batch: number, rows: number, dim: number): Float64Array {
  const g = new Float64Array(batch * rows * rows);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < rows; j++) {
        let sum = 0;
        for (let c = 0; c < dim; c++) sum += x[(b * rows + i) * dim + c] * x[(b * rows + j) * dim + c];
        g[(b * rows + i) * rows + j] = sum;
      }
    }
  }
  return g;
}
