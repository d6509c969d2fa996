/**
 * Student's t for whole degrees of freedom ν, by the finite sums of its integral (θ = atan(t/√ν)):
 *
 *   P(|T| < t) = sin θ · (1 + ½·cos²θ + ½·¾·cos⁴θ + … to cos^(ν−2) θ)                      ν even
 *              = 2/π · (θ + sin θ · (cos θ + ⅔·cos³θ + ⅔·⅘·cos⁵θ + … to cos^(ν−2) θ))      ν odd
 */

/** P(T ≤ t). Exact to about 1e-15, so tails below that are 0. */
export function studentCdf(t: number, freedom: number): number {
  const theta = Math.atan(Math.abs(t) / Math.sqrt(freedom));
  const cosine = Math.cos(theta);
  const odd = freedom % 2 === 1;
  let [term, sum] = odd ? [cosine, cosine] : [1, 1];
  if (freedom === 1) sum = 0;
  for (let power = odd ? 3 : 2; power <= freedom - 2; power += 2) {
    term *= (cosine * cosine * (power - 1)) / power;
    sum += term;
  }
  const inside = odd ? (2 / Math.PI) * (theta + Math.sin(theta) * sum) : Math.sin(theta) * sum;
  return t < 0 ? (1 - inside) / 2 : (1 + inside) / 2;
}

/** The t below which T lies with probability p in (0, 1). */
export function studentQuantile(p: number, freedom: number): number {
  if (p < 0.5) return -studentQuantile(1 - p, freedom);
  let [low, high] = [0, 1];
  while (studentCdf(high, freedom) < p && high < 1e12) high *= 2;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (studentCdf(middle, freedom) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
