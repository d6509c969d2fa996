/**
 * Actions as the policy has them and as the robot takes them, by quantiles of its training data:
 *
 *   action = (a + 1)·(q99 − q01)/2 + q01
 *
 * Nothing is clipped; a dimension whose quantiles coincide counts as one of width ε. Where there are no statistics, both are the same.
 */
import { FormatError } from "../../errors.ts";

export interface Quantiles {
  readonly q01: readonly number[];
  readonly q99: readonly number[];
  readonly epsilon: number;
}

/** LeRobot's, where a processor does not say. */
const EPSILON = 1e-8;

export class ActionStatistics {
  readonly #q: Quantiles | undefined;

  /** @throws FormatError unless there are as many of either as dimensions */
  constructor(
    quantiles: (Omit<Quantiles, "epsilon"> & { readonly epsilon?: number }) | undefined,
    dimensions: number,
    name: string,
  ) {
    if (quantiles && (quantiles.q01.length !== dimensions || quantiles.q99.length !== dimensions))
      throw new FormatError(
        `${name}: action.q01 and action.q99 have ${quantiles.q01.length} and ${quantiles.q99.length} values for ${dimensions} dimensions`,
      );
    this.#q = quantiles && { epsilon: EPSILON, ...quantiles };
  }

  /** (…, dimensions) → the robot's */
  toData(values: Float32Array): Float32Array<ArrayBuffer> {
    return this.#mapped(values, (a, low, span) => ((a + 1) * span) / 2 + low);
  }

  /** (…, dimensions) of the robot's → normalised */
  normalise(values: Float32Array): Float32Array<ArrayBuffer> {
    return this.#mapped(values, (x, low, span) => (2 * (x - low)) / span - 1);
  }

  #mapped(
    values: Float32Array,
    map: (v: number, low: number, span: number) => number,
  ): Float32Array<ArrayBuffer> {
    const q = this.#q;
    if (!q) return Float32Array.from(values);
    return Float32Array.from(values, (v, i) => {
      const d = i % q.q01.length;
      const span = q.q99[d] - q.q01[d];
      return map(v, q.q01[d], span === 0 ? q.epsilon : span);
    });
  }
}
