/** The distance from real digits over the number of calls, both rules in one small drawing; pixels of an SVG that scales. */
import { figuresOf, type Figures, floorOf, rounded } from "./figures.ts";
import { CALLS } from "./settings.ts";

const SIZE = { width: 300, height: 172 };
const FRAME = { left: 34, right: 288, top: 14, bottom: 142 };
const TICKS = [0.2, 0.5, 1, 2, 5];
/** Least and largest distance of the axis, which is logarithmic. */
const RANGE = [0.15, 6] as const;

const x = (calls: number): number =>
  FRAME.left + 16 + (CALLS.indexOf(calls) / (CALLS.length - 1)) * (FRAME.right - FRAME.left - 32);
const y = (distance: number): number => {
  const [low, high] = RANGE.map(Math.log);
  const share = (Math.log(Math.min(Math.max(distance, RANGE[0]), RANGE[1])) - low) / (high - low);
  return FRAME.bottom - share * (FRAME.bottom - FRAME.top);
};

/** @param calls where the mark stands */
export function drawDistances(figures: Figures, calls: number): string {
  const curve = (rule: "average" | "instant"): string => {
    const at = CALLS.map((n) => [n, figuresOf(figures, rule, n).frechet_pca20] as const);
    const line = at.map(([n, value]) => `${x(n)},${y(value).toFixed(1)}`).join(" ");
    const dots = at.map(
      ([n, value]) => `<circle cx="${x(n)}" cy="${y(value).toFixed(1)}" r="${n === calls ? 5 : 3}"/>`,
    );
    return `<g class="${rule}"><polyline points="${line}"/>${dots.join("")}</g>`;
  };
  const floor = y(floorOf(figures)).toFixed(1);
  const first = (rule: "average" | "instant"): number => y(figuresOf(figures, rule, 1).frechet_pca20);
  return [
    ...TICKS.map(
      (tick) =>
        `<line class="grid" x1="${FRAME.left}" x2="${FRAME.right}" y1="${y(tick)}" y2="${y(tick)}"/>` +
        `<text x="${FRAME.left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
    ),
    ...CALLS.map((n) => `<text x="${x(n)}" y="${FRAME.bottom + 16}" text-anchor="middle">${n}</text>`),
    `<text x="${FRAME.right}" y="${SIZE.height - 2}" text-anchor="end">calls of the network</text>`,
    `<line class="at" x1="${x(calls)}" x2="${x(calls)}" y1="${FRAME.top}" y2="${FRAME.bottom}"/>`,
    `<line class="floor" x1="${FRAME.left}" x2="${FRAME.right}" y1="${floor}" y2="${floor}"/>`,
    `<text x="${FRAME.right}" y="${Number(floor) - 5}" text-anchor="end">training images</text>`,
    curve("instant"),
    curve("average"),
    `<text class="instant" x="${x(1) + 10}" y="${first("instant") + 4}">Euler</text>`,
    `<text class="average" x="${x(1) - 8}" y="${first("average") - 11}">MeanFlow</text>`,
  ].join("");
}

export const VIEW_BOX = `0 0 ${SIZE.width} ${SIZE.height}`;

/** The same in words. */
export function distancesInWords(figures: Figures): string {
  const each = CALLS.map((n) => {
    const [a, b] = (["average", "instant"] as const).map((r) =>
      rounded(figuresOf(figures, r, n).frechet_pca20),
    );
    return `${n}: ${a} and ${b}`;
  });
  return `Fréchet distance to real digits by calls of the network, MeanFlow and Euler: ${each.join("; ")}. Training images: ${rounded(floorOf(figures))}.`;
}
