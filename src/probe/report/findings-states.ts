/** Findings on controls, seeds and hidden states: whether the action uses its context, what chance changes, what steps change. */
import type { ProbeResult } from "../result/result.ts";
import { lastStep, seedName, short, truthWords } from "../result/sentences.ts";
import { spreadSentences } from "../result/spread.ts";
import { withInterval } from "./chart.ts";
import { portion } from "./words.ts";

/** Whether contexts that know nothing of the episode are worse, from differences paired by episode where they are known. */
export function controls(result: ProbeResult): string {
  const { video_axis, video_axis_interval, controls: known, control_differences, probe_steps } = result;
  const k = probe_steps.length - 1;
  const own = video_axis.mse_to_truth?.[k];
  const ownEnds = video_axis_interval.mse_to_truth?.[k];
  const all = [
    ["a zeroed context", known.zeroed_context, control_differences?.zeroed_context],
    ["another episode's context", known.other_episode_context, control_differences?.other_episode_context],
    ["its own frames shuffled", known.frames_shuffled, control_differences?.frames_shuffled],
  ] as const;
  return all
    .flatMap(([name, level, paired]) => {
      // Frames that cannot be shuffled are no gap.
      if (!level) return name.includes("shuffled") ? [] : [`The control with ${name} was not measured.`];
      if (own === undefined || !level.to_truth)
        return `With ${name} the action moves by ${withInterval(level.to_last.mean, level.to_last.interval)} (mean squared).`;
      const { mean, interval } = level.to_truth;
      const head = `With ${name} the error is ${withInterval(mean, interval)}`;
      if (mean <= own) return `${head}, no larger than with its own: nothing shows that the action uses it.`;
      const by = paired ? `, larger by ${withInterval(paired.mean, paired.interval)}` : "";
      const isShown = paired?.interval
        ? paired.interval.low > 0
        : interval && ownEnds && interval.low > ownEnds.high;
      const doubt = isShown
        ? ": it is worse"
        : !(paired?.interval ?? (interval && ownEnds))
          ? "; without intervals this is a hint at most"
          : paired?.interval
            ? "; the interval of the difference holds 0, so this is a hint at most"
            : "; the intervals overlap, so this is a hint at most";
      return `${head}, ${portion(mean, own)} that with its own${by}${doubt}.`;
    })
    .join(" ");
}

const isOne = (seeds: readonly number[] | "same"): boolean => seeds !== "same" && seeds.length === 1;

export function seeds(result: ProbeResult): string | null {
  const { between_seeds, video_axis, probe_steps: steps, video_seeds, action_seeds } = result;
  const { video, action } = between_seeds;
  const last = steps.length - 1;
  if (video === null && action === null)
    return `One ${seedName(result)}${isOne(action_seeds) ? " and one action seed were" : " was"} run, so it is not known how far apart equally good answers lie.`;
  const parts: string[] = [];
  if (video !== null) {
    // The earliest step from which on every probed one is nearer to the last than seeds are to each other.
    let from = last;
    while (from > 0 && video_axis.mse_to_last[from - 1] < video) from--;
    parts.push(
      `The last decodes of two of the ${video_seeds.length} ${seedName(result)}s differ by ${short(video)} (mean squared).`,
    );
    if (last > 0)
      parts.push(
        from < last
          ? `From step ${steps[from]} on, decodes are nearer to their last than that (${short(video_axis.mse_to_last[from])} at ${steps[from]}): what later steps change is less than what chance changes.`
          : `The decode of step ${steps[last - 1]}, the last but one that was probed, is no nearer to its last than that.`,
      );
  }
  if (action !== null) parts.push(`Two action seeds differ by ${short(action)}.`);
  return parts.join(" ");
}

/** Whether prompts that leave something open spread more; says what is missing where the data have such labels. */
export function ambiguity(result: ProbeResult): string | null {
  const said = spreadSentences(result);
  if (said.length > 0) return said.join(" ");
  const values = new Set(
    result.episode_labels.flatMap((labels) => (Object.hasOwn(labels, "ambiguity") ? [labels.ambiguity] : [])),
  );
  if (values.size < 2 || result.spread_by_label.length > 0) return null;
  return "The data say which prompts are ambiguous, but one seed was run, so it is not known whether their answers lie farther apart; --video-seeds 2 measures it.";
}

export function hiddenStates(result: ProbeResult): string | null {
  const { tap_similarity: found, probe_steps: steps } = result;
  if (!found || steps.length < 2) return null;
  const last = steps.length - 1;
  const at = (matrix: readonly (readonly number[])[], k: number) => matrix[k][last];
  return (
    `The hidden states of step ${steps[last - 1]} and ${lastStep(result)} have a centred cosine of ${short(at(found.cosine, last - 1))} (shuffled: ${short(at(found.cosine_null, last - 1))}) and a linear CKA of ` +
    `${short(at(found.cka, last - 1))} (${short(at(found.cka_null, last - 1))}); those of step ${steps[0]} and ${lastStep(result)} ${short(at(found.cosine, 0))} (${short(at(found.cosine_null, 0))}) and ` +
    `${short(at(found.cka, 0))} (${short(at(found.cka_null, 0))}). Only what exceeds the shuffled value is agreement, and how alike states are does not say how alike actions are.`
  );
}

/** Errors of rotations and switches at the last step. */
export function byPart(result: ProbeResult): string | null {
  const last = result.probe_steps.length - 1;
  const words = result.by_part.flatMap(({ name, kind, unit, error, error_interval, events }) => {
    const value = error.mse_to_truth?.[last];
    const timed = events?.to_truth?.timed[last];
    if (value === null || value === undefined) return [];
    const size = withInterval(value, error_interval.mse_to_truth?.[last]);
    if (kind === "event")
      return [
        `${name} switches ${size} positions off${timed === undefined ? "" : `, where both switch (${Math.round(100 * timed)} % of chunks)`}`,
      ];
    if (kind === "logits") return [`${name} is of another class in a share of ${size}`];
    return [`${name} by ${size}${unit ? ` (${unit === "deg" ? "degrees" : unit})` : ""}`];
  });
  if (words.length === 0) return null;
  return `At step ${lastStep(result)}, decodes miss ${truthWords(result)} in the mean: ${words.slice(0, 8).join("; ")}.`;
}
