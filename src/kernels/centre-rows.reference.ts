/** centre-rows.ts in plain float64 loops. */

/** x (batch, rows, dim) with the mean of every column taken off. */
export function centreRowsReference(
  x: ArrayLike<number>,
  batch: number,
  rows: number,
  dim: number,
): Float64Array {
  const y = Float64Array.from(x);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < dim; c++) {
      let mean = 0;
      for (let r = 0; r < rows; r++) mean += x[(b * rows + r) * dim + c] / rows;
      for (let r = 0; r < rows; r++) y[(b * rows + r) * dim + c] -= mean;
    }
  }
  return y;
}
