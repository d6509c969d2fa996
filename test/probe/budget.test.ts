/** Whole schedules against stopping early, and spread over seeds by label: against plain sums, and experiments with a known truth. */
import { describe, expect, it } from "vitest";
import { convergenceFigure } from "../../src/probe/figure/figure.ts";
import { stepsOfCost } from "../../src/probe/figure/steps-of-cost.ts";
import type { ProbeMeasurement } from "../../src/probe/experiment/measurement.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { summaryText } from "../../src/probe/result/summary.ts";
import { clusterBootstrap } from "../../src/probe/statistics/bootstrap.ts";
import { findings } from "../../src/probe/report/findings.ts";
import { labelSpreads } from "../../src/probe/statistics/label-spread.ts";
import { probeStatistics } from "../../src/probe/statistics/statistics.ts";
import { differenceOfMeans } from "../../src/probe/statistics/two-samples.ts";
import { readJson, referenceMeasurement } from "./fixture.ts";
import { draw, type Shape } from "./simulate.ts";

/** The reference with schedules of 5 and 10 steps whose ends are `worse` further from the truth, value by value, than stopping there. */
function withBudgets(worse: number): ProbeMeasurement {
  const measurement = referenceMeasurement();
  const { probeSteps } = measurement.settings;
  const [K, size] = [probeSteps.length, 24 * 3];
  const budgets = [5, 7, 10, 50];
  const labels = readJson<{ ambiguity: string }[]>("episodes/episodes.json");
  return {
    ...measurement,
    settings: { ...measurement.settings, budgets },
    episodes: measurement.episodes.map((episode, e) => {
      const ends = [0, 1].flatMap((run) =>
        budgets.flatMap((budget) => {
          const k = probeSteps.indexOf(budget);
          const stop = episode.actions.subarray((run * K + Math.max(k, 0)) * size).subarray(0, size);
          const add = budget === 50 ? 0 : worse;
          return [...stop].map((x, i) => x + add * Math.sign(x - episode.truth![i]));
        }),
      );
      const { ambiguity } = labels[e];
      return { ...episode, labels: { ambiguity }, budgetActions: Float32Array.from(ends) };
    }),
  };
}

