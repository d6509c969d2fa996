/** The action axis: how the estimate changes inside one decode, conditioned on the last step of the outer axis. */
import { levelLabels, levelsOf, levelTraces } from "./levels.ts";
import {
  bandInside,
  bandsOf,
  cutMarks,
  cutWords,
  LEGEND_Y,
  legendAt,
  logRange,
  type Panel,
  type PanelPlace,
  panelAxes,
  panelTitle,
  positive,
  stripTitle,
  verticalTitle,
} from "./panel.ts";
import { COLOUR, line, type Plain, type ShownReferences } from "./style.ts";
import type { ProbeResult } from "../result/result.ts";
import { axisName, lastStep, roundIndices, truthWords } from "../result/sentences.ts";

const UPPER = { xaxis: "x3", yaxis: "y3", legend: "legend3" };
const STRIP = { xaxis: "x4", yaxis: "y4", legend: "legend3" };

type Means = NonNullable<ProbeResult["action_axis_at_last_video_step"]>;
type Straight = NonNullable<ProbeResult["null_curve"]>;
type CurveName = keyof Means;

/** @returns null where the read-out has no steps of its own. */
export function actionPanel(result: ProbeResult, shown: ShownReferences, place: PanelPlace): Panel | null {
  const { action_steps: M, action_times: times, null_curve } = result;
  const mean = result.action_axis_at_last_video_step;
  const interval = result.action_axis_interval;
  if (!mean || !interval || !null_curve) return null;
  const range: [number, number] = [-0.03 * M, 1.03 * M];
  const steps = times.map((_, n) => n);

  const wanted: { key: CurveName; name: string; color: string; dash: string; symbol: string }[] = [];
  if (shown.truth)
    wanted.push(
      {
        key: "iterate_to_truth",
        name: "iterate, to the true actions",
        color: COLOUR.truth,
        dash: "solid",
        symbol: "circle",
      },
      {
        key: "one_jump_to_truth",
        name: "one jump, to the true actions",
        color: COLOUR.truth,
        dash: "dash",
        symbol: "circle-open",
      },
    );
  if (shown.last)
    wanted.push(
      {
        key: "iterate_to_final",
        name: `iterate, to the final action (0 at ${M})`,
        color: COLOUR.last,
        dash: "solid",
        symbol: "square",
      },
      {
        key: "one_jump_to_final",
        name: "one jump, to the final action",
        color: COLOUR.last,
        dash: "dash",
        symbol: "square-open",
      },
    );

  const levels = levelsOf(result, shown);
  const scale = logRange([...wanted.map(({ key }) => mean[key]!), levels.map(({ value }) => value)], 5);
  const data: Plain[] = [];
  const edges: [number, number] = [10 ** scale[0], 10 ** scale[1]];
  for (const { key, color } of wanted) {
    const [values, ends] = [mean[key]!, interval[key]];
    const kept = steps.filter((n) => n < values.length && values[n] > 0);
    data.push(
      ...cutMarks(
        UPPER,
        kept,
        kept.map((n) => values[n]),
        edges,
        color,
      ),
    );
    if (!ends) continue;
    data.push(
      ...bandInside(
        UPPER,
        kept,
        kept.map((n) => ends[n]),
        edges,
        color,
      ),
    );
  }
  for (const { key, name, ...style } of wanted)
    data.push(line(UPPER, name, steps, positive(mean[key]!), style));
  const straight = [
    ...(shown.last ? [null_curve.iterate_to_final] : []),
    ...(shown.truth ? [null_curve.iterate_to_truth!] : []),
  ];
  straight.forEach((curve, i) => {
    data.push(
      line(UPPER, "null: a straight flow, whatever was learned", steps, positive(curve), {
        color: COLOUR.nullCurve,
        dash: "dot",
        width: 2,
        showlegend: i === 0,
      }),
    );
  });
  data.push(...levelTraces(levels, UPPER, range, scale, place, false));
  const labels = levelLabels(levels, scale, place, shown, truthWords(result));

  const strip = nullStrip(mean, null_curve, shown, steps);
  const ticks = roundIndices(steps, 9);
  return {
    data: [...data, ...strip.data],
    axes: panelAxes(
      3,
      place,
      {
        values: ticks,
        labels: ticks.map((n) => `${n}<br>${Number(times[n].toFixed(3))}`),
        range,
        title: `action denoising step n of ${M};  below it flow time t (${times[0] < times[M] ? "0 noise, 1 clean" : "1 noise, 0 clean"})`,
      },
      { upper: scale, strip: strip.range },
    ),
    legends: {
      legend3: legendAt(place.x[0], LEGEND_Y, `Action axis (${bandsOf(result)}${cutWords(data)})`),
    },
    shapes: labels.shapes,
    annotations: [
      panelTitle(
        `<b>Action axis</b>: inside the decode at ${axisName(result)} step ${lastStep(result)}`,
        place,
      ),
      ...labels.annotations,
      verticalTitle("iterate ÷ null", place.x[0], place.strip),
      stripTitle("1: what a straight flow gives, whatever was learned", 4, COLOUR.faint),
    ],
  };
}

/** Iterate error over its null. Where the null reaches 0 there is no ratio. */
function nullStrip(mean: Means, null_curve: Straight, shown: ShownReferences, steps: number[]) {
  const ratio = (curve: number[], straight: number[]) =>
    curve.map((value, n) => (straight[n] > 0 && value > 0 ? value / straight[n] : null));
  const data = [
    line(STRIP, "", [steps[0], steps[steps.length - 1]], [1, 1], {
      color: COLOUR.nullCurve,
      dash: "dot",
      width: 2,
      showlegend: false,
    }),
  ];
  const values: number[] = [0.9, 1.1];
  const add = (curve: number[], straight: number[], color: string, symbol: string) => {
    const points = ratio(curve, straight);
    values.push(...points.filter((value) => value !== null));
    data.push(line(STRIP, "", steps, points, { color, symbol, showlegend: false }));
  };
  if (shown.truth) add(mean.iterate_to_truth!, null_curve.iterate_to_truth!, COLOUR.truth, "circle");
  if (shown.last) add(mean.iterate_to_final, null_curve.iterate_to_final, COLOUR.last, "square");
  const reach = 1.15 * Math.max(...values.map((value) => Math.abs(value - 1)));
  return { data, range: [1 - reach, 1 + reach] as [number, number] };
}
