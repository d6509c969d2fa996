/**
 * What a result says, in plain words made from its numbers. Each finding names its numbers and how far they carry; where
 * something was not measured it says so or is left out, and no sentence stands here that the numbers could not have denied.
 */
import type { Interval } from "../statistics/bootstrap.ts";
import type { ProbeResult } from "../result/result.ts";
import {
  axisTitle,
  coverageSentence,
  lastStep,
  listOf,
  sampleSentence,
  short,
  truthWords,
  straightnessSentence,
} from "../result/sentences.ts";
import { count } from "../result/words.ts";
import { withInterval } from "./chart.ts";
import { ambiguity, byPart, controls, hiddenStates, seeds } from "./findings-states.ts";
import { exitRules, oneEpisode, oracle, shorterSchedules, singleRuns } from "./findings-stopping.ts";
import { portion } from "./words.ts";

export interface Finding {
  readonly about: string;
  readonly says: string;
}

/** In the order of a reader's questions. */
export function findings(result: ProbeResult): Finding[] {
  const all: [string, string | null][] = [
    ["Steps against the last", comparedSteps(result)],
    ["Regret", regret(result)],
    ["Size of the error", size(result)],
    ["By what dimensions mean", byPart(result)],
    [`Does the ${result.words?.what ?? "action"} use the context`, controls(result)],
    ["Change and chance", seeds(result)],
    ["Ambiguous prompts", ambiguity(result)],
    ["Single runs", singleRuns(result)],
    ["Does one episode decide", oneEpisode(result)],
    ["Oracle step", oracle(result)],
    ["Stopping by a signal", exitRules(result)],
    ["Shorter schedules", shorterSchedules(result)],
    ["Hidden states", hiddenStates(result)],
    ["Inside the action", insideAction(result)],
    ["Straightness", straightnessSentence(result) || null],
    ["Recorded future", recordedFuture(result)],
    ["Intervals", intervals(result)],
    ["What does not follow", limits(result)],
  ];
  const single = [
    "Single runs",
    "Does one episode decide",
    "Oracle step",
    "Stopping by a signal",
    "Shorter schedules",
  ];
  // Of single read-outs, which do not judge where all samples are judged together.
  const kept = result.population ? all.filter(([about]) => !single.includes(about)) : all;
  return kept.flatMap(([about, says]) => (says === null ? [] : [{ about, says }]));
}

function comparedSteps({ probe_steps: steps, verdict }: ProbeResult): string | null {
  const {
    status,
    difference,
    difference_interval: ends,
    better_steps,
    worse_steps,
    equivalent_steps,
  } = verdict;
  if (status === "undetermined" || !difference) return null;
  const last = steps[steps.length - 1];
  const numbers = (chosen: readonly number[]) =>
    chosen
      .map((step) => steps.indexOf(step))
      .map((k) => `${steps[k]} by ${withInterval(Math.abs(difference[k]), turned(difference[k], ends?.[k]))}`)
      .join(", ");
  const open = steps.filter(
    (step) => step !== last && ![...better_steps, ...worse_steps, ...equivalent_steps].includes(step),
  );
  return [
    better_steps.length > 0
      ? `Better than step ${last}: ${numbers(better_steps)}.`
      : `No earlier probed step is shown to be better than step ${last}.`,
    worse_steps.length > 0 ? `Worse: ${numbers(worse_steps)}.` : "None is shown to be worse.",
    "Both lists are corrected for the number of steps (Holm).",
    ...(equivalent_steps.length > 0
      ? [`Equivalent to it, within the margin on both sides: ${listOf(equivalent_steps)}.`]
      : []),
    ...(open.length > 0
      ? [`Of ${listOf(open)} neither is shown: that is no statement that nothing differs.`]
      : []),
  ].join(" ");
}

/** The interval of an amount that is said without its sign. */
const turned = (value: number, interval: Interval | undefined): Interval | undefined =>
  interval && value < 0 ? { low: -interval.high, high: -interval.low } : interval;

function regret(result: ProbeResult): string | null {
  const { best_step, regret_of_last, regret_of_step, step } = result.verdict;
  if (best_step === null || !regret_of_last) return null;
  const last = lastStep(result);
  if (best_step === last) return `The last step, ${last}, has the smallest error of all probed ones.`;
  const cost = ({ mean, interval }: { mean: number; interval: Interval | null }) =>
    withInterval(mean, interval);
  return [
    `The probed step with the smallest error is ${best_step}. Stopping at the last, ${last}, costs ${cost(regret_of_last)} against it`,
    step !== null && step !== last && step !== best_step && regret_of_step
      ? `, stopping at the sufficient one, ${step}, ${cost(regret_of_step)}.`
      : ".",
    " The best is chosen on the same episodes, and the interval allows for the choice.",
  ].join("");
}

