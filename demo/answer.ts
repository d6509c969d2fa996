/** What a run says, in sentences: of the scene on the screen, of all episodes together, and what must not be concluded. */
import type { ProbeResult } from "../src/probe/result/result.ts";
import { count, short, verdictHeadline } from "../src/probe/result/sentences.ts";
import { chunksAt, meanError } from "./chunk.ts";
import type { EpisodeView, ModelView, SoFarView, StateView } from "./protocol.ts";
import { SETTLED, type Settling, settling } from "./settling.ts";

/** One scene's run, as far as it has come. */
export interface ShownScene {
  readonly model: ModelView;
  readonly episode: EpisodeView;
  /** N */
  readonly videoSteps: number;
  /** M */
  readonly actionSteps: number;
  /** K, undefined where not reached yet */
  readonly states: readonly (StateView | undefined)[];
  /** words other than the recorded ones, with which nothing recorded can be compared */
  readonly edited?: boolean;
}

/** A share with two digits. */
export const percent = (share: number): string => {
  const value = 100 * share;
  return `${value >= 10 || value === 0 ? Math.round(value) : Number(value.toPrecision(2))} %`;
};
const LIMIT = percent(SETTLED);

/** What is said of the scene, the answer first; or why there is none yet. */
export function sceneSentences(scene: ShownScene): string[] {
  const reached = scene.states.filter((state) => state !== undefined);
  if (reached.length === 0) return [];
  if (reached.length < scene.states.length)
    return [`Measured at ${count(reached.length, "step")} of ${scene.states.length}.`];
  const { model, actionSteps: M, episode, videoSteps } = scene;
  const steps = reached.map(({ step }) => step);
  if (steps.length < 2)
    return ["Only the last step was probed, so nothing is known of what comes before it."];
  const decodes = reached.map((state) => chunksAt(state, model, M, M));
  const { datasetMean } = model;
  const found = settling(steps, decodes, { holdStill: episode.holdStill, datasetMean });
  if (!found) return ["Here the action is that of standing still, so there is nothing to settle."];
  return settlingSentences(found, videoSteps, `For this scene (episode ${episode.index})`);
}

/**
 * What `settling` found, with what it is worth.
 * @param scene begins the first sentence
 */
export function settlingSentences(found: Settling, videoSteps: number, scene = "For this scene"): string[] {
  const { steps, last, moved, step, stepOfSeed, straightStep, apart } = found;
  const seeds = stepOfSeed.length;
  const said: string[] = [];
  if (step === last) {
    const before = steps[steps.length - 2];
    const left = Math.max(...moved[steps.length - 2]);
    said.push(
      `${scene} the action keeps moving to the end: ${percent(left)} between steps ${before} and ${last} (of ${videoSteps}).`,
    );
    const early = stepOfSeed.filter((one) => one < last);
    if (early.length > 0)
      said.push(
        `In ${early.length} of ${seeds} seeds it moves less than ${LIMIT} after step ${Math.max(...early)}.`,
      );
  } else {
    const every = seeds > 1 ? `, in each of ${seeds} seeds` : "";
    said.push(
      step === steps[0]
        ? `${scene} the action hardly depends on the step: it moves less than ${LIMIT} from step ${step} on (of ${videoSteps})${every}.`
        : `${scene} the action moves less than ${LIMIT} after step ${step} (of ${videoSteps})${every}.`,
    );
    if (step > steps[0] && step >= straightStep)
      said.push(
        `A straight path from the first decode to the last would be as near from step ${straightStep} on: nothing settles early here.`,
      );
    else if (step > steps[0])
      said.push(
        `A straight path from the first decode to the last would be that near from step ${straightStep} on.`,
      );
  }
  const left = step === last ? Math.max(...moved[steps.length - 2]) : SETTLED;
  if (apart === null) said.push("One seed: another may differ.");
  else if (apart > SETTLED)
    said.push(
      apart > left
        ? `Two seeds end ${percent(apart)} apart: which one is drawn matters more than what is left to move.`
        : `Two seeds end ${percent(apart)} apart.`,
    );
  return said;
}

