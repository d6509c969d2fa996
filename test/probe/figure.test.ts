import { beforeAll, describe, expect, it } from "vitest";
import { convergenceFigure } from "../../src/probe/figure/figure.ts";
import { logTicks } from "../../src/probe/figure/panel.ts";
import { roundIndices } from "../../src/probe/result/sentences.ts";
import { fontFiles, readFontMetrics } from "../../src/probe/figure/font.node.ts";
import { figureToSvg, svgToPng } from "../../src/probe/figure/plot.node.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { type FixtureOptions, referenceMeasurement } from "./fixture.ts";

const facts = { date: "2026-11-22T00:00:00Z", command: "mimic-video-probe", seconds: 60 };
const resultOf = (options?: FixtureOptions) => probeResult(referenceMeasurement(options), facts);
const namesOf = (figure: ReturnType<typeof convergenceFigure>) =>
  figure.data
    .filter((trace) => trace.name && trace.showlegend !== false)
    .map((trace) => trace.name as string);
const textOf = (figure: ReturnType<typeof convergenceFigure>) => JSON.stringify(figure.layout.annotations);

describe("what is drawn", () => {
  it("both references, floors, controls, read-outs and the null", () => {
    expect(namesOf(convergenceFigure(resultOf()))).toEqual([
      "to the true actions",
      "to the decode at step 50 (0 there by definition)",
      "hold still",
      "dataset mean",
      "zeroed context",
      "another episode's context",
      "iterate, to the true actions",
      "one jump, to the true actions",
      "iterate, to the final action (0 at 16)",
      "one jump, to the final action",
      "null: a straight flow, whatever was learned",
    ]);
  });

  it("one reference when one is asked for or known", () => {
    const result = resultOf();
    expect(namesOf(convergenceFigure(result, "truth")).join()).not.toMatch(/final|to the decode/);
    expect(namesOf(convergenceFigure(result, "final")).join()).not.toMatch(/true actions/);
    const measurement = referenceMeasurement();
    for (const episode of measurement.episodes) episode.truth = undefined;
    const blind = convergenceFigure(probeResult(measurement, facts), "truth");
    expect(namesOf(blind)).toContain("to the decode at step 50 (0 there by definition)");
    expect(textOf(blind)).toContain("The true actions are not known.");
  });

  it("says across itself what the weights are, who made it and how much", () => {
    expect(textOf(convergenceFigure(resultOf({ trainedOn: "random" })))).toContain("RANDOM WEIGHTS");
    const toy = textOf(convergenceFigure(resultOf()));
    expect(toy).toContain("Trained on a toy world");
    expect(toy).not.toContain("RANDOM");
    expect(toy).toContain("weights sha256 5eed5eed5eed");
    expect(toy).toContain("8 episodes × 2 video seeds × 1 action seed");
    expect(toy).not.toContain("2026-11");
  });

  it("marks a sufficient step before the last", () => {
    expect(textOf(convergenceFigure(resultOf({ episodes: 4 })))).toContain("sufficient step 40");
  });

  it("ticks", () => {
    expect(logTicks([-1.1, 0.4]).tickvals).toEqual([0.1, 0.2, 0.5, 1, 2]);
    expect(logTicks([-5, 0]).ticktext).toEqual(["10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"]);
    const upTo = (N: number) => Array.from({ length: N + 1 }, (_, i) => i);
    expect(roundIndices([0, 5, 50], 9)).toEqual([0, 1, 2]);
    expect(roundIndices(upTo(50), 9)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(roundIndices(upTo(16), 9)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16]);
    expect(roundIndices(upTo(103), 9)).toEqual([0, 20, 40, 60, 80, 103]);
  });
});

describe("as a picture", () => {
  const figure = convergenceFigure(resultOf());
  let svg: string;
  let png: Uint8Array;
  beforeAll(async () => {
    svg = await figureToSvg(figure);
    png = svgToPng(svg, 1);
  });

  it("has its size and is not blank", () => {
    const view = new DataView(png.buffer, png.byteOffset);
    expect([view.getUint32(16), view.getUint32(20)]).toEqual([figure.layout.width, figure.layout.height]);
    // A blank page of this size is a few kB.
    expect(png.length).toBeGreaterThan(60_000);
  });

  it("holds its texts at places that exist", () => {
    for (const text of ["hold still", "one jump, to the final action", "Trained on a toy world"])
      expect(svg).toContain(text);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("is the same bytes twice", async () => {
    expect(svgToPng(await figureToSvg(convergenceFigure(resultOf())), 1)).toEqual(png);
  });
});

it("text widths are the font's", () => {
  const { width } = readFontMetrics(fontFiles().regular);
  // Advance widths of DejaVu Sans in 1/2048: i 569, M 1767, τ 1233, missing glyph 1229.
  expect(width("i") * 2048).toBeCloseTo(569, 6);
  expect(width("iM") * 2048).toBeCloseTo(569 + 1767, 6);
  expect(width("τ") * 2048).toBeCloseTo(1233, 6);
});
