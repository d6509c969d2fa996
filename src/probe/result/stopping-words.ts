/** What is known of stopping early, in the words that report and terminal share. */
import type { Estimate } from "../statistics/estimate.ts";
import type { ProbeResult } from "./result.ts";
import { seedName, type Spoken } from "./sentences.ts";
import { count, short } from "./words.ts";

const SIGNALS: Readonly<Record<string, string>> = {
  fixed: "one step for all",
  velocity_change: "velocity change",
  tap_drift: "drift of the hidden states",
  action_change: "change of the action",
  spread_over_action_seeds: "spread over action seeds",
};

/** A signal's name in words; one that is not known here as it is. */
export function signalWords(signal: string, result: Spoken): string {
  if (signal === "spread_over_video_seeds") return `spread over ${seedName(result)}s`;
  return Object.hasOwn(SIGNALS, signal) ? SIGNALS[signal] : signal;
}

/** A share with its interval, such as "31 % [0, 96]". */
export function percent({ mean, interval }: Estimate): string {
  const of = (value: number) => String(Math.round(100 * value));
  const isSure = !interval || interval.low === interval.high;
  return `${of(mean)} %${isSure ? "" : ` [${of(interval.low)}, ${of(interval.high)}]`}`;
}

/** A line each: single runs, leaving episodes out, rules against one step for all. */
export function stoppingSentences(result: ProbeResult): string[] {
  const { non_monotone, leave_one_out, exit_rules, verdict } = result;
  const beyond = non_monotone?.to_truth?.beyond;
  const best = exit_rules?.rules
    .filter(({ goal, against_fixed }) => goal === "least_error" && against_fixed)
    .sort((a, b) => a.error.mean - b.error.mean)
    .at(0);
  const against = best?.against_fixed?.error;
  const words =
    against?.interval && against.interval.high < 0
      ? "errs less than"
      : against?.interval && against.interval.low > 0
        ? "errs more than"
        : "is not shown to err less or more than";
  return [
    ...(non_monotone && beyond
      ? [
          `Of ${count(non_monotone.curves, "single curve")} ${percent(beyond)} rise by more than the margin somewhere.`,
        ]
      : []),
    ...(leave_one_out && verdict.step !== null
      ? [
          `Without ${leave_one_out.left_out === 1 ? "one episode" : `${leave_one_out.left_out} episodes`} in turn the step stays ${verdict.step} in ${Math.round(leave_one_out.same * leave_one_out.runs)} of ${leave_one_out.runs} runs.`,
        ]
      : []),
    ...(best && against
      ? [
          `Of rules that stop by a signal, chosen on one half of the episodes and judged on the other, ${signalWords(best.signal, result)} comes out best: ` +
            `it ${words} one step for all (difference ${short(against.mean)}${against.interval ? ` [${short(against.interval.low)}, ${short(against.interval.high)}]` : ""}) and saves ${short(best.steps_saved)} steps.`,
        ]
      : []),
  ];
}
