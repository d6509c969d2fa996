/**
 * The oracle step: of each episode the probed step with the smallest error to the truth, which nobody knows beforehand. The regret of a fixed
 * step against it bounds from above what any rule that stops episode by episode could gain. Part of it is chance: the least of K noisy errors is
 * below each of them even where all steps are equally good.
 */
import type { ClusterBootstrap, Interval } from "./bootstrap.ts";
import { type Estimate, estimateOf } from "./estimate.ts";

export interface OracleStep {
  /** (E) place among the probed steps, the earliest of equals */
  places: number[];
  /** error at those */
  error: Estimate;
  /** (K) mean of MSE(k) less that of the oracle step, at least 0 */
  regret: number[];
  /** (K); null with one independent episode */
  regretInterval: Interval[] | null;
}

/** @param perEpisode (E, K) errors to the truth, means over seeds. */
export function oracleStep(
  perEpisode: readonly (readonly number[])[],
  bootstrap: ClusterBootstrap,
): OracleStep {
  const least = perEpisode.map((row) => Math.min(...row));
  const regrets = perEpisode[0].map((_, k) =>
    estimateOf(
      perEpisode.map((row, e) => row[k] - least[e]),
      bootstrap,
      { least: 0 },
    ),
  );
  const intervals = regrets.map(({ interval }) => interval);
  return {
    places: perEpisode.map((row, e) => row.indexOf(least[e])),
    error: estimateOf(least, bootstrap, { least: 0 }),
    regret: regrets.map(({ mean }) => mean),
    regretInterval: intervals.includes(null) ? null : (intervals as Interval[]),
  };
}
