/** What the two plots show, as plain arrays: while a run goes on what is known so far, afterwards the curves of its result. */
import { levelsOf } from "../src/probe/figure/levels.ts";
import { COLOUR } from "../src/probe/figure/style.ts";
import { stepsOfCost } from "../src/probe/figure/steps-of-cost.ts";
import type { Interval } from "../src/probe/statistics/bootstrap.ts";
import { fractions, nullToFinal } from "../src/probe/statistics/null-curve.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import { lastStep } from "../src/probe/result/sentences.ts";
import { linspace } from "../src/sampling/grid.ts";
import { ABOUT } from "./chart-words.ts";

/** A variable of style.css or chart.css. */
export type Colour = "truth" | "model" | "null" | "mean" | "zeroed" | "other" | "shuffled";

export interface CurveView {
  readonly name: string;
  /** what several curves are named by together */
  readonly group?: string;
  /** what it is, in a sentence or two */
  readonly about: string;
  readonly steps: readonly number[];
  /** one for each step; what is not above 0 has no place on a logarithmic axis */
  readonly values: readonly number[];
  readonly interval?: readonly Interval[] | null;
  readonly colour: Colour;
  readonly dash?: "dash" | "dot";
  readonly mark?: "disc" | "square";
  /** marks are outlines: the same reference, read in another way */
  readonly open?: boolean;
}

/** A floor or a control: the same at every step. */
export interface LevelView {
  readonly name: string;
  readonly about: string;
  readonly value: number;
  readonly colour: Colour;
  readonly dash: "dash" | "dot";
}

export interface Panel {
  /** the axis goes from 0 to this */
  readonly steps: number;
  /** what one of them is called */
  readonly step: string;
  readonly curves: readonly CurveView[];
  /** undefined where there are never any, so that no room is kept for their names */
  readonly levels?: readonly LevelView[];
}

/** By video step, and by action step where a read-out has some. */
export type Panels = readonly [Panel, Panel?];

/** What is known before a run has ended; errors are means over the seeds of one episode, or over episodes too. */
export interface LiveCurves {
  readonly videoSteps: number;
  /** probed steps reached so far */
  readonly steps: readonly number[];
  readonly toTruth?: readonly number[];
  readonly toTruthInterval?: readonly Interval[] | null;
  /** known when the last step is reached */
  readonly toLast?: readonly number[];
  readonly toLastInterval?: readonly Interval[] | null;
  readonly holdStill?: number;
  readonly datasetMean?: number;
  /** inside the decode of the newest step: against its own end, and the truth */
  readonly iterateToFinal: readonly number[];
  readonly iterateToTruth?: readonly number[];
}

/** The plots of a run that has reached nothing yet. */
export const emptyPanels = (videoSteps: number, actionSteps: number): Panels => [
  { steps: videoSteps, step: "video step", curves: [], levels: [] },
  actionSteps > 0 ? { steps: actionSteps, step: "action step", curves: [], levels: [] } : undefined,
];

/** The plots of a run that goes on, or of one that was kept as plain arrays. */
export function livePanels(live: LiveCurves): Panels {
  const { videoSteps: N, steps, toTruth, toLast, holdStill, datasetMean } = live;
  const levels = [
    ...(holdStill === undefined ? [] : [level("hold still", holdStill, "null")]),
    ...(datasetMean === undefined ? [] : [level("dataset mean", datasetMean, "mean")]),
  ];
  const last = steps.at(-1) ?? N;
  const curves: CurveView[] = [
    ...(toTruth ? [decoded("truth", steps, toTruth, N, live.toTruthInterval)] : []),
    ...(toLast ? [decoded("last", steps, toLast, last, live.toLastInterval)] : []),
  ];
  const M = live.iterateToFinal.length - 1;
  if (M < 1) return [{ steps: N, step: "video step", curves, levels }];
  const straight = nullToFinal(live.iterateToFinal[0], fractions(linspace(0, 1, M)));
  const inside: CurveView[] = [
    ...(live.iterateToTruth ? [inner("iterate", "truth", live.iterateToTruth, M)] : []),
    inner("iterate", "final", live.iterateToFinal, M),
    nullCurve(straight, "to its end"),
  ];
  return [
    { steps: N, step: "video step", curves, levels },
    { steps: M, step: "action step", curves: inside, levels },
  ];
}

/** The curves of a result, those of the upper panels of its figure (src/probe/figure). */
export function resultPanels(result: ProbeResult): Panels {
  const { video_steps, action_steps, action_axis_at_last_video_step: inside, iterate_axis } = result;
  const levels = levelsOf(result, { truth: result.video_axis.mse_to_truth !== null, last: true }).map(
    ({ name, value, color, dash }) => level(name, value, COLOURS[color] ?? "null", dash),
  );
  const step = iterate_axis ? "step" : "video step";
  return [
    { steps: video_steps, step, curves: videoCurves(result), levels },
    inside ? { steps: action_steps, step: "action step", curves: actionCurves(result), levels } : undefined,
  ];
}

