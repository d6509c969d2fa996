/** What figure and summary share, so that both say the same with the same numbers. */
import type { ProbeResult } from "./result.ts";
import { count, short } from "./words.ts";

export { count, listOf, roundIndices, short, withRoom, wrap } from "./words.ts";

/** What decides how steps are called. */
export type Spoken = Pick<ProbeResult, "iterate_axis" | "words">;

/** There is no video where what is denoised is what is read. */
const isVideo = ({ iterate_axis, words }: Spoken): boolean => iterate_axis === null && words === null;

/** The probe's question. */
export const question = ({ words }: Pick<ProbeResult, "words">): string =>
  words
    ? `After how many calls of the network does the ${words.what} stop changing?`
    : "After how many denoising steps does the action stop changing?";
/** What errors are measured to, where it is known. */
export const truthWords = ({ words }: Pick<ProbeResult, "words">): string =>
  words?.truth ?? "the true actions";
/** What errors are errors of. */
export const readWords = ({ words }: Pick<ProbeResult, "words">): string =>
  words?.read ?? "the decoded actions";
/** The unit of squared errors. */
export const errorUnit = ({ words }: Pick<ProbeResult, "words">): string =>
  words ? words.read : "normalised action units²";

/** What the steps are steps of: "video", or "denoising" where that is all they are. */
export const axisName = (result: Spoken): string => (isVideo(result) ? "video" : "denoising");
/** The same at the beginning of a sentence. */
export const axisTitle = (result: Spoken): string => (isVideo(result) ? "Video" : "Denoising");
/** How a step of the axis is called where it stands alone, as below a figure. */
export const axisStep = (result: Spoken): string =>
  isVideo(result) ? "video denoising step" : "denoising step";
/** What `video_seeds` are seeds of. */
export const seedName = (result: Spoken): string => (isVideo(result) ? "video seed" : "noise seed");

/** The last step that was probed: the schedule's N, or the last of it that can be read. */
export const lastStep = ({ probe_steps }: ProbeResult): number => probe_steps[probe_steps.length - 1];

/** The answer in a few words. */
export function verdictHeadline(result: ProbeResult): string {
  if (result.population) return callsHeadline(result.population);
  const { step } = result.verdict;
  if (step === null) return `Sufficient ${axisName(result)} step: undetermined.`;
  const last = lastStep(result);
  if (step === last) return `Sufficient ${axisName(result)} step: none before the last, ${last}.`;
  return `Sufficient ${axisName(result)} step: ${step} of ${result.video_steps}.`;
}

function callsHeadline({ verdict, schedules }: NonNullable<ProbeResult["population"]>): string {
  if (verdict.status === "undetermined") return "Sufficient calls of the network: undetermined.";
  const ways = schedules.map(
    ({ words, sufficient, calls }) =>
      `${sufficient === null ? `not even ${calls.at(-1)}` : sufficient} by the ${words}`,
  );
  return `Sufficient calls of the network: ${ways.join(", ")}.`;
}

/** Why it is the answer, or why there is none: of all samples together, where they are judged so. */
export const verdictReason = ({ population, verdict }: ProbeResult): string =>
  population?.verdict.reason ?? verdict.reason;

/** The answer to the probe's question with its reasons, or why there is none. */
export function verdictSentence(result: ProbeResult): string {
  return `${verdictHeadline(result)} ${verdictReason(result)}`;
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
