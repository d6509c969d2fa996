/** Activations as WGSL, for the kernels that apply one to their result, and as float64 for the references. */
import { EXP, GELU, GELU_SLOPE, GELU_TANH, MISH, SIGMOID, TANH } from "./math.ts";
import { isAbove, isBelow } from "./nan.ts";

/** `gelu` is the exact one, `geluTanh` its approximation by a hyperbolic tangent. */
export type Activation = "identity" | "relu" | "silu" | "gelu" | "geluTanh" | "tanh" | "mish";

/** Each text defines `activate`. */
export const ACTIVATIONS: Readonly<Record<Activation, string>> = {
  identity: /* wgsl */ `fn activate(x: f32) -> f32 { return x; }`,
  relu: /* wgsl */ `fn activate(x: f32) -> f32 { return select(x, 0.0, ${isBelow("x", 0)}); }`,
  silu: /* wgsl */ `${SIGMOID} fn activate(x: f32) -> f32 { return x * sigmoid(x); }`,
  gelu: /* wgsl */ `${GELU} fn activate(x: f32) -> f32 { return gelu(x); }`,
  geluTanh: /* wgsl */ `${SIGMOID}${GELU_TANH} fn activate(x: f32) -> f32 { return geluTanh(x); }`,
  tanh: /* wgsl */ `${SIGMOID}${TANH} fn activate(x: f32) -> f32 { return tanh_(x); }`,
  mish: /* wgsl */ `${MISH} fn activate(x: f32) -> f32 { return mish(x); }`,
};

/** Each text defines `slope`, the derivative of `activate`; it stands behind the text of the activation, whose functions it uses. */
export const SLOPES: Readonly<Record<Activation, string>> = {
  identity: /* wgsl */ `fn slope(x: f32) -> f32 { return 1.0; }`,
  relu: /* wgsl */ `fn slope(x: f32) -> f32 { return select(0.0, 1.0, ${isAbove("x", 0)}); }`,
  silu: /* wgsl */ `fn slope(x: f32) -> f32 { let s = sigmoid(x); return s * (1.0 + x * (1.0 - s)); }`,
  gelu: /* wgsl */ `${EXP} ${GELU_SLOPE} fn slope(x: f32) -> f32 { return geluSlope(x); }`,
  geluTanh: /* wgsl */ `fn slope(x: f32) -> f32 {
  let s = sigmoid(1.59576912 * (x + 0.044715 * x * x * x));
  return s * (1.0 + x * (1.0 - s) * 1.59576912 * (1.0 + 0.134145 * x * x));
}`,
  tanh: /* wgsl */ `fn slope(x: f32) -> f32 { let y = tanh_(x); return 1.0 - y * y; }`,
  mish: /* wgsl */ `fn slope(x: f32) -> f32 {
  let u = exp_(select(x, 20.0, ${isAbove("x", 20)}));
  let w = u * (u + 2.0);
  let f = w / (w + 2.0);
  return f + x * (4.0 * u * (u + 1.0)) / ((w + 2.0) * (w + 2.0));
}`,
};
