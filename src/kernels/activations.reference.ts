/** activations.ts in float64. */
import type { Activation } from "./activations.ts";

/** erf by its Taylor series where it converges fast, by the continued fraction of erfc beyond; about 1e-15. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  const erfc = Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction);
  return Math.sign(x) * (1 - erfc);
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));

export function activate(x: number, name: Activation): number {
  switch (name) {
    case "identity":
      return x;
    case "relu":
      return Math.max(x, 0);
    case "silu":
      return x * sigmoid(x);
    case "gelu":
      return gelu(x);
    case "geluTanh":
      return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case "tanh":
      return Math.tanh(x);
    case "mish":
      return x * Math.tanh(Math.log1p(Math.exp(x)));
  }
}
