/** Activations as WGSL, for the kernels that apply one to their result, and as float64 for the references. */
import { GELU, GELU_TANH, MISH, SIGMOID, TANH } from "./math.ts";
import { isBelow } from "./nan.ts";

export type Activation = "identity" | "relu" | "silu" | "gelu" | "geluTanh" | "tanh" | "mish";

/** Each text defines `activate`. */
export const ACTIVATIONS: Readonly<Record<Activation, string>> = {
  identity: /* wgsl */ `fn activate(x: f32) -> f32 { return x; }`,
  relu: /* wgsl */ `fn activate(x: f32) -> f32 { return select(x, 0.0, ${isBelow("x", 0)}); }`,
  silu: /* wgsl */ `${SIGMOID} fn activate(x: f32) -> f32 { return x * sigmoid(x); }`,
  gelu: /* wgsl */ `${GELU} fn activate(x: f32) -> f32 { return gelu(x); }`,
  geluTanh: /* wgsl */ `${GELU_TANH} fn activate(x: f32) -> f32 { return geluTanh(x); }`,
  tanh: /* wgsl */ `${SIGMOID}${TANH} fn activate(x: f32) -> f32 { return tanh_(x); }`,
  mish: /* wgsl */ `${MISH} fn activate(x: f32) -> f32 { return mish(x); }`,
};
