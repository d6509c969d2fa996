/**
 * One plot as the text of an SVG, in pixels: axes, bands, curves with marks, floors with the places of their names. Colours are variables of
 * the page's style, so that light and dark need no drawing anew.
 */
import { apart } from "../src/probe/figure/levels.ts";
import { logRange, logTicks } from "../src/probe/figure/panel.ts";
import type { CurveView, LevelView, Panel } from "./panels.ts";

export type Scale = "log" | "linear";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Drawn {
  /** what stands inside the svg element */
  readonly markup: string;
  /** pixels of a step, and of a value inside the plot's frame */
  readonly x: (step: number) => number;
  readonly y: (value: number) => number;
  readonly frame: {
    readonly left: number;
    readonly right: number;
    readonly top: number;
    readonly bottom: number;
  };
  /** steps at which any curve has a value, ascending */
  readonly steps: readonly number[];
  /** where the names of levels stand, in their order: pixels of their middles */
  readonly names: readonly number[];
}

/** Pixels around the frame; the right has the names of levels. */
const MARGIN = { left: 46, right: 14, top: 10, bottom: 24 };
const NAMES = 100;
/** Pixels between the frame and the names, for the lines that lead to them. */
const LEAD = 12;
const LINE_HEIGHT = 15;
/** Lines nearer than this many pixels hide one another. */
const NEAR = 2;
const DASHES = { dash: "6 4", dot: "1.5 3.5" };

export function drawPanel(panel: Panel, { width, height }: Size, scale: Scale): Drawn {
  const levels = panel.levels ?? [];
  const frame = {
    left: MARGIN.left,
    right: Math.max(MARGIN.left + 40, width - MARGIN.right - (panel.levels ? NAMES : 0)),
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
  };
  const { low, high, ticks } = vertical(panel, scale);
  const of = (value: number): number => (scale === "log" ? Math.log10(value) : value);
  const y = (value: number): number =>
    frame.bottom - ((of(value) - low) / (high - low)) * (frame.bottom - frame.top);
  const pad = 6;
  const x = (step: number): number =>
    frame.left + pad + (step / panel.steps) * (frame.right - frame.left - 2 * pad);

  const parts = [
    `<clipPath id="%frame"><rect x="${frame.left}" y="${frame.top - 4}" width="${frame.right - frame.left}" height="${frame.bottom - frame.top + 8}"/></clipPath>`,
    ...ticks.map(
      ({ value, text }) =>
        `<path d="M${frame.left} ${px(y(value))}H${frame.right}" stroke="var(--line)"/>` +
        `<text x="${frame.left - 7}" y="${px(y(value) + 4)}" text-anchor="end">${text}</text>`,
    ),
    ...stepTicks(panel.steps).map(
      (step) =>
        `<path d="M${px(x(step))} ${frame.top}V${frame.bottom}" stroke="var(--line)"/>` +
        `<text x="${px(x(step))}" y="${frame.bottom + 17}" text-anchor="middle">${step}</text>`,
    ),
  ];
  const clipped: string[] = [];
  panel.curves.forEach((curve, i) => clipped.push(band(curve, i, x, y, [low, high], scale)));
  const { lines, names } = levelLines(levels, frame, y);
  clipped.push(...lines.map(({ line }) => line));
  panel.curves.forEach((curve, i) => clipped.push(curveLine(curve, i, x, y, scale)));
  parts.push(`<g clip-path="url(#%frame)">${clipped.join("")}</g>`, ...lines.map(({ lead }) => lead));
  const steps = [...new Set(panel.curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
  return { markup: parts.join(""), x, y, frame, steps, names };
}

const px = (value: number): string => value.toFixed(1);

interface Vertical {
  /** ends, in exponents of ten where the axis is logarithmic */
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly { readonly value: number; readonly text: string }[];
}

function vertical({ curves, levels = [] }: Panel, scale: Scale): Vertical {
  const means = [...curves.map(({ values }) => [...values]), levels.map(({ value }) => value)];
  const ends = curves.flatMap(({ interval }) => interval?.flatMap(({ low, high }) => [low, high]) ?? []);
  const all = means.flat().filter((value) => value > 0);
  if (scale === "linear") {
    const top = all.length > 0 ? 1.08 * Math.max(...all, ...ends) : 1;
    const stride = roundStride(top, 5);
    const count = Math.floor(top / stride + 1e-9);
    const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * stride).toPrecision(12)));
    return { low: 0, high: top, ticks: ticks.map((value) => ({ value, text: String(value) })) };
  }
  // A lower end near or below zero would stretch the axis without bound: a decade below the curves is enough.
  const least = 0.1 * Math.min(...all);
  const [low, high] = all.length > 0 ? logRange([all, ends.filter((value) => value > least)], 5) : [-2, 0];
  const { tickvals, ticktext } = logTicks([low, high]);
  return { low, high, ticks: tickvals.map((value, i) => ({ value, text: ticktext[i] })) };
}

