/**
 * The difference of two means over different episodes, ā − b̄, with standard error s = √(s_a² + s_b²), s_a = sd(a)/√A.
 *
 *   Welch         ā − b̄ ± t(ν)·s                    ν = s⁴ / (s_a⁴/(A − 1) + s_b⁴/(B − 1)), rounded down
 *   bootstrap-t   ā − b̄ − q(1 − α/2)·s … − q(α/2)·s   q: quantiles of (d* − d)/s*, each group resampled by itself
 *
 * The interval is the hull of both, as for one mean (bootstrap.ts).
 */
import {
  type BootstrapOptions,
  FEWEST_RESAMPLED,
  type Interval,
  LEAST_SPREAD,
  mulberry32,
  quantile,
} from "./bootstrap.ts";
import { meanOf } from "./curve.ts";
import { studentQuantile } from "./student.ts";

/**
 * @param a one value for each independent episode of a group, at least one
 * @returns the interval is null where a group has fewer than 2
 */
export function differenceOfMeans(
  a: readonly number[],
  b: readonly number[],
  { level = 0.95, resamples = 10_000, seed = 0 }: BootstrapOptions = {},
): { mean: number; interval: Interval | null } {
  const mean = meanOf(a) - meanOf(b);
  if (a.length < 2 || b.length < 2) return { mean, interval: null };
  const [va, vb] = [varianceOfMean(a), varianceOfMean(b)];
  const error = Math.sqrt(va + vb);
  if (error === 0) return { mean, interval: { low: mean, high: mean } };
  const freedom = Math.floor((va + vb) ** 2 / (va ** 2 / (a.length - 1) + vb ** 2 / (b.length - 1)));
  const tail = (1 - level) / 2;
  const welch = studentQuantile(1 - tail, Math.max(1, freedom));
  let [low, high] = [-welch, welch];
  if (Math.min(a.length, b.length) >= FEWEST_RESAMPLED) {
    const random = mulberry32(seed);
    const draw = (values: readonly number[]): number[] =>
      values.map(() => values[Math.floor(random() * values.length)]);
    const t = Float64Array.from({ length: resamples }, () => {
      const [one, two] = [draw(a), draw(b)];
      const spread = Math.sqrt(varianceOfMean(one) + varianceOfMean(two));
      return (meanOf(one) - meanOf(two) - mean) / Math.max(spread, LEAST_SPREAD * error);
    }).sort();
    low = Math.min(low, -quantile(t, 1 - tail));
    high = Math.max(high, -quantile(t, tail));
  }
  return { mean, interval: { low: mean + low * error, high: mean + high * error } };
}

function varianceOfMean(values: readonly number[]): number {
  const mean = meanOf(values);
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return squares / (values.length - 1) / values.length;
}