/** How the shares above are counted, for those who ask. */
export function settlingRule(scene: ShownScene): string {
  const { episode, model } = scene;
  const rest = episode.holdStill
    ? "standing still"
    : model.datasetMean
      ? "the mean action"
      : "no action at all";
  return (
    `How far it moves: the squared distance between the action decoded at a step and the one decoded at the last, from the same noise, ` +
    `as a share of that between ${rest} and the last. Less than ${LIMIT} means there and at every later probed step, in every seed.`
  );
}

/**
 * Whether the last future looks most like the recorded one while its action is worse than an earlier step's, of the first seed, whose frames are
 * shown: worse by more than 5 % of the error of standing still, the verdict's margin.
 * @returns undefined where it does not, or where it cannot be known
 */
export function pictureSentence(scene: ShownScene): string | undefined {
  const { model, episode, actionSteps: M, states, edited } = scene;
  const reached = states.filter((state) => state !== undefined);
  const { truth, holdStill } = episode;
  if (reached.length < Math.max(2, states.length) || !truth || !holdStill || edited) return undefined;
  const pictures = reached.map(({ pictureError }) => pictureError ?? Number.NaN);
  const last = pictures.length - 1;
  if (!pictures.every((error, k) => k === last || pictures[last] < error)) return undefined;
  const errors = reached.map((state) => meanError(chunksAt(state, model, M, M).slice(0, 1), [truth]));
  const best = errors.indexOf(Math.min(...errors));
  if (errors[last] - errors[best] <= SETTLED * meanError([holdStill], [truth])) return undefined;
  const [end, earlier] = [reached[last].step, reached[best].step];
  return (
    `The picture misleads here (first seed): the future imagined at step ${end} is the most like what was recorded (squared pixel difference ` +
    `${short(pictures[last])}, ${short(pictures[best])} at step ${earlier}), and yet the action read there is worse: ` +
    `${short(errors[last])} from the truth, ${short(errors[best])} at step ${earlier}.`
  );
}

/** The verdict while it fills in: a first sentence that names how many episodes it rests on, and the others. */
export function soFarSentence({ episodes, of, steps, verdict, toTruth }: SoFarView): string {
  const done = `${episodes.length} of ${count(of, "episode")}`;
  const { step, difference, difference_interval, margin } = verdict;
  if (step !== null) return `${done}; sufficient step so far: ${step}. ${verdict.reason}`;
  if (!toTruth || !difference || !difference_interval) return `${done}; no verdict yet. ${verdict.reason}`;
  // The step before the last is the first that stepping back has to pass.
  const k = steps.length - 2;
  const { low, high } = difference_interval[k];
  const allowed = margin === null ? "" : `; to be not worse, at most ${short(margin)}`;
  const error = `Step ${steps[k]} errs by ${signed(difference[k])} [${short(low)}, ${short(high)}] against step ${steps[k + 1]}`;
  return `${done}; no verdict yet. ${error}${allowed}. ${verdict.reason}`;
}

const signed = (value: number): string => (value > 0 ? `+${short(value)}` : short(value));

/** The verdict at the end of a run in a few words; then why, and the errors at both ends. */
export function resultSentences(result: ProbeResult): readonly [head: string, rest: string] {
  const head = verdictHeadline(result).replace(/\.$/, ` (${count(result.episodes.length, "episode")}).`);
  return [head, [result.verdict.reason, errorSentence(result)].filter(Boolean).join(" ")];
}

function errorSentence({ video_axis, floors, probe_steps }: ProbeResult): string {
  const [errors, floor] = [video_axis.mse_to_truth, floors.hold_still_to_truth];
  if (!errors || probe_steps.length < 2) return "";
  const standing = floor === null ? "" : `; a robot that stands still scores ${short(floor)}`;
  return `Mean squared error to the true actions: ${short(errors[0])} decoded at step ${probe_steps[0]}, ${short(errors.at(-1)!)} at step ${probe_steps.at(-1)}${standing}.`;
}