/** 1, 2 or 5 times a power of ten, of which at most `most` go into a length. */
function roundStride(length: number, most: number): number {
  const least = length / most;
  const decade = 10 ** Math.floor(Math.log10(least));
  return decade * ([1, 2, 5, 10].find((one) => one * decade >= least - 1e-12) ?? 10);
}

/** Round steps from 0 on, and the last one, which the round ones leave room. */
export function stepTicks(steps: number): number[] {
  const stride = Math.max(1, roundStride(steps, 5));
  const round = Array.from({ length: Math.floor(steps / stride) + 1 }, (_, i) => i * stride);
  return [...round.filter((step) => step <= steps - 0.6 * stride), steps];
}

/** Places of a curve that can be drawn: where it is above 0, unless zero has a place. */
const shown = ({ values }: CurveView, scale: Scale): number[] =>
  values.flatMap((value, i) => (value > 0 || (scale === "linear" && value === 0) ? [i] : []));

function band(
  curve: CurveView,
  i: number,
  x: (step: number) => number,
  y: (value: number) => number,
  [low, high]: readonly [number, number],
  scale: Scale,
): string {
  const { interval, steps, colour } = curve;
  const kept = shown(curve, scale);
  if (!interval || kept.length === 0) return "";
  // An end beyond the axis is drawn a little beyond it, and cut off by the frame.
  const [least, most] = scale === "log" ? [10 ** (low - 0.3), 10 ** (high + 0.3)] : [low, 2 * high];
  const at = (k: number, value: number): string =>
    `${px(x(steps[k]))} ${px(y(Math.min(Math.max(value, least), most)))}`;
  const upper = kept.map((k) => at(k, interval[k].high));
  const lower = kept.map((k) => at(k, interval[k].low)).reverse();
  return `<path class="band" data-curve="${i}" d="M${[...upper, ...lower].join("L")}Z" fill="var(--${colour})"/>`;
}

function curveLine(
  curve: CurveView,
  i: number,
  x: (step: number) => number,
  y: (value: number) => number,
  scale: Scale,
): string {
  const { steps, values, colour, dash, mark, open } = curve;
  const points = shown(curve, scale).map((k) => [x(steps[k]), y(values[k])] as const);
  const line = `<polyline points="${points.map(([a, b]) => `${px(a)},${px(b)}`).join(" ")}" fill="none" stroke-width="2.2"${dash ? ` stroke-dasharray="${DASHES[dash]}"` : ""}/>`;
  // Where marks would touch, some stand for all.
  const stride = Math.ceil((8 * points.length) / Math.max(1, (points.at(-1)?.[0] ?? 0) - points[0]?.[0]));
  const fill = open ? "var(--card)" : `var(--${colour})`;
  const marks = mark
    ? points
        .filter((_, k) => k % Math.max(1, stride || 1) === 0 || k === points.length - 1)
        .map(([a, b]) =>
          mark === "disc"
            ? `<circle cx="${px(a)}" cy="${px(b)}" r="3.4" fill="${fill}"/>`
            : `<rect x="${px(a - 3.1)}" y="${px(b - 3.1)}" width="6.2" height="6.2" fill="${fill}"/>`,
        )
    : [];
  return `<g class="curve" data-curve="${i}" stroke="var(--${colour})" stroke-linejoin="round">${line}<g stroke-width="1.6">${marks.join("")}</g></g>`;
}

/** Lines that coincide are drawn one over another in falling width, so that each shows; their names are set apart and led back. */
function levelLines(
  levels: readonly LevelView[],
  { left, right, top, bottom }: Drawn["frame"],
  y: (value: number) => number,
): { lines: { line: string; lead: string }[]; names: number[] } {
  const own = levels.map(({ value }) => Math.min(Math.max(y(value), top), bottom));
  if (levels.length === 0) return { lines: [], names: [] };
  // Upwards, as the figure counts.
  const placed = apart(
    own.map((at) => -at),
    levels.map(() => LINE_HEIGHT),
    [-bottom - 8, -top + 2],
  ).map((at) => -at);
  const lines = levels.map(({ colour, dash }, i) => {
    const above = own.filter((at, j) => j > i && Math.abs(at - own[i]) < NEAR).length;
    return {
      line: `<path class="level" data-level="${i}" d="M${left} ${px(own[i])}H${right}" stroke="var(--${colour})" stroke-width="${1.8 + 3 * above}" stroke-dasharray="${dash === "dot" ? DASHES.dot : "9 5"}"/>`,
      lead: `<path d="M${right} ${px(own[i])}L${right + LEAD} ${px(placed[i])}" stroke="var(--${colour})" fill="none"/>`,
    };
  });
  return { lines, names: placed };
}
