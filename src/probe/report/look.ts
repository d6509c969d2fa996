/** Colours, dashes and marks of the figures as SVG has them. */
import { Html, markup } from "./markup.ts";
import { VARIABLES } from "./style.ts";

const DASHES: Record<string, string> = { dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "10 4" };

/** Undefined where a line is whole. */
export const dashesOf = (dash = "solid"): string | undefined => DASHES[dash];

const SHAPES: Record<string, Html> = {
  circle: markup`<circle cx="15" cy="5" r="4"`,
  square: markup`<rect x="11.5" y="1.5" width="7" height="7"`,
  diamond: markup`<path d="M15 0.5L19.5 5L15 9.5L10.5 5Z"`,
  "triangle-up": markup`<path d="M15 1L19 8.5H11Z"`,
  "triangle-down": markup`<path d="M15 9L19 1.5H11Z"`,
  cross: markup`<path d="M13 1H17V3H19V7H17V9H13V7H11V3H13Z"`,
};

/** A mark around (15, 5), as large as the legend's. */
export function marker(symbol: string): Html {
  const shape = SHAPES[symbol.replace("-open", "")] ?? SHAPES.circle;
  const fill = symbol.endsWith("-open")
    ? 'fill="var(--paper)" stroke="currentColor" stroke-width="1.5"'
    : 'fill="currentColor"';
  return new Html(`${shape.text} ${fill}/>`);
}

/** A figure's colour as the page's, and its opacity. */
export function paint(color: string): [color: string, opacity: number] {
  const parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(color);
  if (!parts) return [`var(${VARIABLES[color]})`, 1];
  const hex = `#${[1, 2, 3].map((i) => Number(parts[i]).toString(16).padStart(2, "0")).join("")}`;
  return [`var(${VARIABLES[hex.toUpperCase()]})`, Number(parts[4])];
}
