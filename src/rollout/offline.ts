/** The offline error of a probe's run, to stand beside trials: the same model, the same stops. */
import { UsageError } from "../errors.ts";
import type { ProbeResult } from "../probe/result/result.ts";
import type { OfflineResult } from "./result.ts";

/**
 * The error to the true actions at each stop.
 * @param file what the result is called, for messages
 * @throws UsageError when it is of other weights, knows no truth, or did not probe a stop
 */
export function offlineOf(
  probe: ProbeResult,
  { stops, weightsSha256 }: { readonly stops: readonly number[]; readonly weightsSha256: string },
  file: string,
): OfflineResult {
  const [theirs, ours] = [probe.model.weights_sha256, weightsSha256].map((hash) => hash.slice(0, 12));
  if (theirs !== ours)
    throw new UsageError(
      `--offline ${file} is of the weights ${theirs}, the policy has ${ours}: run the probe on the same model.`,
    );
  const errors = probe.video_axis.mse_to_truth;
  if (!errors)
    throw new UsageError(
      `--offline ${file} knows no true actions. Run the probe on data that have some, or leave --offline out.`,
    );
  const intervals = probe.video_axis_interval.mse_to_truth;
  return {
    source: `the probe's ${probe.episodes.length} episodes (${file})`,
    units: "squared normalised units",
    stops: stops.map((stop) => {
      const k = probe.probe_steps.indexOf(stop);
      if (k < 0)
        throw new UsageError(
          `--offline ${file} has the steps ${probe.probe_steps.join(", ")} and not ${stop}. Run the probe with --probe-steps ${stops.join(",")}.`,
        );
      const trials = probe.episodes.length;
      return { stop, trials, mean: errors[k], interval: intervals?.[k] ?? null };
    }),
  };
}
