/**
 * What the page itself runs: it hands each figure to plotly in the page's colours, again when light and dark change. The function is written
 * into the page as text, so it names nothing from outside itself; types are gone by then.
 */
import type { Plain } from "../figure/style.ts";

/** What the page is told; `colours` are variables of the style by the figures' own "#RRGGBB". */
export interface Drawn {
  readonly colours: Readonly<Record<string, string>>;
  readonly figures: readonly { id: string; data: readonly Plain[]; layout: Plain }[];
}

interface Plotly {
  react(target: HTMLElement, data: unknown, layout: unknown, config: unknown): Promise<unknown>;
}

export function drawFigures(): void {
  const { colours, figures } = JSON.parse(document.getElementById("drawings")!.textContent) as Drawn;
  const { Plotly } = window as unknown as { Plotly: Plotly };
  const variable = (name: string): string =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** "#RRGGBB" with an opacity in 0..1 */
  const faded = (hex: string, opacity: number): string =>
    `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${opacity})`;

  /** The figures' colours replaced by the page's, at any depth. */
  const recoloured = (value: unknown): unknown => {
    if (Array.isArray(value)) return value;
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, recoloured(inner)]));
    if (typeof value !== "string") return value;
    if (Object.hasOwn(colours, value)) return variable(colours[value]);
    const parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(value);
    if (!parts) return value;
    const hex = `#${[1, 2, 3].map((i) => Number(parts[i]).toString(16).padStart(2, "0")).join("")}`;
    const own = colours[hex.toUpperCase()];
    return own ? faded(variable(own), Number(parts[4])) : value;
  };

  /** Between the page's palest and darkest, at 0..1. */
  const shaded = (at: number): string => {
    const [low, high] = ["--low", "--high"].map(variable);
    const part = (i: number) => {
      const [from, to] = [low, high].map((hex) => parseInt(hex.slice(i, i + 2), 16));
      return Math.round(from + at * (to - from));
    };
    return `rgb(${[1, 3, 5].map(part).join(",")})`;
  };

  const draw = async ({ id, data, layout }: Drawn["figures"][number]): Promise<void> => {
    const target = document.getElementById(id)!;
    target.querySelector(".still")?.remove();
    const axis = {
      gridcolor: variable("--line"),
      linecolor: variable("--edge"),
      tickcolor: variable("--edge"),
      showline: true,
      zeroline: false,
      ticks: "outside",
      ticklen: 4,
      tickfont: { size: 12, color: variable("--soft") },
    };
    const font = { family: "system-ui, sans-serif", size: 12, color: variable("--soft") };
    const own = recoloured(layout) as { xaxis: Plain; yaxis: Plain };
    const labels = own.xaxis.ticktext as string[] | undefined;
    const traces = (structuredClone(data) as Plain[]).map((trace) => {
      const drawn: Plain = { ...(recoloured(trace) as Plain), showlegend: false };
      const marker = drawn.marker as { shades?: number[]; color?: string[] } | undefined;
      if (marker?.shades) marker.color = marker.shades.map(shaded);
      return drawn;
    });
    await Plotly.react(
      target,
      traces,
      {
        ...own,
        autosize: true,
        font,
        margin: { l: 58, r: 14, t: 10, b: labels?.some((label) => label.includes("\n")) ? 44 : 28 },
        paper_bgcolor: "transparent",
        plot_bgcolor: "transparent",
        hoverlabel: {
          namelength: 40,
          bgcolor: variable("--card"),
          font: { ...font, color: variable("--ink") },
        },
        // On touch screens a finger scrolls the page.
        dragmode: matchMedia("(hover: hover)").matches ? "zoom" : false,
        showlegend: false,
        xaxis: {
          ...axis,
          ...own.xaxis,
          ...(labels ? { ticktext: labels.map((label) => label.replaceAll("\n", "<br>")) } : {}),
        },
        yaxis: { ...axis, ...own.yaxis },
      },
      { displayModeBar: false, displaylogo: false, responsive: true },
    );
    target.dataset.drawn = "yes";
  };

  const drawAll = async (): Promise<void> => {
    for (const figure of figures) {
      await draw(figure);
      // Each in a task of its own, so that the page can be scrolled meanwhile.
      await new Promise((resolve) => setTimeout(resolve));
    }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => void drawAll());
  void drawAll();
}
