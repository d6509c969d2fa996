/** What figure and summary share, so that both say the same with the same numbers. */
import type { ProbeResult } from "./result.ts";
import { count, short } from "./words.ts";

export { listOf, roundIndices, short, withRoom, wrap } from "./words.ts";

/** There is no video where what is denoised is what is read. */
const isVideo = ({ iterate_axis }: Pick<ProbeResult, "iterate_axis">): boolean => iterate_axis === null;

/** What the steps are steps of: "video", or "denoising" where that is all they are. */
export const axisName = (result: Pick<ProbeResult, "iterate_axis">): string =>
  isVideo(result) ? "video" : "denoising";
/** The same at the beginning of a sentence. */
export const axisTitle = (result: Pick<ProbeResult, "iterate_axis">): string =>
  isVideo(result) ? "Video" : "Denoising";
/** How a step of the axis is called where it stands alone, as below a figure. */
export const axisStep = (result: Pick<ProbeResult, "iterate_axis">): string =>
  isVideo(result) ? "video denoising step" : "denoising step";
/** What `video_seeds` are seeds of. */
export const seedName = (result: Pick<ProbeResult, "iterate_axis">): string =>
  isVideo(result) ? "video seed" : "noise seed";

/** The last step that was probed: the schedule's N, or the last of it that can be read. */
export const lastStep = ({ probe_steps }: ProbeResult): number => probe_steps[probe_steps.length - 1];

/** The answer in a few words. */
export function verdictHeadline(result: ProbeResult): string {
  const { step } = result.verdict;
  if (step === null) return `Sufficient ${axisName(result)} step: undetermined.`;
  const last = lastStep(result);
  if (step === last) return `Sufficient ${axisName(result)} step: none before the last, ${last}.`;
  return `Sufficient ${axisName(result)} step: ${step} of ${result.video_steps}.`;
}

/** The answer to the probe's question with its reasons, or why there is none. */
export function verdictSentence(result: ProbeResult): string {
  return `${verdictHeadline(result)} ${result.verdict.reason}`;
}

/** How often intervals of so few episodes hold the truth; empty where they do as often as they say. */
export function coverageSentence({ interval }: ProbeResult): string {
  const expected = interval.expected_coverage;
  if (!expected) return "";
  const { normal, t3, lognormal_half, lognormal_one } = expected;
  const three = [normal, t3, lognormal_half].map(Math.round);
  const range = `${Math.min(...three)} to ${Math.max(...three)} %`;
  return (
    `Of 95 % intervals over ${interval.clusters} episodes ${range} hold the truth in simulation, ` +
    `${Math.round(lognormal_one)} % where a few episodes make most of the error.`
  );
}

/** How straight the flow's own way is, at its ends and where it is most crooked; empty where that was not asked. */
export function straightnessSentence({ straightness }: Pick<ProbeResult, "straightness">): string {
  if (!straightness) return "";
  const { of, times, residual, interval } = straightness;
  const at = (p: number): string => {
    const ends = interval?.[p];
    return `${short(residual[p])}${ends ? ` [${short(ends.low)}, ${short(ends.high)}]` : ""} at time ${Number(times[p].toFixed(3))}`;
  };
  const last = residual.length - 1;
  const most = residual.indexOf(Math.max(...residual));
  const places = [...new Set([0, most, last])].sort((a, b) => a - b);
  return (
    `Straightness of ${of}: along its own way, what a single step of the velocity would miss is, relative to the velocity, ${places.map(at).join(", ")} ` +
    "(0: a straight way, which one step walks)."
  );
}

/** How much was measured. */
export function sampleSentence(result: ProbeResult): string {
  const { episodes, interval, video_seeds, action_seeds } = result;
  const copies = episodes.length - interval.clusters;
  return [
    count(episodes.length, "episode") + (copies > 0 ? ` (${interval.clusters} independent)` : ""),
    count(video_seeds.length, seedName(result)),
    ...(action_seeds === "same"
      ? isVideo(result)
        ? ["the same seed for the action"]
        : []
      : [count(action_seeds.length, "action seed")]),
  ].join(" × ");
}

/** Where the numbers come from, in one line without a date. */
export function stampSentence(result: ProbeResult): string {
  const { model, device, dtype, versions } = result;
  const trained = {
    random: "random weights",
    toy: "trained on a toy",
    pretrained: "pretrained",
  }[model.trained_on];
  return [
    `${model.name} (${trained}${model.revision === "unversioned" ? "" : `, ${model.revision.slice(0, 12)}`})`,
    `weights sha256 ${model.weights_sha256.slice(0, 12)}`,
    `${device.name}${device.software ? ", software" : ""}`,
    dtype,
    sampleSentence(result),
    `version ${versions.project ?? "?"}`,
  ].join("  ·  ");
}

/** Steps by what they are called, for a table: "better", "worse", "equivalent", or nothing. */
export function stepWords({ verdict }: ProbeResult, step: number): string {
  const { better_steps, worse_steps, equivalent_steps } = verdict;
  return [
    ...(better_steps.includes(step) ? ["better"] : []),
    ...(worse_steps.includes(step) ? ["worse"] : []),
    ...(equivalent_steps.includes(step) ? ["equivalent"] : []),
  ].join(", ");
}