/** Colours of the figure → variables of the page. */
const COLOURS: Readonly<Record<string, Colour>> = {
  [COLOUR.truth]: "truth",
  [COLOUR.last]: "model",
  [COLOUR.holdStill]: "null",
  [COLOUR.datasetMean]: "mean",
  [COLOUR.zeroed]: "zeroed",
  [COLOUR.other]: "other",
  [COLOUR.shuffled]: "shuffled",
};

function level(name: string, value: number, colour: Colour, dash = "longdash"): LevelView {
  const about = ABOUT[name as keyof typeof ABOUT] ?? "";
  return { name, about, value, colour, dash: dash === "dot" ? "dot" : "dash" };
}

function decoded(
  to: "truth" | "last",
  steps: readonly number[],
  values: readonly number[],
  last: number,
  interval?: readonly Interval[] | null,
): CurveView {
  const common = { steps, values, interval };
  if (to === "truth") {
    const look = { colour: "truth", mark: "disc" } as const;
    return { name: "to the truth", about: ABOUT["to the truth"], ...common, ...look };
  }
  const about = ABOUT["to the last decode"].replace("the last step", `step ${last}`);
  return { name: `to the decode at step ${last}`, about, ...common, colour: "model", mark: "square" };
}

type ReadOut = "iterate" | "one jump";

function inner(
  readOut: ReadOut,
  to: "truth" | "final",
  values: readonly number[],
  M: number,
  interval?: readonly Interval[] | null,
): CurveView {
  return {
    name: `${readOut}, to ${to === "truth" ? "the truth" : "its end"}`,
    about: `${ABOUT[readOut]} ${to === "truth" ? ABOUT["inside to the truth"] : ABOUT["inside to its end"].replace("the last step", `step ${M}`)}`,
    ...{ steps: values.map((_, n) => n), values, interval },
    ...(to === "truth"
      ? ({ colour: "truth", mark: "disc" } as const)
      : ({ colour: "model", mark: "square" } as const)),
    ...(readOut === "one jump" && ({ dash: "dash", open: true } as const)),
  };
}

const nullCurve = (values: readonly number[], to: string): CurveView => ({
  ...{ name: `null, ${to}`, group: "null: a straight flow" },
  about: ABOUT.null,
  ...{ steps: values.map((_, n) => n), values, colour: "null", dash: "dot" },
});

function videoCurves(result: ProbeResult): CurveView[] {
  const {
    probe_steps: steps,
    video_axis,
    video_axis_interval,
    oracle_axis,
    budget_axis,
    iterate_axis,
  } = result;
  const last = lastStep(result);
  const others = [
    {
      name: "whole schedules at equal cost, ",
      about: ABOUT["whole schedules"],
      at: budget_axis ? stepsOfCost(budget_axis.calls, budget_axis.stop_calls, steps) : [],
      axis: budget_axis,
      dash: "dot",
    },
    {
      ...{ name: "recorded future, ", about: ABOUT["recorded future"], at: steps, axis: oracle_axis },
      dash: "dash",
    },
    {
      ...{ name: "the iterate itself, ", about: ABOUT["the iterate itself"], at: steps, axis: iterate_axis },
      dash: "dash",
    },
  ] as const;
  const references = [
    ["truth", "mse_to_truth"],
    ["last", "mse_to_last"],
  ] as const;
  const curves = references.flatMap(([to, key]) => {
    const values = video_axis[key];
    if (!values) return [];
    const main = decoded(to, steps, values, last, video_axis_interval[key]);
    const more = others.flatMap(({ name, about, at, axis, dash }): CurveView[] => {
      const mean = axis?.[key];
      if (!mean) return [];
      return [
        {
          ...main,
          name: `${name}${main.name}`,
          about,
          steps: at,
          values: mean,
          interval: null,
          dash,
          open: true,
        },
      ];
    });
    return [main, ...more];
  });
  const left = iterate_axis?.null_curve;
  const straight = [
    ...(left ? [nullCurve(left.mse_to_last, `to the decode at step ${last}`)] : []),
    ...(left?.mse_to_truth ? [nullCurve(left.mse_to_truth, "to the truth")] : []),
  ];
  return [
    ...curves,
    ...straight.map((curve) => ({
      ...curve,
      ...{ group: "null: the noise that is left", about: ABOUT["the noise that is left"], steps },
    })),
  ];
}

function actionCurves({ action_steps: M, null_curve, ...result }: ProbeResult): CurveView[] {
  const mean = result.action_axis_at_last_video_step!;
  const ends = result.action_axis_interval;
  const keys = [
    ["iterate", "truth", "iterate_to_truth"],
    ["one jump", "truth", "one_jump_to_truth"],
    ["iterate", "final", "iterate_to_final"],
    ["one jump", "final", "one_jump_to_final"],
  ] as const;
  const curves = keys.flatMap(([readOut, to, key]) => {
    const values = mean[key];
    return values ? [inner(readOut, to, values, M, ends?.[key])] : [];
  });
  const { iterate_to_final, iterate_to_truth } = null_curve ?? {};
  return [
    ...curves,
    ...(iterate_to_final ? [nullCurve(iterate_to_final, "to its end")] : []),
    ...(iterate_to_truth ? [nullCurve(iterate_to_truth, "to the truth")] : []),
  ];
}
