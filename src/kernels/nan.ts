/**
 * Bounds that pass NaN on, as PyTorch's do: a NaN must reach the result, or a checkpoint of NaNs looks like a plausible model. WGSL
 * leaves open what max, min and clamp make of NaN, implementations may assume that there is none, and compilers make max of
 * `select(x, low, x < low)`, which drops it. So bounds are decided by the bits of a float, which no such assumption touches. Sums and
 * products pass NaN on by themselves, and a softmax does through its exponentials, whichever its highest logit is.
 */

const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0];

/**
 * Whether the bits of x lie between two patterns: moved to the upper end of the signed integers, one addition and one signed comparison
 * decide. (An unsigned one takes two instructions more on processors with SSE.) In attention the price, one addition an exponential, is
 * below what can be measured (SwiftShader 5.0.0, 2026-11-25).
 */
const among = (x: string, first: number, last: number): string => {
  const move = (0x7fffffff - last) | 0;
  return `bitcast<i32>(${x}) + ${move} > ${(first - 1 + move) | 0}`;
};

/** A WGSL condition: x < limit, which is at most 0; false for NaN. The bits of negative floats ascend to those of −∞. */
export const isBelow = (x: string, limit: number): string =>
  among(x, bitsOf(-Math.abs(limit)) + 1, 0xff800000);

/** A WGSL condition: x > limit, which is at least 0; false for NaN. */
export const isAbove = (x: string, limit: number): string => among(x, bitsOf(limit) + 1, 0x7f800000);

/** `isNan(x)`, and `atLeast(x, low)`, `atMost(x, high)`: the bound or x, and x where it is NaN. */
export const BOUNDS = /* wgsl */ `
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn atLeast(x: f32, low: f32) -> f32 { return select(max(x, low), x, isNan(x)); }
fn atMost(x: f32, high: f32) -> f32 { return select(min(x, high), x, isNan(x)); }
`;
