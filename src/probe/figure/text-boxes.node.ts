/**
 * Boxes of SVG text for jsdom, which lays nothing out. Plotly asks for the size of legends and for the place of tick
 * labels, from which it places axis titles. Enough of SVG for what plotly draws: x, y, text-anchor, lines as tspans,
 * bold parts, translations. Rotated text is measured as if it were not.
 */
import type { DOMWindow } from "jsdom";
import type { FontMetrics } from "./font.node.ts";

/** Plotly's distance between the baselines of two lines, in font sizes. */
const LINE_SPACING = 1.3;

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Gives the window's elements `getBBox`, `getComputedTextLength` and `getBoundingClientRect`. */
export function measureText(window: DOMWindow, regular: FontMetrics, bold: FontMetrics): void {
  const isBold = (weight: string) => /bold|[6-9]00/.test(weight);

  // Leaves in reading order; the nearest ancestor with a weight decides.
  const lineWidth = (node: Node, size: number, heavy: boolean): number => {
    if (node.nodeType === window.Node.TEXT_NODE)
      return size * (heavy ? bold : regular).width(node.textContent ?? "");
    const weight = (node as SVGElement).style?.fontWeight;
    let width = 0;
    for (const child of Array.from(node.childNodes))
      width += lineWidth(child, size, weight ? isBold(weight) : heavy);
    return width;
  };

  const textBox = (text: Element): Box => {
    const { fontSize, fontWeight, textAnchor } = window.getComputedStyle(text);
    const size = Number.parseFloat(fontSize) || 12;
    const rows = Array.from(text.children).filter((child) => child.classList.contains("line"));
    const widths = (rows.length > 0 ? rows : [text]).map((row) => lineWidth(row, size, isBold(fontWeight)));
    const width = Math.max(...widths);
    const anchor = textAnchor || text.getAttribute("text-anchor");
    const start = anchor === "middle" ? -width / 2 : anchor === "end" ? -width : 0;
    const [dx, dy] = translation(text);
    const left = dx + numberOf(text, "x") + start;
    const baseline = dy + numberOf(text, "y");
    return {
      left,
      top: baseline - size * regular.ascent,
      right: left + width,
      bottom: baseline + size * regular.descent + LINE_SPACING * size * (widths.length - 1),
    };
  };

  const boxOf = (element: Element) => {
    const texts = element.tagName === "text" ? [element] : Array.from(element.querySelectorAll("text"));
    const boxes = texts.filter((text) => text.textContent).map(textBox);
    const { left, top, right, bottom } = boxes.length
      ? {
          left: Math.min(...boxes.map((box) => box.left)),
          top: Math.min(...boxes.map((box) => box.top)),
          right: Math.max(...boxes.map((box) => box.right)),
          bottom: Math.max(...boxes.map((box) => box.bottom)),
        }
      : { left: 0, top: 0, right: 0, bottom: 0 };
    return { x: left, y: top, width: right - left, height: bottom - top, left, top, right, bottom };
  };

  for (const prototype of [window.HTMLElement.prototype, window.SVGElement.prototype])
    Object.assign(prototype, {
      getBBox(this: Element) {
        return boxOf(this);
      },
      getBoundingClientRect(this: Element) {
        return boxOf(this);
      },
      getComputedTextLength(this: Element) {
        return boxOf(this).width;
      },
    });
}

function numberOf(element: Element, attribute: string): number {
  return Number.parseFloat(element.getAttribute(attribute) ?? "") || 0;
}

/** Sum of the translations of an element and its ancestors, pixels. */
function translation(element: Element): [number, number] {
  let [x, y] = [0, 0];
  for (let at: Element | null = element; at; at = at.parentElement) {
    const match = /translate\(([^,)\s]+)[,\s]*([^)]*)\)/.exec(at.getAttribute("transform") ?? "");
    if (!match) continue;
    x += Number.parseFloat(match[1]) || 0;
    y += Number.parseFloat(match[2]) || 0;
  }
  return [x, y];
}
