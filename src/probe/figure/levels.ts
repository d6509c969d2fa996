/**
 * Floors and controls: horizontal lines whose names stand at their ends, with the reference they are measured to. Lines that coincide are
 * drawn one over another in falling width, so that each shows; their names are set apart and led back.
 */
import { type PanelPlace, PLOT } from "./panel.ts";
import { COLOUR, FONT, line, note, type Place, type Plain, type ShownReferences } from "./style.ts";
import type { ProbeResult } from "../result/result.ts";

export interface Level {
  name: string;
  /** For the end of the line, with breaks. */
  label: string;
  value: number;
  color: string;
  dash: string;
}

/** Those that are known: to the truth where it is drawn, else to the last read-out. */
export function levelsOf({ floors, controls }: ProbeResult, shown: ShownReferences): Level[] {
  const all = [
    { name: "hold still", level: floors.hold_still, color: COLOUR.holdStill, dash: "longdash" },
    { name: "dataset mean", level: floors.dataset_mean, color: COLOUR.datasetMean, dash: "longdash" },
    { name: "zeroed context", level: controls.zeroed_context, color: COLOUR.zeroed, dash: "dashdot" },
    {
      name: "another episode's context",
      level: controls.other_episode_context,
      color: COLOUR.other,
      dash: "dashdot",
    },
    { name: "shuffled frames", level: controls.frames_shuffled, color: COLOUR.shuffled, dash: "dot" },
  ];
  return all.flatMap(({ name, level, ...look }) => {
    const value = (shown.truth ? level?.to_truth : level?.to_last)?.mean;
    // Zero has no place on a logarithmic axis.
    return value === undefined || value <= 0
      ? []
      : [{ name, label: name.replace("episode's ", "episode's<br>"), value, ...look }];
  });
}

/** Lines nearer than this many pixels hide one another. */
const NEAR = 2;

/**
 * @param scale exponents of ten at the ends of the vertical axis.
 * @param named whether a page that lists its curves lists these.
 */
export function levelTraces(
  levels: readonly Level[],
  place: Place,
  range: [number, number],
  scale: [number, number],
  { upper }: PanelPlace,
  named: boolean,
): Plain[] {
  const pixels = levels.map(({ value }) => heightOf(value, scale) * (upper[1] - upper[0]) * PLOT.height);
  return levels.map(({ name, value, color, dash }, i) => {
    const above = pixels.filter((y, j) => j > i && Math.abs(y - pixels[i]) < NEAR).length;
    return line(place, name, range, [value, value], {
      ...{ color, dash, width: 2 + 3.5 * above, showlegend: false },
      ...(named ? { meta: "level" } : {}),
    });
  });
}

/** Names at the right of a panel. */
export function levelLabels(
  levels: readonly Level[],
  scale: [number, number],
  { x, upper }: PanelPlace,
  shown: ShownReferences,
  to: string,
): { annotations: Plain[]; shapes: Plain[] } {
  if (levels.length === 0) return { annotations: [], shapes: [] };
  const pixel = 1 / PLOT.height;
  const own = levels.map(({ value }) => upper[0] + heightOf(value, scale) * (upper[1] - upper[0]));
  const sizes = levels.map(({ label }) => (label.split("<br>").length * 15 + 3) * pixel);
  const placed = apart(own, sizes, upper);
  const lead = 16 / PLOT.width;
  const top = Math.max(...placed.map((y, i) => y + sizes[i] / 2));
  return {
    annotations: [
      ...levels.map(({ label, color }, i) =>
        note(label, x[1] + lead, placed[i], {
          ...{ xanchor: "left", yanchor: "middle", xshift: 2 },
          font: { ...FONT, size: 13, color },
        }),
      ),
      note(shown.truth ? `<b>to ${to}:</b>` : "<b>to the last decode:</b>", x[1], top, {
        ...{ xanchor: "left", yanchor: "bottom", xshift: 4, yshift: 1 },
        font: { ...FONT, size: 12, color: shown.truth ? COLOUR.truth : COLOUR.last },
      }),
    ],
    shapes: levels.map(({ color }, i) => ({
      ...{ type: "line", xref: "paper", yref: "paper", x0: x[1], x1: x[1] + lead, y0: own[i], y1: placed[i] },
      line: { color, width: 1 },
    })),
  };
}

/** Height of a value on its axis, 0 at the bottom, 1 at the top. */
const heightOf = (value: number, [low, high]: [number, number]): number =>
  (Math.log10(value) - low) / (high - low);

/** Centres of boxes near their wishes that neither overlap nor leave the span. */
export function apart(
  wishes: readonly number[],
  sizes: readonly number[],
  [bottom, top]: [number, number],
): number[] {
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[b] - wishes[a]);
  const placed = [...wishes];
  let ceiling = top + sizes[order[0]] / 2;
  for (const i of order) {
    placed[i] = Math.min(wishes[i], ceiling - sizes[i] / 2);
    ceiling = placed[i] - sizes[i] / 2;
  }
  let floor = bottom - sizes[order[order.length - 1]] / 2;
  for (const i of order.reverse()) {
    placed[i] = Math.max(placed[i], floor + sizes[i] / 2);
    floor = placed[i] + sizes[i] / 2;
  }
  return placed;
}
