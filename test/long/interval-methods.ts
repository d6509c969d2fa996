/** Intervals of a mean that were compared with the one the probe prints (src/probe/statistics/bootstrap.ts). */
import { type Interval, mulberry32, quantile } from "../../src/probe/statistics/bootstrap.ts";
import { studentCdf, studentQuantile } from "../../src/probe/statistics/student.ts";

export type Method = "percentile" | "BCa" | "bootstrap-t" | "Student";
export const METHODS: readonly Method[] = ["percentile", "BCa", "bootstrap-t", "Student"];

const MANY = 2_001; // degrees of freedom at which Student is as good as normal here
const TAIL = 0.025;
const NORMAL = -1.959963984540054;

/** 95 % intervals of the mean of n values by each method, from the same resamples. */
export function methods(
  n: number,
  resamples: number,
  seed = 0,
): Record<Method, (values: Float64Array) => Interval> {
  const random = mulberry32(seed);
  const drawn = Uint16Array.from({ length: resamples * n }, () => Math.floor(random() * n));
  const student = studentQuantile(1 - TAIL, n - 1);
  const summary = (values: Float64Array) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const moment = (power: number) => values.reduce((sum, value) => sum + (value - mean) ** power, 0);
    return { mean, squares: moment(2), cubes: moment(3), error: Math.sqrt(moment(2) / (n - 1) / n) };
  };
  /** Means less the sample's, or those over their own standard errors; ascending. */
  const resampled = (values: Float64Array, mean: number, studentised: boolean): Float64Array => {
    const out = new Float64Array(resamples);
    for (let b = 0; b < resamples; b++) {
      let [sum, squares] = [0, 0];
      for (let i = 0; i < n; i++) {
        const value = values[drawn[b * n + i]] - mean;
        sum += value;
        squares += value * value;
      }
      const shift = sum / n;
      out[b] = studentised
        ? shift / Math.sqrt(Math.max((squares / n - shift ** 2) / (n - 1), 1e-300))
        : shift;
    }
    return out.sort();
  };
  return {
    percentile: (values) => {
      const { mean } = summary(values);
      const shifts = resampled(values, mean, false);
      return { low: mean + quantile(shifts, TAIL), high: mean + quantile(shifts, 1 - TAIL) };
    },
    BCa: (values) => {
      const { mean, squares, cubes } = summary(values);
      const shifts = resampled(values, mean, false);
      const below = Math.min(Math.max(shifts.filter((x) => x < 0).length, 1), resamples - 1) / resamples;
      const bias = studentQuantile(below, MANY);
      const acceleration = cubes / (6 * squares ** 1.5);
      const end = (z: number) => {
        const p = studentCdf(bias + (bias + z) / (1 - acceleration * (bias + z)), MANY);
        return mean + quantile(shifts, p);
      };
      return { low: end(NORMAL), high: end(-NORMAL) };
    },
    "bootstrap-t": (values) => {
      const { mean, error } = summary(values);
      const t = resampled(values, mean, true);
      return { low: mean - quantile(t, 1 - TAIL) * error, high: mean - quantile(t, TAIL) * error };
    },
    Student: (values) => {
      const { mean, error } = summary(values);
      return { low: mean - student * error, high: mean + student * error };
    },
  };
}
