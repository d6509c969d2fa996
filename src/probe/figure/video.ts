/** The video axis: how the decoded chunk changes with the video step whose hidden states condition it. */
import type { Interval } from "../statistics/bootstrap.ts";
import {
  bandsOf,
  LEGEND_Y,
  legendAt,
  levels,
  logRange,
  type Panel,
  type PanelPlace,
  panelAxes,
  panelTitle,
  positive,
  stripTitle,
  verticalTitle,
} from "./panel.ts";
import { band, COLOUR, FONT, faded, line, note, type Plain, type ShownReferences } from "./style.ts";
import type { ProbeResult } from "../result/result.ts";
import { roundIndices } from "../result/sentences.ts";

const UPPER = { xaxis: "x", yaxis: "y", legend: "legend" };
const STRIP = { xaxis: "x2", yaxis: "y2", legend: "legend" };

export function videoPanel(result: ProbeResult, shown: ShownReferences, place: PanelPlace): Panel {
  const {
    probe_steps: steps,
    tau,
    video_steps: N,
    video_axis,
    video_axis_interval,
    sufficient_step,
  } = result;
  const range: [number, number] = [-0.03 * N, 1.03 * N];
  const curves: {
    name: string;
    mean: number[];
    interval: Interval[] | null;
    color: string;
    symbol: string;
  }[] = [];
  if (shown.truth)
    curves.push({
      name: "to the true actions",
      mean: video_axis.mse_to_truth!,
      interval: video_axis_interval.mse_to_truth,
      color: COLOUR.truth,
      symbol: "circle",
    });
  if (shown.last)
    curves.push({
      name: `to the decode at step ${N} (0 there by definition)`,
      mean: video_axis.mse_to_last,
      interval: video_axis_interval.mse_to_last,
      color: COLOUR.last,
      symbol: "square",
    });

  const data: Plain[] = [];
  const floors = levels(result, shown, { ...UPPER, legend: "legend2" }, range, true);
  const bands = curves.flatMap(({ interval }) => interval?.flatMap(({ low, high }) => [low, high]) ?? []);
  const scale = logRange([...curves.map(({ mean }) => mean), bands, floors.values], 5);
  for (const { mean, interval, color } of curves) {
    // A curve's zero at the last step has no place on a logarithmic axis, and its band ends with it.
    const kept = steps.map((_, k) => k).filter((k) => mean[k] > 0);
    if (interval) {
      const floor = 10 ** scale[0];
      const ends = (end: "low" | "high") => kept.map((k) => Math.max(interval[k][end], floor));
      data.push(
        band(
          UPPER,
          kept.map((k) => steps[k]),
          ends("low"),
          ends("high"),
          color,
        ),
      );
    }
  }
  for (const { name, mean, color, symbol } of curves)
    data.push(line(UPPER, name, steps, positive(mean), { color, symbol }));
  data.push(...floors.traces);

  const strip = differenceStrip(result, range);
  const ticks = roundIndices(steps, 9);
  const step = sufficient_step.step;
  const marked = step !== null && step < N;
  return {
    data: [...data, ...strip.data],
    axes: panelAxes(
      1,
      place,
      {
        values: ticks.map((k) => steps[k]),
        labels: ticks.map((k) => `${steps[k]}<br>${Number(tau[k].toFixed(3))}`),
        range,
        title: `video denoising step k of ${N};  below it flow time τ (1 noise, 0 clean)`,
      },
      { upper: scale, strip: strip.range },
    ),
    legends: {
      legend: legendAt(place.x[0], LEGEND_Y, `Video axis ${bandsOf(result)}`),
      legend2: legendAt(
        0.355,
        LEGEND_Y,
        `Floors and controls ${shown.truth ? "(to the truth)" : "(to the last decode)"}`,
      ),
    },
    shapes: [
      ...strip.shapes,
      ...(marked
        ? ["y", "y2"].map((axis) => ({
            type: "line",
            xref: "x",
            yref: `${axis} domain`,
            x0: step,
            x1: step,
            y0: 0,
            y1: 1,
            line: { color: COLOUR.mark, width: 2, dash: "dot" },
          }))
        : []),
    ],
    annotations: [
      panelTitle("<b>Video axis</b>: a full decode from the hidden states of video step k", place),
      verticalTitle("mean squared error (normalised action units²)", place.x[0], place.upper),
      verticalTitle(`MSE(k) − MSE(${N})`, place.x[0], place.strip),
      ...(marked
        ? [
            note(`sufficient step ${step}`, step, 0.02, {
              xref: "x",
              yref: "y domain",
              xanchor: step > 0.6 * N ? "right" : "left",
              yanchor: "bottom",
              bgcolor: "rgba(255,255,255,0.8)",
              xshift: step > 0.6 * N ? -6 : 6,
              font: { ...FONT, size: 14, color: COLOUR.mark },
            }),
          ]
        : []),
      ...strip.annotations,
    ],
  };
}

/** MSE(k) − MSE(N) to the truth with its interval, and the region in which a step counts as sufficient. */
function differenceStrip(result: ProbeResult, x: [number, number]) {
  const { difference, difference_interval: interval, tolerance, reason } = result.sufficient_step;
  const steps = result.probe_steps;
  const message = (text: string) => ({
    data: [line(STRIP, "", x, [null, null], { showlegend: false })],
    shapes: [],
    range: [-1, 1] as [number, number],
    annotations: [
      note(text, 0.5, 0.5, { xref: "x2 domain", yref: "y2 domain", font: { ...FONT, size: 14 } }),
    ],
  });
  if (!difference) return message(reason);
  const ends = [...difference, ...(interval ?? []).flatMap(({ low, high }) => [low, high])];
  // Early steps may be far off; the strip is there to show who is inside the region, so it shows little more.
  const widest = tolerance ? 5 * tolerance : Number.POSITIVE_INFINITY;
  const reach = Math.min(widest, 1.15 * Math.max(...ends.map(Math.abs), 1.3 * (tolerance ?? 0), 1e-12));
  const data: Plain[] = [line(STRIP, "", x, [0, 0], { color: COLOUR.faint, width: 1, showlegend: false })];
  if (interval)
    data.push(
      band(
        STRIP,
        steps,
        interval.map(({ low }) => low),
        interval.map(({ high }) => high),
        COLOUR.truth,
      ),
    );
  data.push(line(STRIP, "", steps, difference, { color: COLOUR.truth, symbol: "circle", showlegend: false }));
  const region =
    tolerance === null
      ? []
      : [
          {
            type: "rect",
            layer: "below",
            xref: "x2",
            yref: "y2",
            x0: x[0],
            x1: x[1],
            y0: -tolerance,
            y1: tolerance,
            fillcolor: faded(COLOUR.mark, 0.22),
            line: { width: 0 },
          },
        ];
  return {
    data,
    shapes: region,
    range: [-reach, reach] as [number, number],
    annotations: [
      stripTitle(
        tolerance === null
          ? "difference to the last step, to the true actions"
          : "to the true actions; shaded ±5 % of the hold-still error: counts as equal",
        2,
        COLOUR.mark,
      ),
    ],
  };
}
