/** The page's own plots: what stands where, in pixels and in words. */
import { describe, expect, test } from "vitest";
import { drawPanel, stepTicks } from "../../demo/chart-svg.ts";
import { livePanels, type Panel, resultPanels } from "../../demo/panels.ts";
import { valuesAt } from "../../demo/plot.ts";
import { fullResult, resultOf, withoutTruth } from "../probe/report/cases.ts";

const SIZE = { width: 338, height: 214 };

const level = (name: string, value: number) =>
  ({ name, about: "", value, colour: "null", dash: "dash" }) as const;

const panel = (more: Partial<Panel> = {}): Panel => ({
  ...{ steps: 50, step: "video step", levels: [] },
  curves: [
    {
      ...{ name: "to the truth", about: "", colour: "truth", mark: "disc" },
      steps: [0, 20, 50],
      values: [0.4, 0.04, 0.1],
      interval: [
        { low: 0.2, high: 0.8 },
        { low: 0, high: 0.08 },
        { low: 0.05, high: 0.2 },
      ],
    },
  ],
  ...more,
});

/** Pixels of the discs, in order. */
const discs = (markup: string): number[][] =>
  [...markup.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);

describe("a drawn panel", () => {
  test("has equal ratios of values at equal distances, and equal differences where it is linear", () => {
    const curves = [{ ...panel().curves[0], values: [1, 0.1, 0.01], interval: null }];
    const log = discs(drawPanel(panel({ curves }), SIZE, "log").markup).map(([, y]) => y);
    expect(log[1] - log[0]).toBeCloseTo(log[2] - log[1], 0);
    const straight = [{ ...curves[0], values: [3, 2, 1] }];
    const linear = discs(drawPanel(panel({ curves: straight }), SIZE, "linear").markup).map(([, y]) => y);
    expect(linear[1] - linear[0]).toBeCloseTo(linear[2] - linear[1], 0);
    expect(log[0]).toBeLessThan(log[1]);
  });

  test("leaves a zero out where the axis is logarithmic, and draws it where it is not", () => {
    const curves = [{ ...panel().curves[0], values: [1, 0.1, 0] }];
    expect(discs(drawPanel(panel({ curves }), SIZE, "log").markup)).toHaveLength(2);
    const linear = drawPanel(panel({ curves }), SIZE, "linear");
    const points = discs(linear.markup);
    expect(points).toHaveLength(3);
    expect(points[2][1]).toBeCloseTo(linear.frame.bottom, 0);
  });

  test("keeps bands that reach zero finite", () => {
    const { markup } = drawPanel(panel(), SIZE, "log");
    expect(markup).toMatch(/class="band"/);
    expect(markup).not.toMatch(/NaN|Infinity/);
  });

  test("is finite and empty where nothing is known", () => {
    for (const scale of ["log", "linear"] as const) {
      const { markup, steps } = drawPanel(panel({ curves: [] }), SIZE, scale);
      expect(markup).not.toMatch(/NaN|Infinity/);
      expect(steps).toEqual([]);
    }
  });

  test("sets the names of floors apart, in their order, beside the frame", () => {
    const levels = [level("a", 1), level("b", 1.001), level("c", 0.999), level("d", 0.2), level("e", 1.15)];
    const { names, frame } = drawPanel(panel({ levels }), SIZE, "log");
    const sorted = [...names].sort((a, b) => a - b);
    for (let i = 1; i < sorted.length; i++) expect(sorted[i] - sorted[i - 1]).toBeGreaterThanOrEqual(14.9);
    // From the top: e, b, a, c, d.
    expect([4, 1, 0, 2, 3].map((i) => names[i])).toEqual(sorted);
    expect(sorted[0]).toBeGreaterThanOrEqual(0);
    expect(sorted[4]).toBeLessThanOrEqual(SIZE.height);
    expect(frame.right).toBeLessThan(SIZE.width - 90);
  });

  test("draws floors that coincide in falling width, so that none hides another", () => {
    const levels = [level("a", 1), level("b", 1), level("c", 1)];
    const widths = [
      ...drawPanel(panel({ levels }), SIZE, "log").markup.matchAll(
        /class="level".*?stroke-width="([\d.]+)"/g,
      ),
    ].map(([, width]) => Number(width));
    expect(widths).toHaveLength(3);
    expect(widths[0]).toBeGreaterThan(widths[1]);
    expect(widths[1]).toBeGreaterThan(widths[2]);
  });

  test("says the values of a step with their intervals", () => {
    expect(valuesAt(panel(), 20).map(({ words }) => words)).toEqual(["0.0400 [0, 0.0800]"]);
    expect(valuesAt(panel(), 21)).toEqual([]);
  });

  test("has round steps and the last one, which stand apart", () => {
    expect(stepTicks(50)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(stepTicks(16)).toEqual([0, 5, 10, 16]);
    expect(stepTicks(1)).toEqual([0, 1]);
    expect(stepTicks(4)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("plain arrays", () => {
  test("become curves and floors", () => {
    const [video, action] = livePanels({
      ...{ videoSteps: 4, steps: [0, 2, 4], toTruth: [3, 2, 1], toLast: [1, 0.5, 0], holdStill: 5 },
      ...{ iterateToFinal: [4, 1, 0], iterateToTruth: [6, 3, 1] },
    });
    expect(video.curves.map(({ name }) => name)).toEqual(["to the truth", "to the decode at step 4"]);
    expect(video.levels!.map(({ name, value }) => [name, value])).toEqual([["hold still", 5]]);
    // A straight flow: a quarter of the error is left half way.
    expect(action!.curves.at(-1)!.values).toEqual([4, 1, 0]);
    expect(action!.curves.every(({ about }) => about.length > 20)).toBe(true);
  });
});

describe("a result", () => {
  test("gives the curves of its figure, with bands, each explained", () => {
    const result = fullResult();
    const [video, action] = resultPanels(result);
    const named = Object.fromEntries(video.curves.map((curve) => [curve.name, curve]));
    expect(named["to the truth"].values).toEqual(result.video_axis.mse_to_truth);
    expect(named["to the truth"].interval).toEqual(result.video_axis_interval.mse_to_truth);
    expect(named["to the decode at step 50"].values).toEqual(result.video_axis.mse_to_last);
    expect(named["whole schedules at equal cost, to the truth"].steps.at(-1)).toBe(50);
    expect(video.levels!.map(({ name }) => name)).toContain("shuffled frames");
    expect(action!.curves.map(({ name }) => name)).toEqual([
      ...["iterate, to the truth", "one jump, to the truth", "iterate, to its end", "one jump, to its end"],
      ...["null, to its end", "null, to the truth"],
    ]);
    for (const { about, name } of [...video.curves, ...video.levels!, ...action!.curves])
      expect(about.length, name).toBeGreaterThan(20);
  });

  test("without a truth has nothing against it, and floors against the last decode", () => {
    const result = withoutTruth();
    const [video] = resultPanels(result);
    expect(video.curves.map(({ name }) => name)).toEqual(["to the decode at step 50"]);
    expect(video.levels![0].value).toBe(result.floors.hold_still!.to_last.mean);
  });

  test("draws without gaps at any size and on both scales", () => {
    for (const panel of resultPanels(resultOf()))
      for (const scale of ["log", "linear"] as const)
        for (const size of [SIZE, { width: 160, height: 120 }, { width: 1200, height: 400 }])
          expect(drawPanel(panel!, size, scale).markup).not.toMatch(/NaN|Infinity|undefined/);
  });
});
