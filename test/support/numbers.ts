/** Seeded numbers and the one measure of error. */

/** Deterministic uniform numbers in [−1, 1) (a 32-bit mixing generator). */
export function uniform(seed: number, length: number, scale = 1): Float32Array<ArrayBuffer> {
  let state = (seed + 0x9e3779b9) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * scale;
  });
}

/** ‖ours − truth‖₂ / ‖truth‖₂; not a number anywhere gives infinity. */
export function relativeError(ours: ArrayLike<number>, truth: ArrayLike<number>): number {
  if (ours.length !== truth.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let total = 0;
  for (let i = 0; i < truth.length; i++) {
    if (!Number.isFinite(ours[i])) return Number.POSITIVE_INFINITY;
    difference += (ours[i] - truth[i]) ** 2;
    total += truth[i] ** 2;
  }
  if (total === 0) return difference === 0 ? 0 : Number.POSITIVE_INFINITY;
  return Math.sqrt(difference / total);
}

/** The nearest number of float16, ties to even; x in its normal range or near zero. */
export function toFloat16(x: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(x) || 1e-30)));
  const unit = 2 ** (exponent - 10);
  const scaled = x / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  return (floor + Number(up)) * unit;
}
