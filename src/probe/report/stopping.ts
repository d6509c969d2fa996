/** Stopping early by other means than one step for all: exit rules, and every way to stop by what it costs. */
import { COLOUR } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { lastStep, short } from "../result/sentences.ts";
import type { ExitRuleResult, ParetoResult } from "../result/stopping.ts";
import type { Estimate } from "../statistics/estimate.ts";
import { signalWords } from "../result/stopping-words.ts";
import { errorTitle, floorLevels } from "./axes.ts";
import { type Chart, type ChartCurve, type Table, withInterval } from "./chart.ts";

/** Most points of the figure and rows of its table. */
const MOST = 200;

const GOALS = { least_error: "least error", fewest_steps: "fewest steps within the margin" } as const;

/** Each rule on episodes that did not choose its threshold, a table a goal; none where none was judged. */
export function exitRulesTables(result: ProbeResult): Table[] {
  const { exit_rules: found } = result;
  if (!found) return [];
  const { rules, last, oracle } = found;
  const chosen = ({ thresholds, signal }: ExitRuleResult): string =>
    thresholds
      .map((one) => (one === null ? "never" : signal === "fixed" ? String(one) : short(one)))
      .join(" / ");
  const estimate = ({ mean, interval }: Estimate) => withInterval(mean, interval);
  const bounds = [
    ["the last step for all", "0", estimate(last.error), "–", "–", "–", "–", "1"],
    ["oracle", short(last.steps - oracle.steps), estimate(oracle.error), "–", "0", "–", "–", "–"],
  ];
  return (["least_error", "fewest_steps"] as const).flatMap((goal) => {
    const own = rules.filter((rule) => rule.goal === goal).slice(0, MOST);
    if (own.length === 0) return [];
    return {
      caption: `Exit rules chosen for the ${GOALS[goal]}: error to the true actions`,
      head: [
        ...["stop by", "steps saved", "error", "less that of one step for all", "regret to the oracle"],
        ...["thresholds", "network calls", "read-outs"],
      ],
      rows: [
        ...own.map((rule) => [
          ...[signalWords(rule.signal, result), short(rule.steps_saved), estimate(rule.error)],
          rule.against_fixed ? estimate(rule.against_fixed.error) : "–",
          ...[estimate(rule.regret), chosen(rule), short(rule.calls), short(rule.reads)],
        ]),
        ...bounds,
      ],
    };
  });
}

/** How the tables above are to be read. */
export const exitRulesWords = ({ exit_rules }: ProbeResult): string =>
  exit_rules
    ? "A rule stops at the first probed step where its signal is at most a threshold. Thresholds, and the one step for all, are chosen on one half of the episodes and judged on the other, both ways round " +
      `(${exit_rules.halves.join(" and ")} independent episodes); intervals are over all. A rule that does not beat one step for all has found nothing in its signal but the step.`
    : "";

