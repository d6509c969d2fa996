/** A verdict as it stands in the result: its numbers, and in words why. */
import type { Interval } from "../statistics/bootstrap.ts";
import { type FloorName, type Margin, MARGIN_FRACTION, type MarginSource } from "../statistics/margin.ts";
import type { Regret } from "../statistics/regret.ts";
import { type Doubt, FEWEST_EPISODES, type Verdict } from "../statistics/sufficient.ts";
import { count, listOf, short } from "./words.ts";

/**
 * The answer. A step is sufficient when it is shown to be not worse than the last, and so is every later probed one: the upper end of the
 * 95 % interval of MSE(k) − MSE(N) to the truth is at most `margin`. Errors in squared normalised units.
 */
export interface VerdictResult {
  status: "sufficient" | "undetermined";
  /** The smallest sufficient step; N where no earlier probed step is shown to be; null where it is undetermined. */
  step: number | null;
  /** Why, in sentences; never empty. */
  reason: string;
  margin: number | null;
  /** "option" where it was asked for, else the floor of whose error it is 5 %. */
  margin_source: MarginSource | null;
  /** Episodes that are no copies of one another. */
  independent_episodes: number;
  /** (K) mean of MSE(k) − MSE(N). */
  difference: number[] | null;
  difference_interval: Interval[] | null;
  /** Earlier probed steps that are better than the last, corrected for their number (Holm). */
  better_steps: number[];
  /** Those that are worse, corrected alike. */
  worse_steps: number[];
  /** Earlier probed steps whose interval lies within ± `margin`: a statement of its own, not the verdict's. */
  equivalent_steps: number[];
  /** The probed step with the smallest error. */
  best_step: number | null;
  /** What stopping at the last step costs against the best probed one; its interval allows for the choice of the best. */
  regret_of_last: Regret | null;
  /** The same for the sufficient step. */
  regret_of_step: Regret | null;
}

const FLOOR_WORDS: Record<FloorName, string> = {
  hold_still: "hold-still error",
  dataset_mean: "error of the dataset mean",
  zeroed_context: "error with zeroed context",
};

/** Where a margin comes from, as in "5 % of the hold-still error". */
export function marginWords(source: MarginSource): string {
  return source === "option" ? "as asked for" : `${100 * MARGIN_FRACTION} % of the ${FLOOR_WORDS[source]}`;
}

/** @param steps (K) probed steps. */
export function verdictResult(verdict: Verdict, steps: readonly number[]): VerdictResult {
  const { step, margin, doubts, regret } = verdict;
  return {
    status: step === null ? "undetermined" : "sufficient",
    step,
    reason: step === null ? doubts.map(doubtWords).join(" ") : explanation(verdict, steps).join(" "),
    margin: margin && Number.isFinite(margin.value) ? margin.value : null,
    margin_source: margin && margin.source,
    independent_episodes: verdict.independentEpisodes,
    difference: verdict.difference,
    difference_interval: verdict.interval,
    better_steps: verdict.better,
    worse_steps: verdict.worse,
    equivalent_steps: verdict.equivalent,
    best_step: verdict.best,
    regret_of_last: regret && regret.last,
    regret_of_step: regret && regret.step,
  };
}

function doubtWords(doubt: Doubt): string {
  switch (doubt.kind) {
    case "no truth":
      return "The true actions are not known.";
    case "judged together":
      return "What is said of single read-outs does not judge them: the same one over and over would be right every time. All of them together are judged (population).";
    case "truth out of scale":
      return `The true actions are ${short(doubt.times)} times as large as the decoded ones, so they are not in the model's units.`;
    case "one step":
      return "Only the last step was probed.";
    case "few episodes": {
      const { independent, episodes } = doubt;
      const fewest = `${FEWEST_EPISODES} are the fewest.`;
      if (independent === episodes)
        return `${count(episodes, "episode")} ${episodes === 1 ? "gives" : "give"} no verdict; ${fewest}`;
      return `Of ${episodes} episodes ${independent} ${independent === 1 ? "is" : "are"} independent, the others are copies; ${fewest}`;
    }
    case "no margin":
      return "Nothing is known against which to call an error small (hold still, dataset mean, zeroed context); --margin sets one.";
    case "useless margin":
      return `The margin is ${short(doubt.margin.value)} (${marginWords(doubt.margin.source)}), so no difference is small.`;
    case "not better than floor":
      return `The error of the last step, ${short(doubt.error)}, is not below the ${FLOOR_WORDS[doubt.floor.name]}, ${short(doubt.floor.error)}: matching it means nothing.`;
  }
}

function explanation(verdict: Verdict, steps: readonly number[]): string[] {
  const { better, worse, equivalent, best, regret, interval, difference } = verdict;
  const margin = verdict.margin as Margin;
  const last = steps.length - 1;
  const k = steps.indexOf(verdict.step!);
  const allowed = `${short(margin.value)} (${marginWords(margin.source)})`;
  const parts: string[] = [];
  if (k < last) {
    parts.push(`From there on no probed step is worse than the last by more than ${allowed}.`);
  } else {
    const [d, { low, high }] = [difference![last - 1], interval![last - 1]];
    const nearest = worse.includes(steps[last - 1])
      ? `step ${steps[last - 1]} is worse by ${short(d)} [${short(low)}, ${short(high)}]`
      : `step ${steps[last - 1]} may be worse by up to ${short(high)}`;
    // Stepping back ends there, whatever steps before it are.
    const passed = steps.some((_, i) => i < last && interval![i].high <= margin.value);
    const head = passed
      ? `Step ${steps[last - 1]}, the one before the last, is not`
      : "No earlier probed step is";
    parts.push(
      `${head} shown to be as good: ${nearest}, and the margin is ${allowed}.` +
        (passed ? " A step counts only if every later one is as good too." : ""),
    );
  }
  if (better.length === last) parts.push("Every earlier probed step is better than the last.");
  else if (better.length > 0) parts.push(`Better than the last: ${listOf(better)}.`);
  if (worse.length > 0) parts.push(`Worse than the last: ${listOf(worse)}.`);
  if (equivalent.length > 0)
    parts.push(`Equivalent to the last, within ±${short(margin.value)}: ${listOf(equivalent)}.`);
  if (regret && best !== steps[last]) parts.push(regretWords(verdict, steps[last]));
  if (k === 0 && steps[0] > 1) parts.push(`Before ${steps[0]} nothing was probed.`);
  if (k > 0 && k < last && steps[k] - steps[k - 1] > 1)
    parts.push(`Between ${steps[k - 1]} and ${steps[k]} nothing was probed.`);
  return parts;
}

function regretWords({ best, step, regret }: Verdict, last: number): string {
  const cost = ({ mean, interval }: Regret) =>
    interval ? `${short(mean)} [${short(interval.low)}, ${short(interval.high)}]` : short(mean);
  const own = step === last || step === best ? "" : `, stopping at ${step} ${cost(regret!.step)}`;
  return `Against the best probed step, ${best}, stopping at ${last} costs ${cost(regret!.last)}${own}.`;
}
