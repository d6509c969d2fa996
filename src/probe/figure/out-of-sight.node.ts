/** Lines and bands of an SVG by plotly that lie wholly outside of their panel. */
import type { DOMWindow } from "jsdom";

/**
 * Takes lines and bands away that their panel's clip leaves nothing of. resvg 2.6.2 ends the whole process over those that also lie
 * outside of the picture (an empty layer, `geom.rs:27`), as a floor does that is forty orders of magnitude below a curve.
 * @returns the same text where there are none
 */
export function withoutUnseen(svg: string, window: DOMWindow): string {
  const document = new window.DOMParser().parseFromString(svg, "image/svg+xml");
  const unseen = [...document.querySelectorAll("path.js-line, path.js-fill")].filter((path) => {
    const id = path
      .closest("[clip-path]")
      ?.getAttribute("clip-path")
      ?.match(/#([^)"]+)/)?.[1];
    const panel = id === undefined ? null : document.getElementById(id)?.querySelector("rect");
    if (!panel) return false;
    const number = (name: string): number => Number(panel.getAttribute(name) ?? 0);
    const points = pointsOf(path.getAttribute("d") ?? "");
    const beyond = (values: readonly number[], from: number, size: number): boolean =>
      values.length > 0 &&
      (values.every((v) => v < from - WIDEST) || values.every((v) => v > from + size + WIDEST));
    return (
      beyond(
        points.map(([x]) => x),
        number("x"),
        number("width"),
      ) ||
      beyond(
        points.map(([, y]) => y),
        number("y"),
        number("height"),
      )
    );
  });
  if (unseen.length === 0) return svg;
  for (const path of unseen) path.remove();
  return new window.XMLSerializer().serializeToString(document);
}

/** No line is wider, pixels. */
const WIDEST = 10;

/** Corners of a path of absolute straight lines, which is what plotly draws; none of another path. */
function pointsOf(d: string): [number, number][] {
  const points: [number, number][] = [];
  for (const [, command, numbers] of d.matchAll(/([A-Za-z])([^A-Za-z]*)/g)) {
    const values = (numbers.match(/-?[\d.]+(?:e[+-]?\d+)?/g) ?? []).map(Number);
    const [x, y] = points.at(-1) ?? [0, 0];
    if (command === "M" || command === "L")
      for (let i = 0; i + 1 < values.length; i += 2) points.push([values[i], values[i + 1]]);
    else if (command === "H") points.push([values[0], y]);
    else if (command === "V") points.push([x, values[0]]);
    else if (command !== "Z") return [];
  }
  return points;
}
