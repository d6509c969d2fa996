/**
 * A drawing as SVG in text, for pages whose scripts do not run, and until they have: the same traces on the same axes. Reads
 * what chart.ts and grid.ts give to plotly, not plotly at large.
 */
import type { Plain } from "../figure/style.ts";
import type { Drawing } from "./chart.ts";
import { dashesOf, marker, paint } from "./look.ts";
import { type Html, markup } from "./markup.ts";

const WIDTH = 852;
/** Characters of an image; the toy's have 5,000 to 20,000. */
const MOST_TEXT = 40_000;
const EDGE = { left: 58, right: 14, top: 10, bottom: 44 };

interface Axis {
  readonly type?: "log";
  readonly range: readonly [number, number];
  readonly tickvals?: readonly number[];
  readonly ticktext?: readonly string[];
}

interface Trace {
  readonly type: "scatter" | "bar";
  readonly mode?: string;
  readonly x: readonly number[];
  readonly y: readonly (number | null)[];
  readonly base?: readonly number[];
  readonly fill?: string;
  readonly fillcolor?: string;
  readonly opacity?: number;
  readonly line?: { readonly color?: string; readonly width?: number; readonly dash?: string };
  readonly marker?: {
    readonly color?: string;
    readonly symbol?: string;
    readonly shades?: readonly number[];
  };
}

/** A place on the page, pixels. */
type Scale = (value: number) => number;

/** @returns null where it would be long: the page has to stay small, and the table is there. */
export function stillImage({ data, layout }: Drawing): Html | null {
  const {
    height,
    xaxis,
    yaxis,
    shapes = [],
  } = layout as unknown as {
    height: number;
    xaxis: Axis;
    yaxis: Axis;
    shapes?: readonly { y0: number; y1: number; fillcolor: string }[];
  };
  const [right, bottom] = [WIDTH - EDGE.right, height - EDGE.bottom];
  const x = scaleOf(xaxis, EDGE.left, right);
  const y = scaleOf(yaxis, bottom, EDGE.top);
  const shaded = shapes.map(({ y0, y1, fillcolor }) => {
    const [color, opacity] = paint(fillcolor);
    return markup`<rect x="${EDGE.left}" y="${px(y(y1))}" width="${right - EDGE.left}" height="${px(y(y0) - y(y1))}" fill="${color}" fill-opacity="${opacity}"/>`;
  });
  const labels = [
    ...ticksOf(xaxis).map(([at, text]) =>
      text
        .split("\n")
        .map(
          (part, i) =>
            markup`<text x="${px(x(at))}" y="${bottom + 18 + 15 * i}" text-anchor="middle">${part}</text>`,
        ),
    ),
    ...ticksOf(yaxis).map(
      ([at, text]) =>
        markup`<path d="M${EDGE.left} ${px(y(at))}H${right}" stroke="var(--line)"/><text x="${EDGE.left - 8}" y="${px(y(at) + 4)}" text-anchor="end">${text}</text>`,
    ),
  ];
  const image = markup`<svg class="still" viewBox="0 0 ${WIDTH} ${height}" aria-hidden="true">${shaded}${labels}<path d="M${EDGE.left} ${EDGE.top}V${bottom}H${right}" fill="none" stroke="var(--edge)"/>${(data as readonly (Plain & Trace)[]).map((trace) => drawn(trace, x, y))}</svg>`;
  return image.text.length > MOST_TEXT ? null : image;
}

const px = (value: number): number => Number(value.toFixed(1));

function scaleOf({ type, range: [from, to] }: Axis, start: number, end: number): Scale {
  return (value) =>
    start + (((type === "log" ? Math.log10(value) : value) - from) / (to - from)) * (end - start);
}

/** Those that are named, else five round ones. */
function ticksOf({ tickvals, ticktext, range: [from, to] }: Axis): (readonly [number, string])[] {
  if (tickvals && ticktext) return tickvals.map((at, i) => [at, ticktext[i]]);
  const rough = (to - from) / 5;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const stride = [1, 2, 5, 10].map((m) => m * decade).find((candidate) => candidate >= rough)!;
  const first = Math.ceil(from / stride);
  return Array.from({ length: Math.floor(to / stride) - first + 1 }, (_, i) => {
    const at = Number(((first + i) * stride).toPrecision(6));
    return [at, String(at).replace("-", "−")];
  });
}

function drawn(trace: Trace, x: Scale, y: Scale): Html[] {
  const { type, mode, x: xs, y: ys, base, fill, fillcolor, opacity, line, marker: mark } = trace;
  if (type === "bar")
    return xs.map((at, i) => {
      const [left, top] = [px(x(at - 0.5)), px(y(base![i] + 1))];
      const size = [px(x(at + 0.5) - left), px(y(base![i]) - top)];
      const share = Math.round(100 * mark!.shades![i]);
      return markup`<rect x="${left}" y="${top}" width="${size[0]}" height="${size[1]}" fill="color-mix(in srgb, var(--high) ${share}%, var(--low))"/>`;
    });
  const points = xs.flatMap((at, i) => (ys[i] === null ? [] : [{ at: px(x(at)), up: px(y(ys[i])), i }]));
  if (points.length === 0) return [];
  // A gap begins a new piece.
  const path = points
    .map(({ at, up, i }, j) => `${j === 0 || points[j - 1].i !== i - 1 ? "M" : "L"}${at} ${up}`)
    .join("");
  if (fill) {
    const [color, faint] = paint(fillcolor!);
    return [markup`<path d="${path}Z" fill="${color}" fill-opacity="${faint}"/>`];
  }
  const [color, faint] = paint(line?.color ?? mark!.color!);
  const dashes = dashesOf(line?.dash);
  const inner =
    mode === "markers"
      ? null
      : markup`<path d="${path}" fill="none" stroke="currentColor" stroke-width="${line!.width}"${dashes ? markup` stroke-dasharray="${dashes}"` : null}/>`;
  const symbol = mark?.symbol;
  const marks = symbol
    ? points.map(
        ({ at, up }) => markup`<g transform="translate(${px(at - 15)} ${px(up - 5)})">${marker(symbol)}</g>`,
      )
    : null;
  return [markup`<g style="color:${color}" opacity="${faint * (opacity ?? 1)}">${inner}${marks}</g>`];
}