function size(result: ProbeResult): string | null {
  const { video_axis, video_axis_interval, floors, probe_steps } = result;
  const toTruth = video_axis.mse_to_truth;
  if (!toTruth)
    return `${result.words ? "No truth is" : "The true actions are not"} known, so nothing here says which step is right: only how far each decode is from the last one.`;
  const k = probe_steps.length - 1;
  const error = toTruth[k];
  const known = [
    ["holding still", floors.hold_still],
    ["the mean of the data set", floors.dataset_mean],
  ].flatMap(([name, level]) => {
    const to = (level as typeof floors.hold_still)?.to_truth;
    return to && to.mean > 0
      ? [`${portion(error, to.mean)} the error of ${name as string} (${short(to.mean)})`]
      : [];
  });
  return [
    `Decodes at step ${probe_steps[k]} miss ${truthWords(result)} by ${withInterval(error, video_axis_interval.mse_to_truth?.[k])}, mean squared, in normalised units`,
    known.length > 0 ? `: ${known.join(" and ")}.` : "; no floor is known to compare it with.",
  ].join("");
}

function insideAction(result: ProbeResult): string | null {
  const { action_axis_at_last_video_step: mean, null_curve, action_steps: M } = result;
  if (!mean || !null_curve) return null;
  const ratios = mean.iterate_to_final
    .map((value, n) => value / null_curve.iterate_to_final[n])
    .slice(1, M)
    .filter(Number.isFinite);
  const jump = mean.one_jump_to_final;
  const start = mean.iterate_to_final[0];
  const parts: string[] = [];
  if (ratios.length > 0) {
    const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
    const straight = least > 0.9 && most < 1.1;
    parts.push(
      `Between its ends the iterate's error is ${short(least)} to ${short(most)} times that of a straight flow` +
        (straight
          ? ": within a tenth its curve is the sampler's arithmetic, and tells nothing of what was learned."
          : ", so its curve is not the sampler's arithmetic alone."),
    );
  }
  if (start > 0)
    parts.push(
      `One jump from the noise lands at ${portion(jump[0], start)} the noise's distance from the final action (mean squared).`,
    );
  return parts.length > 0 ? parts.join(" ") : null;
}

function recordedFuture(result: ProbeResult): string | null {
  const { oracle_axis, oracle_axis_interval, video_axis, video_axis_interval, probe_steps } = result;
  if (!oracle_axis) return null;
  const k = probe_steps.length - 1;
  const [known, own] = [oracle_axis.mse_to_truth, video_axis.mse_to_truth];
  const [ends, ownEnds] = [oracle_axis_interval, video_axis_interval].map((axis) => axis?.mse_to_truth?.[k]);
  if (!known || !own)
    return "Decodes from the recorded future were made, but the true actions are not known.";
  return (
    `With the recorded future in place of the imagined one the error at step ${probe_steps[k]} is ` +
    `${withInterval(known[k], ends)}, ${portion(known[k], own[k])} that with the imagined one: ` +
    (known[k] >= own[k]
      ? "nothing shows that the error lies in what was imagined."
      : !(ends && ownEnds)
        ? "part of the error may lie in what was imagined; without intervals this is a hint at most."
        : ends.high < ownEnds.low
          ? "part of the error lies in what was imagined."
          : "part of the error may lie in what was imagined; the intervals overlap, so this is a hint at most.")
  );
}

function intervals(result: ProbeResult): string {
  const { interval, episodes } = result;
  if (interval.clusters < 2)
    return `There is ${count(interval.clusters, "independent episode")}, so there are no intervals and nothing can be said of other episodes.`;
  return [
    `Intervals are ${100 * interval.level} % ones over ${interval.clusters} independent episodes` +
      (interval.clusters < episodes.length ? ` (of ${episodes.length}; the others are copies)` : "") +
      `: ${interval.method}.`,
    coverageSentence(result) ||
      "In simulation they hold the truth about as often as they say, less often where a few episodes make most of the error.",
    "Those drawn in figures are for each step alone.",
  ].join(" ");
}

function limits(result: ProbeResult): string {
  const { probe_steps: steps, video_steps } = result;
  const gaps = steps.some((step, k) => k > 0 && step - steps[k - 1] > 1);
  return [
    result.statement,
    `The numbers are of ${sampleSentence(result)}.`,
    ...(gaps
      ? [`${axisTitle(result)} steps between the probed ones (${steps.join(", ")}) were not measured.`]
      : []),
    `Stopping after k of ${video_steps} steps is another question than a schedule of k steps.`,
  ].join(" ");
}