/** Error by calls of the network. Null without a truth. */
export function costChart(result: ProbeResult, seconds?: Seconds): Chart | null {
  const { pareto, exit_rules } = result;
  if (!pareto) return null;
  const points = pareto.slice(0, MOST);
  const of = (way: ParetoResult["way"]): ParetoResult[] =>
    points.filter((point) => point.way === way).sort((a, b) => a.calls - b.calls);
  const curve = (name: string, among: ParetoResult[], look: Omit<ChartCurve, "name" | "x" | "y">) =>
    among.length === 0
      ? []
      : [{ name, x: among.map(({ calls }) => calls), y: among.map(({ error }) => error), ...look }];
  const interval = (among: ParetoResult[]) =>
    among.every((point) => point.interval) ? among.map((point) => point.interval!) : null;
  const most = Math.max(...points.map(({ calls }) => calls));
  const signals = [...new Set(points.flatMap(({ way, signal }) => (way === "rule" ? [signal] : [])))];
  const marks = ["diamond", "triangle-up", "cross", "triangle-down", "square"];
  const colours = [COLOUR.mark, COLOUR.zeroed, COLOUR.other, COLOUR.shuffled, COLOUR.last];
  const front = points.filter(({ dominated }) => !dominated);
  return {
    id: "cost",
    title: "Cost against error: every way to stop",
    alt: `Error to the true actions by calls of the network: ${of("stop").length} stops, ${of("budget").length} whole schedules, ${of("rule").length} exit rules. The numbers are in the table below.`,
    notes: [
      `${front.length} of ${points.length} points are not dominated: no other costs as little and errs as little. That goes by means; bands that overlap do not tell two points apart. ` +
        "The oracle is each trajectory stopped at its own best step, which nobody knows beforehand, and in part chance." +
        (seconds ? ` ${seconds.words}` : ""),
      ...(points.length < pareto.length
        ? [`The first ${points.length} of ${pareto.length} points; probe.json has all.`]
        : []),
    ],
    x: {
      title: seconds
        ? "calls of the network until the action is there; below them the seconds on the device of this run"
        : "calls of the network until the action is there",
      all: points.map(({ calls }) => ({ at: calls, name: short(calls) })),
      ticks: ticksUpTo(most).map((at) => ({
        at,
        label: seconds ? `${at}\n${short(seconds.of(at, 1))} s` : String(at),
      })),
    },
    y: { title: `${errorTitle(result)}, to the true actions`, log: true },
    curves: [
      ...curve(`stopped after k of ${result.video_steps} steps`, of("stop"), {
        ...{ color: COLOUR.truth, symbol: "circle", interval: interval(of("stop")) },
      }),
      ...curve("whole schedules of fewer steps", of("budget"), {
        ...{ color: COLOUR.truth, symbol: "circle-open", dash: "dot", width: 2 },
      }),
      ...signals.flatMap((signal, i) =>
        curve(
          `rule: ${signalWords(signal ?? "?", result)}`,
          of("rule").filter((point) => point.signal === signal),
          { color: colours[i % colours.length], symbol: marks[i % marks.length], points: true },
        ),
      ),
    ],
    levels: [
      ...floorLevels(result, true),
      ...(exit_rules
        ? [
            {
              ...{ name: "oracle step", value: exit_rules.oracle.error.mean },
              ...{ color: COLOUR.mark, dash: "dot" },
            },
          ]
        : []),
    ],
    height: 320,
    table: costTable(result, points, seconds),
  };
}

/** What a call of the network and a read-out took on the device of the run. */
export interface Seconds {
  of(calls: number, reads: number): number;
  /** where they come from */
  readonly words: string;
}

function costTable(result: ProbeResult, points: readonly ParetoResult[], seconds?: Seconds): Table {
  const name = ({ way, signal, goal, steps }: ParetoResult): string =>
    way === "stop"
      ? `stopped after ${steps} of ${result.video_steps}`
      : way === "budget"
        ? `whole schedule of ${steps}`
        : `rule: ${signalWords(signal ?? "?", result)}, ${goal ? GOALS[goal] : "?"}`;
  return {
    caption: `Cost against error: ${errorTitle(result)}, to the true actions; step ${lastStep(result)} is the last`,
    head: [
      ...["way to stop", "network calls", "read-outs", ...(seconds ? ["seconds"] : [])],
      ...["error to the true actions", "dominated"],
    ],
    rows: [...points]
      .sort((a, b) => a.calls - b.calls || a.reads - b.reads)
      .map((point) => [
        ...[name(point), short(point.calls), short(point.reads)],
        ...(seconds ? [short(seconds.of(point.calls, point.reads))] : []),
        withInterval(point.error, point.interval),
        point.dominated ? "yes" : "no",
      ]),
  };
}

/** From 0 in round strides. */
function ticksUpTo(most: number): number[] {
  const decade = 10 ** Math.floor(Math.log10(Math.max(most, 1) / 5));
  const stride = [1, 2, 5, 10].map((m) => m * decade).find((one) => most / one <= 7)!;
  return Array.from({ length: Math.floor(most / stride) + 1 }, (_, i) => Number((i * stride).toPrecision(6)));
}
