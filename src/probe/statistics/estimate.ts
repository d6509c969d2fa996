/** A mean over episodes with its interval: what most statements of a result are made of. */
import type { ClusterBootstrap, Interval } from "./bootstrap.ts";

export interface Estimate {
  mean: number;
  /** 95 %; null with one independent episode. */
  interval: Interval | null;
}

/**
 * @param perEpisode (E) one value an episode.
 * @param bounds what no mean can lie beyond, so that nothing is lost where an interval ends there; default none.
 */
export function estimateOf(
  perEpisode: readonly number[],
  bootstrap: ClusterBootstrap,
  { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = {},
): Estimate {
  const found = bootstrap(perEpisode);
  const inside = (end: number): number => Math.min(Math.max(end, least), most);
  return {
    mean: bootstrap.mean(perEpisode),
    interval: found && { low: inside(found.low), high: inside(found.high) },
  };
}
