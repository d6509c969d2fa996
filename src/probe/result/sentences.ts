/** What figure and summary share, so that both say the same with the same numbers. */
import type { ProbeResult } from "./result.ts";

/** A number for reading: three significant digits, plain between 0.001 and 10000. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 0.001 || size >= 10000 ? value.toExponential(1).replace("e-", "e−") : value.toPrecision(3);
}

const count = (n: number, thing: string) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** The answer to the probe's question, or why there is none. */
export function sufficientSentence({ sufficient_step, video_steps }: ProbeResult): string {
  const { step, reason, tolerance } = sufficient_step;
  if (step === null) return `Sufficient video step: undetermined. ${reason}`;
  const region = tolerance === null ? "" : ` (±${short(tolerance)}, 5 % of the hold-still error)`;
  const last = step === video_steps ? ", the last" : "";
  return `Sufficient video step: ${step} of ${video_steps}${last}${region}. ${reason}`;
}

/** How much was measured. */
export function sampleSentence({ episodes, video_seeds, action_seeds }: ProbeResult): string {
  return [
    count(episodes.length, "episode"),
    count(video_seeds.length, "video seed"),
    count(action_seeds.length, "action seed"),
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

/** Breaks a sentence between words into lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line !== undefined && line.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/**
 * Indices of at most about `most` of ascending whole numbers, to label or list them: all while they are few, else the
 * multiples of a round stride, and always the last.
 */
export function roundIndices(steps: number[], most: number): number[] {
  const all = steps.map((_, i) => i);
  const last = steps.length - 1;
  if (steps.length <= most) return all;
  const isKept = (i: number, stride: number) =>
    i === last || (steps[i] % stride === 0 && steps[i] + stride / 2 < steps[last]);
  for (let decade = 1; ; decade *= 10)
    for (const stride of [decade, 2 * decade, 5 * decade]) {
      const kept = all.filter((i) => isKept(i, stride));
      if (kept.length <= most) return kept;
    }
}
