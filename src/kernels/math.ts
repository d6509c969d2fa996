/**
 * Functions that WGSL lacks or leaves loose. Its exp may be off by 3 + 2|x| ulp and it has no erf; these are good to
 * about 2 ulp wherever float32 arithmetic is IEEE.
 */
import { isAbove, isBelow } from "./nan.ts";

/**
 * e^x = 2^n · e^r with n = ⌊x / ln 2 + ½⌋ and |r| ≤ ln 2 / 2; ln 2 is split in two so that r is exact, and e^r is its
 * Taylor polynomial of degree 7 (remainder 7e-9). n + 127 becomes the exponent: added to 1.5 · 2²³ it stands in the last bits,
 * which a product moves to the front (a shift by 23 would be four scalar ones).
 * (SwiftShader 5.0.0, 2026-11-22: 102 instructions; 288 with clamp, round and conversions to and from integers, each of which must
 * sort out NaN or what does not fit. The builtin takes 57.)
 * `expTo88`: x up to 88; `exp_`: any x, above 88 e^88. Below −87 both give e^−87 = 1.6e-38. NaN passes (nan.ts).
 */
export const EXP = /* wgsl */ `
fn expTo88(x: f32) -> f32 {
  let seen = select(x, -87.0, ${isBelow("x", -87)});
  let n = floor(seen * 1.44269504 + 0.5);
  let r = (seen - n * 0.693145752) - n * 1.42860677e-6;
  let series = 1.0 + r * (1.0 + r * (0.5 + r * (0.166666667 + r * (0.0416666667 + r * (0.00833333333 + r * (0.00138888889 + r * 0.000198412698))))));
  return series * bitcast<f32>(bitcast<u32>(n + 12583039.0) * 8388608u);
}
fn exp_(x: f32) -> f32 { return expTo88(select(x, 88.0, ${isAbove("x", 88)})); }
// Of a softmax: x is at most zero.
fn exp4(x: vec4f) -> vec4f { return vec4f(expTo88(x.x), expTo88(x.y), expTo88(x.z), expTo88(x.w)); }
`;

/** σ(x) = 1 / (1 + e^−x) */
export const SIGMOID = /* wgsl */ `${EXP}
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp_(-x)); }
`;

/** tanh(x) = 1 − 2 / (e^2x + 1); near zero its Taylor series, where that difference would cancel */
export const TANH = /* wgsl */ `
fn tanh_(x: f32) -> f32 {
  let t = x * x;
  let series = x * (1.0 + t * (-0.333333333 + t * (0.133333333 + t * (-0.0539682540 + t * (0.0218694885 + t * -0.00886323553)))));
  return select(1.0 - 2.0 / (exp_(2.0 * x) + 1.0), series, abs(x) < 0.3);
}
`;

/**
 * mish(x) = x · tanh(ln(1 + eˣ)) = x · (u² + 2u) / (u² + 2u + 2) with u = eˣ; above 20 the factor is 1 in float32. NaN passes through
 * the factor x.
 */
export const MISH = /* wgsl */ `${EXP}
fn mish(x: f32) -> f32 {
  let u = exp_(select(x, 20.0, ${isAbove("x", 20)}));
  let w = u * (u + 2.0);
  return x * (w / (w + 2.0));
}
`;

/**
 * erf(x) = x · P(x²) / Q(x²) on |x| ≤ 3.95, ±1 beyond. P and Q are a minimax fit of ours (relative error 2.1e-8 in
 * exact arithmetic, at most 4e-7 in float32; 2026-11-22).
 */
export const ERF = /* wgsl */ `
// Two selects: clamp must sort out NaN, which costs SwiftShader 5.0.0 twice as much (84 instructions, 2026-11-22).
fn between(x: f32, low: f32, high: f32) -> f32 { return select(select(x, low, x < low), high, x > high); }
fn erf(x: f32) -> f32 {
  let seen = between(x, -3.95, 3.95);
  let t = seen * seen;
  let p = 1.12837914 + t * (0.191549176 + t * (0.0528752855 + t * (0.00380811065 + t * (0.000284686250 + t * 2.02591204e-6))));
  let q = 1.0 + t * (0.503088713 + t * (0.114559145 + t * (0.0150549871 + t * (0.00117071285 + t * 3.78317660e-5))));
  return between(seen * p / q, -1.0, 1.0);
}
`;

/** The exact GELU: x · ½(1 + erf(x / √2)). NaN passes through the factor x, whatever becomes of it in erf. */
export const GELU = /* wgsl */ `${ERF}
fn gelu(x: f32) -> f32 { return 0.5 * x * (1.0 + erf(x * 0.707106781)); }
`;

/** The derivative of the exact GELU: Φ(x) + x·φ(x) of the standard Gaussian. Needs EXP and GELU. */
export const GELU_SLOPE = /* wgsl */ `
fn geluSlope(x: f32) -> f32 { return 0.5 * (1.0 + erf(x * 0.707106781)) + x * 0.398942280 * exp_(-0.5 * x * x); }
`;

/**
 * ½·x·(1 + tanh(u)) with u = √(2/π)·(x + 0.044715·x³), which is x·σ(2u): so nothing cancels where x is negative. Needs SIGMOID.
 */
export const GELU_TANH = /* wgsl */ `
fn geluTanh(x: f32) -> f32 { return x * sigmoid(1.59576912 * (x + 0.044715 * x * x * x)); }
`;
