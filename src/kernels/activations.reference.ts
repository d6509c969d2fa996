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

export const geluTanh = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

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
      return geluTanh(x);
    case "tanh":
      return Math.tanh(x);
    case "mish":
      return x * Math.tanh(Math.log1p(Math.exp(x)));
  }
}

/** The derivative of an activation. */
export function slope(x: number, name: Activation): number {
  const s = sigmoid(x);
  switch (name) {
    case "identity":
      return 1;
    case "relu":
      return x > 0 ? 1 : 0;
    case "silu":
      return s * (1 + x * (1 - s));
    case "gelu":
      return 0.5 * (1 + erf(x / Math.SQRT2)) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
    case "geluTanh": {
      const k = Math.sqrt(2 / Math.PI);
      const T = Math.tanh(k * (x + 0.044715 * x ** 3));
      return 0.5 * (1 + T) + 0.5 * x * (1 - T * T) * k * (1 + 0.134145 * x * x);
    }
    case "tanh":
      return 1 - Math.tanh(x) ** 2;
    case "mish": {
      const f = Math.tanh(Math.log1p(Math.exp(x)));
      return f + x * (1 - f * f) * s;
    }
  }
}
