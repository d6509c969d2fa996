/** The probe's figure as a PNG, the same that the command line writes; in several tasks, as drawing it all takes long. */
import { convergenceFigure } from "../src/probe/figure/figure.ts";
import type { Plain } from "../src/probe/figure/style.ts";
import type { ProbeResult } from "../src/probe/result/result.ts";
import { make } from "./dom.ts";
import { pause } from "./pause.ts";
import { loadPlotly } from "./plotly.ts";

/** Pixels of the PNG for one of the figure. */
const SCALE = 2;

/** @throws when the plot library cannot be fetched, or the browser cannot paint that much */
export async function figurePng(result: ProbeResult): Promise<Blob> {
  const { data, layout } = convergenceFigure(result);
  const svg = await drawnSvg(data, layout);
  await pause();
  const { width, height } = layout as { width: number; height: number };
  return painted(svg, width * SCALE, height * SCALE);
}

/** Drawn at once it takes the page's thread 100 ms and more, piece by piece 60 at most; the SVG shows the same. */
async function drawnSvg(data: readonly unknown[], { annotations, ...layout }: Plain): Promise<string> {
  const { newPlot, addTraces, relayout, purge, Snapshot } = await loadPlotly();
  const target = make("div");
  target.style.cssText = "position: fixed; left: -5000px";
  document.body.append(target);
  const half = Math.ceil(data.length / 2);
  const pieces = [
    () => newPlot(target, [], { ...layout, showlegend: false }, { staticPlot: true }),
    () => relayout(target, { annotations }),
    () => addTraces(target, data.slice(0, half)),
    () => addTraces(target, data.slice(half)),
    () => relayout(target, { showlegend: true }),
  ];
  try {
    for (const draw of pieces) {
      await draw();
      await pause();
    }
    return Snapshot.toSVG(target);
  } finally {
    purge(target);
    target.remove();
  }
}

async function painted(svg: string, width: number, height: number): Promise<Blob> {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    const image = make("img", { src: url });
    await image.decode();
    const canvas = make("canvas", { width, height });
    canvas.getContext("2d")!.drawImage(image, 0, 0, width, height);
    return await new Promise((done, fail) => {
      // Compressed beside the page, unlike a data URL.
      canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("the browser could not make the PNG"))));
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}
