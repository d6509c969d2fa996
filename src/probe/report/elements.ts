/** Parts of the page: a figure with its legend and tables, a table that scrolls inside itself, a table of facts. */
import { cutWords } from "../figure/panel.ts";
import type { Plain } from "../figure/style.ts";
import type { Chart, Drawing, Table } from "./chart.ts";
import type { HeatMap } from "./grid.ts";
import { dashesOf, marker, paint } from "./look.ts";
import { type Html, markup } from "./markup.ts";
import { stillImage } from "./still.ts";
import { AXIS_NAME, short } from "../result/sentences.ts";

/** A plot's place with its legend above and its numbers below. */
export function chartFigure(chart: Chart, drawing: Drawing, tables: readonly Table[]): Html {
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
    <div class="plot" id="${id}" role="img" aria-label="${alt}" style="min-height:${chart.height}px">${stillImage(drawing)}</div>
    <p class="axis across">${x.title}</p>
    <figcaption>${[...notes, cutNote(drawing)].map((note) => note && markup`<p>${note}</p>`)}</figcaption>
    ${tables.map((table) => tableDetails(table))}
  </figure>`;
}

export function heatFigure({ id, title, alt, notes, scale, across, drawing, table }: HeatMap): Html {
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
    >${stillImage(drawing)}</div>
    <p class="axis across">${across}</p>
    <figcaption>${notes.map((note) => markup`<p>${note}</p>`)}</figcaption>
    ${tableDetails(table)}
  </figure>`;
}

/** What triangles at an edge mean, where there are any. */
const cutNote = ({ data }: Drawing): string =>
  cutWords(data).replace("; ▼▲ goes", "▼▲: goes").replace(/axis$/, "axis.");

/** An entry of a legend: a piece of the curve, and its name. */
function key(name: string, look: Plain): Html {
  const {
    color,
    dash = "solid",
    symbol,
    width = 2.5,
    points,
  } = look as Record<string, string | undefined> & Plain;
  const [colour, opacity] = paint(color!);
  const dashes = dashesOf(dash);
  return markup`<li>
    <svg viewBox="0 0 30 10" aria-hidden="true" style="color:${colour};opacity:${opacity}">
      ${
        points
          ? null
          : markup`<path
              d="M0 5H30"
              stroke="currentColor"
              stroke-width="${width}"
              ${dashes ? markup` stroke-dasharray="${dashes}"` : null}
            />`
      }
      ${symbol === undefined ? null : marker(symbol)}</svg
    ><bdi>${name}</bdi>
  </li>`;
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
