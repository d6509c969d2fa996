/**
 * Figure → SVG → PNG without a browser, a display or a font of the system: plotly draws into jsdom, resvg paints with
 * DejaVu from npm. Equal figures give equal bytes.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { TextDecoder, TextEncoder } from "node:util";
import { Resvg } from "@resvg/resvg-js";
import { type DOMWindow, JSDOM } from "jsdom";
import { MimicVideoError } from "../../errors.ts";
import { mulberry32 } from "../statistics/bootstrap.ts";
import type { Figure } from "./figure.ts";
import { fontFiles, readFontMetrics } from "./font.node.ts";
import { withoutUnseen } from "./out-of-sight.node.ts";
import { measureText } from "./text-boxes.node.ts";

const FONT_FAMILY = "DejaVu Sans";

/**
 * @returns the figure as a standalone SVG of the layout's width and height, in pixels.
 * @throws MimicVideoError if plotly cannot draw it.
 */
export async function figureToSvg(figure: Figure): Promise<string> {
  const window = plotWindow();
  try {
    const { document, Plotly } = window as DOMWindow & { Plotly: PlotlyStatic };
    const { width, height } = figure.layout;
    const target = document.getElementById("figure")!;
    // Plotly fills in defaults in place; the caller's figure stays as it is.
    const { data, layout } = structuredClone(figure);
    await Plotly.newPlot(target, data, layout, { staticPlot: true });
    const url = await Plotly.toImage(target, { format: "svg", width, height });
    return withoutUnseen(decodeURIComponent(url.slice(url.indexOf(",") + 1)), window);
  } catch (error) {
    throw new MimicVideoError(
      `The figure could not be drawn: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  } finally {
    window.close();
  }
}

/** @param scale PNG pixels for each SVG pixel. */
export function svgToPng(svg: string, scale = 2): Uint8Array {
  const { regular, bold } = fontFiles();
  const painted = new Resvg(svg, {
    background: "white",
    fitTo: { mode: "zoom", value: scale },
    font: { loadSystemFonts: false, fontFiles: [regular, bold], defaultFontFamily: FONT_FAMILY },
  }).render();
  return painted.asPng();
}

/** The figure as PNG; see `figureToSvg` and `svgToPng`. */
export async function figureToPng(figure: Figure, scale = 2): Promise<Uint8Array> {
  return svgToPng(await figureToSvg(figure), scale);
}

interface PlotlyStatic {
  newPlot(target: Element, data: unknown, layout: unknown, config: unknown): Promise<unknown>;
  toImage(target: Element, options: { format: "svg"; width: number; height: number }): Promise<string>;
}

/** A window in which plotly finds what it takes from a browser while it loads and draws. */
function plotWindow(): DOMWindow {
  const { window } = new JSDOM('<!doctype html><div id="figure"></div>', {
    runScripts: "outside-only",
    pretendToBeVisual: true,
  });
  Object.assign(window, { TextDecoder, TextEncoder, Worker: class {} });
  window.URL.createObjectURL = () => "";
  // The WebGL traces, unused here, ask for a context while they load; null is a browser's answer when it has none.
  window.HTMLCanvasElement.prototype.getContext = () => null;
  // Plotly names clip paths at random; the same figure is to be the same bytes.
  (window.eval("Math") as Math).random = mulberry32(0);
  const { regular, bold } = fontFiles();
  measureText(window, readFontMetrics(regular), readFontMetrics(bold));
  window.eval(readFileSync(createRequire(import.meta.url).resolve("plotly.js-dist"), "utf8"));
  return window;
}
