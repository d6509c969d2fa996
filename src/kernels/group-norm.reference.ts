/** group-norm.ts in plain float64 loops. */
import type { Activation } from "./activations.ts";
import { activate } from "./activations.reference.ts";

/** y (rows, dim) of x (rows, dim), gains and biases (C). */
export function groupNormReference(
  x: ArrayLike<number>,
  rows: number,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  epsilon: number,
  activation: Activation = "identity",
): Float64Array {
  const dim = x.length / rows;
  const y = new Float64Array(x.length);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    let variance = 0;
    for (let i = 0; i < dim; i++) sum += x[r * dim + i];
    const mean = sum / dim;
    for (let i = 0; i < dim; i++) variance += (x[r * dim + i] - mean) ** 2 / dim;
    for (let i = 0; i < dim; i++) {
      const c = i % weight.length;
      const normed = (x[r * dim + i] - mean) / Math.sqrt(variance + epsilon);
      y[r * dim + i] = activate(normed * weight[c] + bias[c], activation);
    }
  }
  return y;
}
