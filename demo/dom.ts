/** Small helpers around the document. */

/** The element with this id. @throws when the page lacks it, which is a mistake in index.html */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as T;
}

/** A new element with properties and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Paints frame `index` of RGBA frames, one pixel each; the style sheet enlarges them. */
export function paintFrame(
  canvas: HTMLCanvasElement,
  frames: Uint8ClampedArray<ArrayBuffer>,
  index: number,
  [rows, columns]: readonly [number, number],
): void {
  if (canvas.width !== columns || canvas.height !== rows)
    Object.assign(canvas, { width: columns, height: rows });
  const size = rows * columns * 4;
  const image = new ImageData(frames.subarray(index * size, (index + 1) * size), columns, rows);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

/** The value of a colour of style.css, as it is now: light or dark. */
export function themeColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Whether the person asked for less motion. */
export const prefersStill = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;
