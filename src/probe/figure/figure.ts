/**
 * `action_convergence.png` as data: a result becomes traces and a layout for plotly. Two panels, each with a strip
 * below that says what the panel's curves are worth:
 *
 *   video axis    errors of full decodes by video step      strip: MSE(k) − MSE(N) to the truth, ±5 % of hold-still
 *   action axis   errors inside one decode by action step   strip: iterate error ÷ the null curve of a straight flow
 *
 * Errors span decades and reach zero by definition where a curve meets its own reference: logarithmic axes, and the
 * zero is left out and said in the legend.
 */
import { actionPanel } from "./action.ts";
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
import { stampSentence, sufficientSentence, wrap } from "../result/sentences.ts";

export type { Figure, Reference } from "./style.ts";

/** Pixels; the plotting area is what the margins leave, and panels are fractions of it. */
const PAGE = { width: 1440, height: 1010, left: 84, right: 24, top: 168, bottom: 262 };

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
  const panels = [
    videoPanel(result, shown, { x: [0, 0.472], upper: [0.315, 1], strip: [0, 0.225] }),
    actionPanel(result, shown, { x: [0.548, 1], upper: [0.315, 1], strip: [0, 0.225] }),
  ];
  return {
    data: panels.flatMap(({ data }) => data),
    layout: {
      width: PAGE.width,
      height: PAGE.height,
      margin: { l: PAGE.left, r: PAGE.right, t: PAGE.top, b: PAGE.bottom, pad: 0 },
      font: FONT,
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      ...panels[0].axes,
      ...panels[1].axes,
      ...panels[0].legends,
      ...panels[1].legends,
      shapes: panels.flatMap(({ shapes }) => shapes),
      annotations: [
        ...heading(result),
        ...panels.flatMap(({ annotations }) => annotations),
        ...watermark(result),
      ],
    },
  };
}

const pixelsUp = (pixels: number) => 1 + pixels / (PAGE.height - PAGE.top - PAGE.bottom);
const pixelsDown = (pixels: number) => -pixels / (PAGE.height - PAGE.top - PAGE.bottom);
const pageLeft = -(PAGE.left - 20) / (PAGE.width - PAGE.left - PAGE.right);

function heading(result: ProbeResult): Plain[] {
  const top = { xanchor: "left", yanchor: "top" };
  const colour = result.model.trained_on === "pretrained" ? COLOUR.faint : COLOUR.last;
  return [
    note("<b>After how many denoising steps does the action stop changing?</b>", pageLeft, pixelsUp(154), {
      ...top,
      font: { ...FONT, size: 24 },
    }),
    note(wrap(sufficientSentence(result), 165).join("<br>"), pageLeft, pixelsUp(117), {
      ...top,
      font: { ...FONT, size: 16 },
    }),
    note(`<b>${result.statement}</b>`, pageLeft, pixelsUp(70), { ...top, font: { ...FONT, color: colour } }),
    note(stampSentence(result), pageLeft, pixelsDown(PAGE.bottom - 12), {
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
