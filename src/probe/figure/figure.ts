/**
 * `action_convergence.png` as data: a result becomes traces and a layout for plotly. Two panels, each with a strip
 * below that says what the panel's curves are worth:
 *
 *   video axis    errors of full decodes by video step      strip: MSE(k) − MSE(N) to the truth, and the margin
 *   action axis   errors inside one decode by action step   strip: iterate error ÷ the null curve of a straight flow
 *   population    where samples are judged together: distances of distributions by calls, strip: variance; in the action axis' place
 *
 * Errors span decades and reach zero by definition where a curve meets its own reference: logarithmic axes, and the
 * zero is left out and said in the legend.
 */
import { actionPanel } from "./action.ts";
import { type PanelPlace, PLOT } from "./panel.ts";
import { populationPanel } from "./population.ts";
import {
  COLOUR,
  type Figure,
  FONT,
  note,
  type Plain,
  type Reference,
  type ShownReferences,
} from "./style.ts";
import { videoPanel } from "./video.ts";
import type { ProbeResult } from "../result/result.ts";
import {
  coverageSentence,
  question,
  stampSentence,
  verdictHeadline,
  verdictReason,
  wrap,
} from "../result/sentences.ts";

export type { Figure, Reference } from "./style.ts";

/** Pixels around the plotting area; the heading adds its lines to the top. */
const MARGIN = { left: 84, right: 44, top: 118, bottom: 272 };
const WIDTH = MARGIN.left + PLOT.width + MARGIN.right;
/** Characters that fit the page's width at the heading's size, also where they are wide. */
const LINE = 168;
const LINE_HEIGHT = 21;

/**
 * @param reference which references to draw; without a known truth "both" and "truth" draw what there is.
 * @returns traces and layout, without a date.
 */
export function convergenceFigure(result: ProbeResult, reference: Reference = "both"): Figure {
  const known = result.video_axis.mse_to_truth !== null;
  const shown: ShownReferences = {
    truth: known && reference !== "final",
    last: !known || reference !== "truth",
  };
  const heights = { upper: [0.315, 1], strip: [0, 0.225] } satisfies Omit<PanelPlace, "x">;
  // Names of floors stand to the right of each panel.
  const beside = { x: [0.565, 0.895] as [number, number], ...heights };
  const right = populationPanel(result, beside) ?? actionPanel(result, shown, beside);
  const left = videoPanel(result, shown, { x: right ? [0, 0.39] : [0, 0.895], ...heights });
  const panels = right ? [left, right] : [left];
  const answer = [
    `<b>${verdictHeadline(result)}</b>`,
    ...wrap(verdictReason(result), LINE),
    ...(result.interval.expected_coverage ? wrap(coverageSentence(result), LINE) : []),
  ];
  const top = MARGIN.top + LINE_HEIGHT * answer.length;
  return {
    data: panels.flatMap(({ data }) => data),
    layout: {
      width: WIDTH,
      height: top + PLOT.height + MARGIN.bottom,
      margin: { l: MARGIN.left, r: MARGIN.right, t: top, b: MARGIN.bottom, pad: 0 },
      font: FONT,
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      ...left.axes,
      ...left.legends,
      ...right?.axes,
      ...right?.legends,
      shapes: panels.flatMap(({ shapes }) => shapes),
      annotations: [
        ...heading(result, answer, top),
        ...panels.flatMap(({ annotations }) => annotations),
        ...watermark(result),
      ],
    },
  };
}

/** Page coordinates from pixels: from the top of a page whose plotting area begins at `top`, and from its bottom edge. */
const fromTop = (pixels: number, top: number) => 1 + (top - pixels) / PLOT.height;
const fromBottom = (pixels: number) => (pixels - MARGIN.bottom) / PLOT.height;
const pageLeft = -(MARGIN.left - 20) / PLOT.width;

function heading(result: ProbeResult, answer: readonly string[], top: number): Plain[] {
  const corner = { xanchor: "left", yanchor: "top" };
  const colour = result.model.trained_on === "pretrained" ? COLOUR.faint : COLOUR.last;
  return [
    note(`<b>${question(result)}</b>`, pageLeft, fromTop(14, top), {
      ...corner,
      font: { ...FONT, size: 24 },
    }),
    note(answer.join("<br>"), pageLeft, fromTop(50, top), {
      ...corner,
      font: { ...FONT, size: 16 },
    }),
    note(`<b>${result.statement}</b>`, pageLeft, fromTop(56 + LINE_HEIGHT * answer.length, top), {
      ...corner,
      font: { ...FONT, color: colour },
    }),
    note(wrap(stampSentence(result), 200).join("<br>"), pageLeft, fromBottom(12), {
      xanchor: "left",
      yanchor: "bottom",
      font: { ...FONT, size: 13, color: COLOUR.faint },
    }),
  ];
}

function watermark({ model }: ProbeResult): Plain[] {
  if (model.trained_on !== "random") return [];
  return [
    note("<b>RANDOM WEIGHTS</b>", 0.5, 0.5, {
      xanchor: "center",
      yanchor: "middle",
      textangle: -30,
      opacity: 0.16,
      font: { ...FONT, size: 132, color: COLOUR.last },
    }),
  ];
}
