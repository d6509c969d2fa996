/** The figure's colours and names in the page's: light or dark, and in little room. */
import { COLOUR, type Plain } from "../src/probe/figure/style.ts";
import { make, themeColour } from "./dom.ts";
import type { Panel } from "./panels.ts";

/** Colours of the figure → variables of style.css. */
const VARIABLES: Record<string, string> = {
  [COLOUR.truth]: "truth",
  [COLOUR.last]: "model",
  [COLOUR.holdStill]: "null",
  [COLOUR.datasetMean]: "mean",
  [COLOUR.zeroed]: "zeroed",
  [COLOUR.other]: "other",
};

/**
 * Traces and layout as plotly takes them.
 * @param mark place on the horizontal axis that is shown now
 */
export function themed({ data, x, y }: Panel, mark: number | undefined): { data: Plain[]; layout: Plain } {
  const [grid, soft, edge] = ["line", "soft", "edge"].map(themeColour);
  const axis = {
    gridcolor: grid,
    linecolor: grid,
    zeroline: false,
    ticks: "",
    tickfont: { size: 12, color: soft },
  };
  return {
    data: data.map((trace) => ({ ...(recoloured(trace) as Plain), showlegend: false })),
    layout: {
      margin: { l: 50, r: 12, t: 10, b: 28 },
      autosize: true,
      font: { family: "system-ui, sans-serif", size: 12, color: soft },
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      dragmode: false,
      showlegend: false,
      hoverlabel: { namelength: -1 },
      xaxis: { ...axis, ...x, fixedrange: true },
      yaxis: { ...axis, ...y, type: "log", fixedrange: true },
      shapes:
        mark === undefined
          ? []
          : [
              {
                type: "line",
                xref: "x",
                yref: "paper",
                x0: mark,
                x1: mark,
                y0: 0,
                y1: 1,
                line: { color: edge, width: 1.5 },
              },
            ],
    },
  };
}

/** The figure's colours replaced by the page's, at any depth; faded ones keep their opacity. */
function recoloured(value: unknown): unknown {
  if (Array.isArray(value)) return value;
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, recoloured(inner)]));
  if (typeof value !== "string") return value;
  const variable = VARIABLES[value];
  if (variable) return themeColour(variable);
  const parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(value);
  if (!parts) return value;
  const hex =
    `#${[1, 2, 3].map((i) => Number(parts[i]).toString(16).padStart(2, "0")).join("")}`.toUpperCase();
  const faded = VARIABLES[hex];
  const alpha = Math.round(255 * Number(parts[4]))
    .toString(16)
    .padStart(2, "0");
  return faded ? `${themeColour(faded)}${alpha}` : value;
}

/** The names of a plot's curves, in the words that matter beside it. */
export function showLegend(list: HTMLElement, drawn: readonly Plain[], traces: readonly Plain[]): void {
  const items = traces.flatMap(({ name, line: look, showlegend, meta }, i) => {
    // Floors, which the figure names at the ends of their lines, are named here.
    if (typeof name !== "string" || name === "" || (showlegend === false && meta !== "level")) return [];
    const { dash = "solid" } = look as { dash?: string };
    const item = make("li", { textContent: shortened(name) });
    item.style.setProperty("--colour", (drawn[i].line as { color: string }).color);
    item.style.setProperty("--dash", dash === "solid" ? "solid" : dash === "dot" ? "dotted" : "dashed");
    return [item];
  });
  list.replaceChildren(...items);
}

/** The figure's names have a page to themselves; here they stand in half of one. */
const shortened = (name: string): string =>
  name
    .replace(/ \(.*\)$|, whatever.*$/, "")
    .replace("the true actions", "the truth")
    .replace("the final action", "its end");
