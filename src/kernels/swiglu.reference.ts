/** swiglu.ts in plain float64 loops. */
import { gelu } from "./activations.reference.ts";

/** (rows, F) of u (rows, 2F). */
export function swigluReference(u: ArrayLike<number>, rows: number, half: number): Float64Array {
  const y = new Float64Array(rows * half);
  for (let m = 0; m < rows; m++) {
    for (let f = 0; f < half; f++) y[m * half + f] = u[m * 2 * half + f] * gelu(u[m * 2 * half + half + f]);
  }
  return y;
}
