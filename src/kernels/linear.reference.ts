/** linear.ts in plain float64 loops. */
import type { Activation } from "./activations.ts";
import { activate } from "./activations.reference.ts";

/** y (rows, out) of x (rows, in) and W (out, in). */
export function linearReference(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  rows: number,
  inner: number,
  out: number,
  options: { bias?: ArrayLike<number>; activation?: Activation; residual?: ArrayLike<number> } = {},
): Float64Array {
  const y = new Float64Array(rows * out);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < out; n++) {
      let sum = options.bias?.[n] ?? 0;
      for (let k = 0; k < inner; k++) sum += x[m * inner + k] * w[n * inner + k];
      y[m * out + n] =
        activate(sum, options.activation ?? "identity") + (options.residual?.[m * out + n] ?? 0);
    }
  }
  return y;
}
