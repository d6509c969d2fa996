/** The strip below the outer axis: how each step differs from the last, and the margin that decides. */
import { bandInside, cutMarks, stripTitle } from "./panel.ts";
import { COLOUR, FONT, faded, line, note, type Plain } from "./style.ts";
import type { ProbeResult } from "../result/result.ts";
import { short, truthWords, wrap } from "../result/sentences.ts";
import { marginWords } from "../result/verdict.ts";

const STRIP = { xaxis: "x2", yaxis: "y2", legend: "legend" };

interface Strip {
  data: Plain[];
  shapes: Plain[];
  range: [number, number];
  annotations: Plain[];
}

/** MSE(k) − MSE(N) to the truth with its interval, and the margin under which its upper end must stay. */
export function differenceStrip(result: ProbeResult, x: [number, number]): Strip {
  const { difference, difference_interval: interval, margin, margin_source, reason, step } = result.verdict;
  const steps = result.probe_steps;
  if (!difference)
    return {
      data: [line(STRIP, "", x, [null, null], { showlegend: false })],
      shapes: [],
      range: [-1, 1],
      annotations: [
        note(wrap(reason, 70).join("<br>"), 0.5, 0.5, {
          ...{ xref: "x2 domain", yref: "y2 domain", font: { ...FONT, size: 14 } },
        }),
      ],
    };
  const known = margin !== null && margin > 0 ? margin : null;
  const ends = [...difference, ...(interval ?? []).flatMap(({ low, high }) => [low, high])];
  // Steps may be far off; the strip is there to show who stays under the margin.
  const widest = known ? 8 * known : Number.POSITIVE_INFINITY;
  const reach = (sign: 1 | -1) =>
    Math.min(widest, 1.15 * Math.max(...ends.map((end) => sign * end), 1.6 * (known ?? 0), 1e-12));
  const range: [number, number] = [-reach(-1), reach(1)];
  const data: Plain[] = [line(STRIP, "", x, [0, 0], { color: COLOUR.faint, width: 1, showlegend: false })];
  if (interval) data.push(...bandInside(STRIP, steps, interval, range, COLOUR.truth));
  data.push(
    ...cutMarks(STRIP, steps, difference, range, COLOUR.truth),
    line(STRIP, "", steps, difference, { color: COLOUR.truth, symbol: "circle", showlegend: false }),
  );
  const shape = { xref: "x2", yref: "y2", x0: x[0], x1: x[1], layer: "below" };
  return {
    data,
    shapes:
      known === null
        ? []
        : [
            {
              ...{ ...shape, type: "rect", y0: range[0], y1: known },
              ...{ fillcolor: faded(COLOUR.mark, 0.14), line: { width: 0 } },
            },
            { ...shape, type: "line", y0: known, y1: known, line: { color: COLOUR.mark, width: 2 } },
          ],
    range,
    annotations: [
      stripTitle(
        known === null
          ? `difference to the last step, to ${truthWords(result)}`
          : step === null
            ? "to the truth; the shade is the margin, but there is no verdict"
            : `to the truth; a band within the shade is not worse than the last by more than ${short(known)}`,
        2,
        COLOUR.mark,
      ),
      ...(known === null
        ? []
        : [
            note(wrap(`margin: ${marginWords(margin_source!)}`, 18).join("<br>"), 1, known, {
              ...{ xref: "x2 domain", yref: "y2", xanchor: "left", yanchor: "middle", xshift: 6 },
              font: { ...FONT, size: 12, color: COLOUR.mark },
            }),
          ]),
    ],
  };
}
