import { JSDOM } from "jsdom";
import { beforeAll, describe, expect, it } from "vitest";
import { convergenceFigure } from "../../src/probe/figure/figure.ts";
import { logTicks } from "../../src/probe/figure/panel.ts";
import { roundIndices } from "../../src/probe/result/sentences.ts";
import { fontFiles, readFontMetrics } from "../../src/probe/figure/font.node.ts";
import { withoutUnseen } from "../../src/probe/figure/out-of-sight.node.ts";
import { figureToSvg, svgToPng } from "../../src/probe/figure/plot.node.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { type FixtureOptions, referenceMeasurement, withoutInnerSteps } from "./fixture.ts";

const resultOf = (options?: FixtureOptions) => probeResult(referenceMeasurement(options));
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
    const blind = convergenceFigure(probeResult(measurement), "truth");
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

  it("marks a sufficient step before the last, and the margin with its source", () => {
    const text = textOf(convergenceFigure(resultOf()));
    expect(text).toContain('"sufficient step 20"');
    expect(text).toContain("Sufficient video step: 20 of 50.");
    expect(text).toMatch(/margin: 5 % of the<br>hold-still error/);
    const few = textOf(convergenceFigure(resultOf({ episodes: 4 })));
    expect(few).toContain("Sufficient video step: undetermined.");
    expect(few).not.toContain('"sufficient step');
  });

  it("names floors at the ends of their lines, with their reference, none over another", () => {
    const figure = convergenceFigure(resultOf());
    const notes = figure.layout.annotations as { text: string; x: number; y: number }[];
    const floors = ["another episode's<br>context", "hold still", "dataset mean", "zeroed context"];
    const labels = floors.map((name) => notes.filter(({ text }) => text === name));
    expect(labels.map(({ length }) => length)).toEqual([2, 2, 2, 2]);
    expect(notes.filter(({ text }) => text === "<b>to the true actions:</b>")).toHaveLength(2);
    for (const panel of [0, 1]) {
      const heights = labels.map((pair) => pair[panel].y).sort((a, b) => a - b);
      // 18 pixels of 580 for a line of text.
      for (let i = 1; i < 4; i++) expect(heights[i] - heights[i - 1]).toBeGreaterThan(17.9 / 580);
    }
    const last = textOf(convergenceFigure(resultOf(), "final"));
    expect(last).toContain("<b>to the last decode:</b>");
    expect(last).not.toContain("<b>to the true actions:</b>");
  });

  it("coinciding floors both show: the lower one is wider", () => {
    const result = resultOf();
    const { hold_still, dataset_mean } = result.floors;
    dataset_mean!.to_truth!.mean = hold_still!.to_truth!.mean;
    const widths = (figure: ReturnType<typeof convergenceFigure>) =>
      ["hold still", "dataset mean", "zeroed context"].map((name) => {
        const trace = figure.data.find((found) => found.name === name) as { line: { width: number } };
        return trace.line.width;
      });
    expect(widths(convergenceFigure(result))).toEqual([5.5, 2, 2]);
    expect(widths(convergenceFigure(resultOf()))).toEqual([2, 2, 2]);
  });

  it("marks a band that the axis cuts off, and only there", () => {
    const cuts = (result: ReturnType<typeof resultOf>) =>
      convergenceFigure(result).data.filter(({ meta, xaxis }) => meta === "cut" && xaxis === "x");
    const result = resultOf();
    result.video_axis_interval.mse_to_truth!.forEach((ends) => Object.assign(ends, { low: 0.05, high: 0.5 }));
    result.video_axis_interval.mse_to_last!.forEach((ends) => Object.assign(ends, { low: 0.05, high: 0.5 }));
    expect(cuts(result)).toEqual([]);
    expect(textOf(convergenceFigure(result))).not.toContain("beyond the axis");
    result.video_axis_interval.mse_to_truth![2].low = 0;
    const [mark, ...others] = cuts(result);
    expect(others).toEqual([]);
    expect(mark).toMatchObject({ x: [10], marker: { symbol: "triangle-down" } });
    const { legend } = convergenceFigure(result).layout as unknown as {
      legend: { title: { text: string } };
    };
    expect(legend.title.text).toContain("▼▲ goes on beyond the axis");
  });

  it("marks a curve that the axis cuts off", () => {
    const result = resultOf({ episodes: 1 });
    const cuts = () =>
      convergenceFigure(result).data.filter(({ meta, yaxis }) => meta === "cut" && yaxis === "y3");
    expect(cuts()).toEqual([]);
    result.action_axis_at_last_video_step!.one_jump_to_final[15] = 1e-9;
    expect(cuts()).toMatchObject([{ x: [15], marker: { symbol: "triangle-down" } }]);
  });

  it("without inner steps: one panel; the recorded future is a curve of its own", () => {
    const measurement = withoutInnerSteps();
    for (const episode of measurement.episodes) episode.oracle = episode.actions.map((x) => 0.5 * x);
    const figure = convergenceFigure(probeResult(measurement));
    expect(namesOf(figure)).toEqual([
      "to the true actions",
      "recorded future, to the true actions",
      "to the decode at step 50 (0 there by definition)",
      "recorded future, to the decode at step 50",
    ]);
    expect(textOf(figure)).not.toContain("Action axis");
    expect(figure.layout.xaxis3).toBeUndefined();
  });

  it("floors forty orders below the curves leave a picture", async () => {
    const svg = (y: number) =>
      `<svg xmlns="http://www.w3.org/2000/svg" width="90" height="50"><clipPath id="a"><rect width="80" height="40"/></clipPath>` +
      `<path class="js-line" clip-path="url(#a)" style="fill: none; stroke: black" d="M5,${y}L70,${y}"/></svg>`;
    const { window } = new JSDOM("");
    expect(withoutUnseen(svg(30), window)).toBe(svg(30));
    expect(withoutUnseen(svg(4052), window)).not.toContain("js-line");
    expect(withoutUnseen(svg(-60), window)).not.toContain("js-line");
    expect(svgToPng(withoutUnseen(svg(4052), window)).length).toBeGreaterThan(0);
  });

  it("every line of the heading fits the page", () => {
    const result = resultOf({ trainedOn: "pretrained" });
    const plain = result.verdict.reason;
    result.verdict.reason = `${plain} Worse than the last: steps 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12. ${plain}`;
    const figure = convergenceFigure(result);
    const { regular, bold } = fontFiles();
    const notes = figure.layout.annotations as { text: string; x: number; font: { size: number } }[];
    const heading = notes.filter(({ x }) => x < 0);
    expect(heading.length).toBeGreaterThan(3);
    for (const { text, font } of heading)
      for (const row of text.split("<br>")) {
        const { width } = readFontMetrics(row.startsWith("<b>") ? bold : regular);
        const words = row.replace(/<[^>]*>/g, "");
        expect(width(words) * font.size, words).toBeLessThan(figure.layout.width - 40);
      }
    // What does not fit in a line takes another, and the page grows by it.
    expect(figure.layout.height).toBeGreaterThan(convergenceFigure(resultOf()).layout.height);
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