describe("the budget axis", () => {
  const measurement = withBudgets(0.1);
  const { budget, videoAxis } = probeStatistics(measurement);

  it("has the errors of the ends, to the same references as the stop axis", () => {
    expect(budget!.steps).toEqual([5, 7, 10, 50]);
    expect(budget!.calls).toEqual([6, 8, 11, 51]);
    expect(budget!.toTruth!.mean[3]).toBeCloseTo(videoAxis.toTruth!.mean[6], 12);
    expect(budget!.toLast.mean[3]).toBe(0);
    const { episodes } = measurement;
    const error = (e: number, b: number, to: Float32Array, from: (run: number) => number): number => {
      let sum = 0;
      for (let run = 0; run < 2; run++)
        for (let i = 0; i < 72; i++)
          sum += (episodes[e].budgetActions![(run * 4 + b) * 72 + i] - to[from(run) + i]) ** 2;
      return sum / 144;
    };
    episodes.forEach(({ truth, actions }, e) => {
      for (let b = 0; b < 4; b++) {
        expect(budget!.toTruth!.perEpisode[e][b]).toBeCloseTo(
          error(e, b, truth!, () => 0),
          12,
        );
        expect(budget!.toLast.perEpisode[e][b]).toBeCloseTo(
          error(e, b, actions, (run) => (run * 7 + 6) * 72),
          12,
        );
      }
    });
  });

  it("is paired with the stop that costs as much, by episode", () => {
    expect(budget!.equalCost!.map(({ budget, stop, calls }) => [budget, stop, calls])).toEqual([
      [5, 5, 6],
      [10, 10, 11],
    ]);
    const rows = budget!.toTruth!.perEpisode.map((row, e) => row[2] - videoAxis.toTruth!.perEpisode[e][2]);
    expect(budget!.equalCost![1].difference).toBeCloseTo(rows.reduce((a, b) => a + b) / 8, 12);
    expect(budget!.equalCost![1].interval).toEqual(clusterBootstrap(8)(rows));
    expect(budget!.equalCost![1].interval!.low).toBeGreaterThan(0);
    for (const { difference, interval } of probeStatistics(withBudgets(0)).budget!.equalCost!)
      expect([difference, interval]).toEqual([0, { low: 0, high: 0 }]);
  });

  it("stands in result, summary and figure at its cost", () => {
    const result = probeResult(measurement);
    expect(JSON.parse(formatJson(result))).toEqual(result);
    expect(result.budget_axis).toMatchObject({
      steps: [5, 7, 10, 50],
      stop_calls: [1, 6, 11, 21, 31, 41, 51],
    });
    const text = summaryText(result, []);
    expect(text).toMatch(/Budget axis: whole schedules/);
    expect(text).toMatch(/ambiguous prompts .* than unambiguous ones/);
    const [chance] = findings(result).filter(({ about }) => about === "Ambiguous prompts");
    expect(chance.says).toMatch(/ambiguous prompts .* than unambiguous ones/);
    const { data } = convergenceFigure(result);
    const curve = data.find(({ name }) =>
      String(name).startsWith("whole schedules at equal cost, to the true"),
    )!;
    expect(curve.x).toEqual([5, 7, 10, 50]);
    expect(curve.y).toEqual(result.budget_axis!.mse_to_truth);
    const without = probeResult(referenceMeasurement());
    expect([without.budget_axis, without.spread_by_label]).toEqual([null, []]);
    expect(summaryText(without, [])).not.toMatch(/Budget axis|ambiguous/);
    expect(convergenceFigure(without).data.some(({ name }) => /whole/.test(String(name)))).toBe(false);
  });

  it("costs are found between and beyond the probed steps", () => {
    expect(stepsOfCost([1, 3, 4, 9], [2, 4, 8], [1, 3, 7])).toEqual([0, 2, 3, 8]);
    // Two calls a step.
    expect(stepsOfCost([2, 5], [1, 5, 9], [0, 2, 4])).toEqual([0.5, 2]);
    expect(stepsOfCost([2, 3], [3], [2])).toEqual([1, 2]);
  });
});

describe("spread by label", () => {
  it("is the mean by value, copies counted once, and the ambiguous less the unambiguous", () => {
    const of = (ambiguity?: string): { labels: Record<string, string> } => ({
      labels: ambiguity === undefined ? {} : { ambiguity, place: "here" },
    });
    const episodes = [
      of("unambiguous"),
      of("anything"),
      of("any block"),
      of("anything"),
      of(),
      of("unambiguous"),
    ];
    const spread = [
      [1, 10],
      [3, 30],
      [5, 50],
      [7, 30],
      [99, 99],
      [2, 20],
    ];
    const [ambiguity, place] = labelSpreads(episodes, spread, [0, 1, 2, 1, 3, 4], "video", {});
    expect(ambiguity.values).toEqual([
      { value: "unambiguous", episodes: 2, spread: [1.5, 15] },
      { value: "anything", episodes: 1, spread: [5, 30] },
      { value: "any block", episodes: 1, spread: [5, 50] },
    ]);
    expect(ambiguity.contrast!.difference).toEqual([3.5, 25]);
    expect(place.contrast).toBeNull();
    expect(place.values.map(({ episodes }) => episodes)).toEqual([4]);
  });

  it.each<[Shape, number, number]>([
    ["normal", 12, 12],
    ["t3", 8, 16],
    ["lognormal(1/2)", 20, 12],
  ])("differences of two %s groups of %i and %i hold the truth as often as they say", (shape, A, B) => {
    const [a, b] = [draw(shape, 1), draw(shape, 2)];
    let covers = 0;
    for (let i = 0; i < 400; i++) {
      const group = (next: () => number, n: number, at: number) =>
        Array.from({ length: n }, () => at + next());
      const { interval } = differenceOfMeans(group(a, A, 3), group(b, B, 1), { resamples: 400, seed: i });
      if (interval!.low <= 2 && 2 <= interval!.high) covers++;
    }
    // 95 ± 3 %: three standard errors of 400 draws; the hull is wider than either method.
    expect(covers / 400).toBeGreaterThan(0.92);
    expect(covers / 400).toBeLessThan(0.99);
  });
});
