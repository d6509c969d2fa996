/** A mean over episodes with its interval: what most statements of a result are made of. */
import type { ClusterBootstrap, Interval } from "./bootstrap.ts";

export interface Estimate {
  mean: number;
  /** 95 %; null with one independent episode. */
  interval: Interval | null;
}

/** @param perEpisode (E) one value an episode. */
export const estimateOf = (perEpisode: readonly number[], bootstrap: ClusterBootstrap): Estimate => ({
  mean: bootstrap.mean(perEpisode),
  interval: bootstrap(perEpisode),
});
