/**
 * Functions that WGSL lacks or leaves loose. Its exp may be off by 3 + 2|x| ulp and it has no erf; these are good to
 * about 2 ulp wherever float32 arithmetic is IEEE.
 */

/**
 * e^x = 2^n · e^r with n = round(x / ln 2) and |r| ≤ ln 2 / 2; ln 2 is split in two so that r is exact, and e^r is its
 * Taylor polynomial of degree 7 (remainder 7e-9). Arguments below −87 give 0.
 */
export const EXP = /* wgsl */ `
fn exp_(x: f32) -> f32 {
  let clamped = clamp(x, -87.0, 88.0);
  let n = round(clamped * 1.44269504);
  let r = (clamped - n * 0.693145752) - n * 1.42860677e-6;
  let series = 1.0 + r * (1.0 + r * (0.5 + r * (0.166666667 + r * (0.0416666667 + r * (0.00833333333 + r * (0.00138888889 + r * 0.000198412698))))));
  return select(series * bitcast<f32>(u32(i32(n) + 127) << 23u), 0.0, x < -87.0);
}
fn exp4(x: vec4f) -> vec4f { return vec4f(exp_(x.x), exp_(x.y), exp_(x.z), exp_(x.w)); }
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
 * erf(x) = x · P(x²) / Q(x²) on |x| ≤ 3.95, ±1 beyond. P and Q are a minimax fit of ours (relative error 2.1e-8 in
 * exact arithmetic, at most 4e-7 in float32; 2026-11-22).
 */
export const ERF = /* wgsl */ `
fn erf(x: f32) -> f32 {
  let t = min(x * x, 15.6025);
  let p = 1.12837914 + t * (0.191549176 + t * (0.0528752855 + t * (0.00380811065 + t * (0.000284686250 + t * 2.02591204e-6))));
  let q = 1.0 + t * (0.503088713 + t * (0.114559145 + t * (0.0150549871 + t * (0.00117071285 + t * 3.78317660e-5))));
  return clamp(clamp(x, -3.95, 3.95) * p / q, -1.0, 1.0);
}
`;

/** The exact GELU: x · ½(1 + erf(x / √2)) */
export const GELU = /* wgsl */ `${ERF}
fn gelu(x: f32) -> f32 { return 0.5 * x * (1.0 + erf(x * 0.707106781)); }
`;
