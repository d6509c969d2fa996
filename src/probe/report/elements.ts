/** Parts of the page: a figure with its legend and tables, a table that scrolls inside itself, a table of facts. */
import type { Plain } from "../figure/style.ts";
import type { Chart, Table } from "./chart.ts";
import type { HeatMap } from "./grid.ts";
import { Html, markup } from "./markup.ts";
import { VARIABLES } from "./style.ts";
import { AXIS_NAME, short } from "../result/sentences.ts";

/** A plot's place with its legend above and its numbers below. */
export function chartFigure(chart: Chart, tables: readonly Table[]): Html {
  const { id, title, alt, notes, x, y, curves, levels } = chart;
  const keys = [
    ...curves.filter(({ quiet }) => !quiet).map(({ name, ...look }) => key(name, look)),
    ...levels.map(({ name, value, ...look }) => key(value === 0 ? name : `${name} ${short(value)}`, look)),
  ];
  return markup`<figure aria-labelledby="${id}-title">
    <h3 id="${id}-title">${title}</h3>
    <ul class="key">
      ${keys}
    </ul>
    <p class="axis">${y.title}</p>
    <div class="plot" id="${id}" role="img" aria-label="${alt}" style="min-height:${chart.height}px"></div>
    <p class="axis across">${x.title}</p>
    <figcaption>${notes.map((note) => markup`<p>${note}</p>`)}</figcaption>
    ${tables.map((table) => tableDetails(table))}
  </figure>`;
}

export function heatFigure({ id, title, alt, notes, scale, drawing, table }: HeatMap): Html {
  return markup`<figure aria-labelledby="${id}-title">
    <h3 id="${id}-title">${title}</h3>
    <p class="scale">${short(scale[0])}<span aria-hidden="true"></span>${short(scale[1])}</p>
    <p class="axis">${AXIS_NAME} step k</p>
    <div
      class="plot"
      id="${id}"
      role="img"
      aria-label="${alt}"
      style="min-height:${drawing.layout.height as number}px"
    ></div>
    <p class="axis across">action step n</p>
    <figcaption>${notes.map((note) => markup`<p>${note}</p>`)}</figcaption>
    ${tableDetails(table)}
  </figure>`;
}

const DASHES: Record<string, string> = { dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "10 4" };

/** An entry of a legend: a piece of the curve, and its name. */
function key(name: string, look: Plain): Html {
  const { color, dash = "solid", symbol, width = 2.5 } = look as Record<string, string | undefined> & Plain;
  const [colour, opacity] = colourOf(color!);
  const dashes = DASHES[dash];
  return markup`<li>
    <svg viewBox="0 0 30 10" aria-hidden="true" style="color:var(${colour});opacity:${opacity}">
      <path
        d="M0 5H30"
        stroke="currentColor"
        stroke-width="${width}"
        ${dashes ? markup` stroke-dasharray="${dashes}"` : null}
      />
      ${symbol === undefined ? null : marker(symbol)}</svg
    ><bdi>${name}</bdi>
  </li>`;
}

const SHAPES: Record<string, Html> = {
  circle: markup`<circle cx="15" cy="5" r="4"`,
  square: markup`<rect x="11.5" y="1.5" width="7" height="7"`,
  diamond: markup`<path d="M15 0.5L19.5 5L15 9.5L10.5 5Z"`,
  "triangle-up": markup`<path d="M15 1L19 8.5H11Z"`,
  cross: markup`<path d="M13 1H17V3H19V7H17V9H13V7H11V3H13Z"`,
};

function marker(symbol: string): Html {
  const shape = SHAPES[symbol.replace("-open", "")] ?? SHAPES.circle;
  const fill = symbol.endsWith("-open")
    ? 'fill="var(--paper)" stroke="currentColor" stroke-width="1.5"'
    : 'fill="currentColor"';
  return new Html(`${shape.text} ${fill}/>`);
}

/** The page's variable of a figure's colour, and its opacity. */
function colourOf(color: string): [variable: string, opacity: number] {
  const parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(color);
  if (!parts) return [VARIABLES[color], 1];
  const hex = `#${[1, 2, 3].map((i) => Number(parts[i]).toString(16).padStart(2, "0")).join("")}`;
  return [VARIABLES[hex.toUpperCase()], Number(parts[4])];
}

/** A table that scrolls inside itself, folded unless it is the thing itself. */
export function tableDetails(table: Table, open = false): Html {
  const { caption, head, rows, words = 1 } = table;
  const cell = (text: string, c: number) =>
    c === 0
      ? markup`<th scope="row" ${isWords(c)}><bdi>${text}</bdi></th>`
      : c < words
        ? markup`<td class="words"><bdi>${text}</bdi></td>`
        : markup`<td>${text}</td>`;
  // Only columns of words break their lines.
  const isWords = (c: number) => (c < words ? markup` class="words"` : null);
  const inside = markup`<div class="scroll" role="region" tabindex="0" aria-label="${caption}">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${head.map((text, c) => markup`<th scope="col" ${isWords(c)}><bdi>${text}</bdi></th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            markup`<tr>${row.map(cell)}</tr>
`,
        )}
      </tbody>
    </table>
  </div>`;
  return open
    ? inside
    : markup`<details>
        <summary>Numbers: ${caption.split(":")[0]}</summary>
        ${inside}
      </details>`;
}

/** Names and values. */
export function factsTable(caption: string, rows: readonly (readonly [string, string])[]): Html {
  return markup`<table class="facts">
    <caption>
      ${caption}
    </caption>
    <tbody>
      ${rows.map(
        ([name, value]) =>
          markup`<tr>
            <th scope="row">${name}</th>
            <td><bdi>${value}</bdi></td>
          </tr> `,
      )}
    </tbody>
  </table>`;
}
