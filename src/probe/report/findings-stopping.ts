/** Findings on stopping early: single runs, whether one episode decides, the oracle, exit rules, shorter schedules. */
import type { ProbeResult } from "../result/result.ts";
import { AXIS_NAME, lastStep, short } from "../result/sentences.ts";
import type { ExitRuleResult } from "../result/stopping.ts";
import { percent, signalWords } from "../result/stopping-words.ts";
import { count } from "../result/words.ts";
import type { Estimate } from "../statistics/estimate.ts";
import { withInterval } from "./chart.ts";

const estimate = ({ mean, interval }: Estimate): string => withInterval(mean, interval);

export function singleRuns({ non_monotone: found }: ProbeResult): string | null {
  if (!found || found.curves === 0) return null;
  const { curves, tolerance, to_truth, to_last } = found;
  const [shares, words] = to_truth
    ? [to_truth, "error to the true actions"]
    : [to_last, "distance to the last decode"];
  return (
    `Of the ${curves} single curves (one for each episode and seeds) ${percent(shares.any)} rise somewhere: a later probed step has a larger ${words} than an earlier one` +
    (shares.beyond && tolerance !== null
      ? `; by more than the margin of ${short(tolerance)}, ${percent(shares.beyond)}.`
      : ".") +
    (to_truth
      ? ` Towards the last decode ${percent(to_last.any)} do not come nearer with every probed step.`
      : "")
  );
}

export function oneEpisode({ leave_one_out: found, verdict }: ProbeResult): string | null {
  if (!found || verdict.step === null) return null;
  const { runs, left_out, same, range, undetermined } = found;
  const without = left_out === 1 ? "each independent episode" : `${left_out} episodes at a time`;
  const agreeing = Math.round(same * runs);
  const others = [
    ...(range && range.least !== range.most
      ? [`the answers lie between step ${range.least} and ${range.most}`]
      : []),
    ...(range && range.least === range.most && range.least !== verdict.step
      ? [`the others say step ${range.least}`]
      : []),
    ...(undetermined > 0
      ? [`${count(undetermined, "run")} ${undetermined === 1 ? "has" : "have"} none`]
      : []),
  ];
  return (
    `Without ${without} in turn the sufficient step stays ${verdict.step} in ${agreeing} of ${runs} runs` +
    (agreeing === runs
      ? ": no single one decides it."
      : `; ${others.join(", and ")}. So single episodes decide it, and it may change with others.`)
  );
}

export function oracle(result: ProbeResult): string | null {
  const { oracle_step: found, probe_steps: steps } = result;
  if (!found || steps.length < 2) return null;
  const counts = steps
    .map((step) => ({ step, n: found.per_episode.filter((one) => one === step).length }))
    .filter(({ n }) => n > 0)
    .sort((a, b) => b.n - a.n);
  const shown = counts.slice(0, 4).map(({ step, n }) => `${step} in ${n}`);
  const least = found.regret.indexOf(Math.min(...found.regret));
  return (
    `The best probed step differs from episode to episode: ${shown.join(", ")}${counts.length > shown.length ? ", …" : ""}. ` +
    `An oracle that knew it would reach ${estimate(found.error)}; the best single step, ${steps[least]}, misses that by ` +
    `${withInterval(found.regret[least], found.regret_interval?.[least])}, the last by ${withInterval(found.regret.at(-1)!, found.regret_interval?.at(-1))}. ` +
    "That is the most that stopping episode by episode could gain, and part of it is chance: the least of several noisy errors is always small."
  );
}

export function exitRules(result: ProbeResult): string | null {
  const { exit_rules: found, oracle_step } = result;
  if (!found)
    return oracle_step && result.probe_steps.length > 1
      ? `Rules that stop by a signal were not judged: it takes 8 independent episodes to choose on one half and judge on the other, and there are ${result.interval.clusters}.`
      : null;
  const goals = [
    ["least_error", "Chosen for the least error"],
    ["fewest_steps", "Chosen for the fewest steps within the margin"],
  ] as const;
  const parts = goals.flatMap(([goal, words]) => {
    const own = found.rules.filter((rule) => rule.goal === goal);
    const fixed = own.find(({ signal }) => signal === "fixed");
    const others = own.filter((rule) => rule.against_fixed);
    if (!fixed || others.length === 0) return [];
    return [`${words}, ${compared(others, fixed, goal)}`];
  });
  const better = found.rules.filter((rule) => (rule.against_fixed?.error.interval?.high ?? 0) < 0);
  const names = [...new Set(better.map(({ signal }) => signalWords(signal)))];
  return [
    "Thresholds are chosen on one half of the episodes and judged on the other.",
    ...parts,
    names.length === 0
      ? "No rule is shown to err less than one step for all."
      : `Shown to err less than one step for all: ${names.join(", ")} (not corrected for their number).`,
    ...(found.rules.some(({ signal }) => signal === "spread_over_video_seeds")
      ? [`A rule by the spread over ${AXIS_NAME} seeds has to follow all of them.`]
      : []),
  ].join(" ");
}

function compared(
  others: readonly ExitRuleResult[],
  fixed: ExitRuleResult,
  goal: ExitRuleResult["goal"],
): string {
  const best = [...others].sort((a, b) =>
    goal === "least_error" ? a.error.mean - b.error.mean : b.steps_saved - a.steps_saved,
  )[0];
  return (
    `one step for all saves ${short(fixed.steps_saved)} steps (error ${short(fixed.error.mean)}, regret to the oracle ${short(fixed.regret.mean)}), ` +
    `and of the rules ${signalWords(best.signal)} comes ${goal === "least_error" ? "nearest to the oracle" : "farthest"}: ${short(best.steps_saved)} steps ` +
    `(error ${short(best.error.mean)}, regret ${short(best.regret.mean)}; error less that of one step for all ${estimate(best.against_fixed!.error)}).`
  );
}

export function shorterSchedules(result: ProbeResult): string | null {
  const { budget_axis: axis } = result;
  if (!axis?.mse_to_truth) return null;
  const last = axis.steps.length - 1;
  const each = axis.steps
    .slice(0, -1)
    .map(
      (steps, b) =>
        `${count(steps, "step")} ${withInterval(axis.mse_to_truth![b], axis.interval.mse_to_truth?.[b])}`,
    );
  if (each.length === 0) return null;
  const pairs = (axis.equal_cost ?? []).map(({ budget, stop, difference, interval }) => {
    const words =
      interval && interval.high < 0
        ? "errs less"
        : interval && interval.low > 0
          ? "errs more"
          : "is not shown to err more or less";
    return `a whole schedule of ${budget} ${words} than stopping at ${stop} (difference ${withInterval(difference, interval)})`;
  });
  return (
    `Whole schedules read at their ends miss the true actions by: ${each.slice(0, 6).join(", ")}; the longest, ${axis.steps[last]}, by ${short(axis.mse_to_truth[last])}.` +
    (pairs.length > 0 ? ` At equal cost ${pairs.slice(0, 4).join("; ")}.` : "") +
    ` That is another question than stopping after k of ${lastStep(result)} steps.`
  );
}
