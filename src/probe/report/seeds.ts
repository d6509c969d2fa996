/** How far the answers of different seeds lie apart, by what the data say of an episode. */
import { COLOUR } from "../figure/style.ts";
import type { ProbeResult } from "../result/result.ts";
import { axisName, seedName, short } from "../result/sentences.ts";
import { errorTitle, floorLevels, stepAxis } from "./axes.ts";
import { type Chart, type Table, withInterval } from "./chart.ts";

type Spread = ProbeResult["spread_by_label"][number];

const COLOURS = [COLOUR.truth, COLOUR.last, COLOUR.other, COLOUR.zeroed, COLOUR.shuffled, COLOUR.mark];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"];
/** Most figures, and curves of each; the tables have as many rows as there are values. */
const MOST = { figures: 4, curves: 6, values: 100 } as const;

/** A figure for each label and kind of seeds; the one with a contrast first. */
export function spreadCharts(result: ProbeResult): Chart[] {
  const all = [...result.spread_by_label].sort((a, b) => Number(!a.contrast) - Number(!b.contrast));
  return all.slice(0, MOST.figures).map((spread, i) => spreadChart(result, spread, i));
}

function spreadChart(result: ProbeResult, spread: Spread, index: number): Chart {
  const { seeds, label, values, contrast } = spread;
  const shown = values.slice(0, MOST.curves);
  const own = result.between_seeds[seeds];
  return {
    id: `spread-${index}`,
    title: `Spread over ${seeds === "video" ? seedName(result) : "action seed"}s by ${label}`,
    alt: `How far the decodes of two seeds lie apart, by ${axisName(result)} step, for ${values.length} values of ${label}. The numbers are in the table below.`,
    notes: [
      "Mean squared difference of the decodes of two seeds, over all pairs. Prompts that leave something open may have several right answers, which lie apart." +
        (contrast
          ? " Were prompts alike in this, the curves would lie on one another: that is the null, and the table has the difference with its interval."
          : ""),
      ...(shown.length < values.length
        ? [`The first ${shown.length} of ${values.length} values; the table has the others.`]
        : []),
    ],
    x: stepAxis(result),
    y: { title: "mean squared difference of two seeds (normalised action units²)", log: true },
    curves: shown.map(({ value, episodes, spread: y }, i) => ({
      name: `${value} (${episodes})`,
      ...{ x: result.probe_steps, y },
      ...{ color: COLOURS[i % COLOURS.length], symbol: SYMBOLS[i % SYMBOLS.length] },
    })),
    levels: [
      ...(own !== null && own > 0
        ? [
            {
              ...{ name: "all episodes, at the last step", value: own },
              ...{ color: COLOUR.holdStill, dash: "dot" },
            },
          ]
        : []),
      ...floorLevels(result, result.video_axis.mse_to_truth !== null).filter(
        ({ name }) => name === "hold still",
      ),
    ],
    height: 260,
    table: spreadTable(result, spread),
  };
}

function spreadTable(result: ProbeResult, { label, values, contrast }: Spread): Table {
  const { probe_steps: steps } = result;
  return {
    caption: `Spread over seeds by ${label}: ${errorTitle(result)}, two seeds against each other`,
    head: [label, "episodes", ...steps.map((step) => `step ${step}`)],
    rows: [
      ...values
        .slice(0, MOST.values)
        .map(({ value, episodes, spread }) => [value, String(episodes), ...spread.map(short)]),
      ...(contrast
        ? [
            [
              ...["ambiguous less unambiguous", "–"],
              ...contrast.difference.map((value, k) => withInterval(value, contrast.interval?.[k])),
            ],
          ]
        : []),
    ],
  };
}
