/** What a result says, in sentences: the errors at both ends, whether a step suffices, what must not be concluded. */
import type { ProbeResult } from "../src/probe/result/result.ts";
import { short, verdictSentence } from "../src/probe/result/sentences.ts";

export function answer(result: ProbeResult): string {
  return [errorSentence(result), verdictSentence(result), result.statement].filter(Boolean).join(" ");
}

function errorSentence({ video_axis, floors, probe_steps }: ProbeResult): string {
  const [errors, floor] = [video_axis.mse_to_truth, floors.hold_still_to_truth];
  if (!errors || probe_steps.length < 2) return "";
  const standing = floor === null ? "" : `; a robot that stands still scores ${short(floor)}`;
  return `Mean squared error to the true actions: ${short(errors[0])} decoded at step ${probe_steps[0]}, ${short(errors.at(-1)!)} at step ${probe_steps.at(-1)}${standing}.`;
}
