/** Figures of the report: their curves, floors, nulls and tables against the result. */
import { describe, expect, it } from "vitest";
import { actionChart, differenceChart, videoChart } from "../../../src/probe/report/axes.ts";
import {
  dimensionChart,
  episodeChart,
  episodeTable,
  positionChart,
} from "../../../src/probe/report/breakdown.ts";
import { drawingOf, tableOf } from "../../../src/probe/report/chart.ts";
import { heatMaps } from "../../../src/probe/report/grid.ts";
import { partCharts, partsTable } from "../../../src/probe/report/parts.ts";
import { reportHtml } from "../../../src/probe/report/report.ts";
import { spreadCharts } from "../../../src/probe/report/seeds.ts";
import { similarityChart, similarityMaps } from "../../../src/probe/report/states.ts";
import { costChart, exitRulesTables } from "../../../src/probe/report/stopping.ts";
import type { ProbeResult } from "../../../src/probe/result/result.ts";
import { short } from "../../../src/probe/result/words.ts";
import { withoutInnerSteps } from "../fixture.ts";
import { countOf, fullResult, resultOf, withoutTruth } from "./cases.ts";

describe("figures", () => {
  const levels = ["hold still", "dataset mean", "zeroed context", "another episode's context"];

  it("stand with their floors and nulls", () => {
    const result = resultOf();
    for (const chart of [videoChart(result), actionChart(result)!])
      expect(chart.levels.map(({ name }) => name)).toEqual(levels);
    for (const chart of [dimensionChart(result), positionChart(result)])
      expect(chart.levels.map(({ name }) => name)).toEqual(levels.map((name) => `${name}, over all`));
    for (const chart of [differenceChart(result)!, episodeChart(result)])
      expect(chart.levels.map(({ name }) => name)).toEqual(["no difference", "margin"]);
    expect(actionChart(result)!.curves.filter(({ name }) => name.startsWith("null"))).toHaveLength(2);
    expect(drawingOf(differenceChart(result)!).layout.shapes).toHaveLength(1);
  });

  it("have tables of the same numbers", () => {
    const result = resultOf();
    const { rows, head } = tableOf(videoChart(result));
    expect(head).toHaveLength(3);
    expect(rows).toHaveLength(7);
    const { low, high } = result.video_axis_interval.mse_to_truth![2];
    expect(rows[2][1]).toBe(`${short(result.video_axis.mse_to_truth![2])} [${short(low)}, ${short(high)}]`);
    // One-jump estimates end a step before the iterates.
    expect(tableOf(actionChart(result)!).rows[16][2]).toBe("–");
    const table = episodeTable(result);
    expect(table.rows.map(([id]) => id)).toEqual(result.episodes.map(({ id }) => id));
    expect(table.rows[0][2]).toBe(short(result.video_axis_per_episode.mse_to_truth![0][0]));
  });

  it("place whole schedules by cost, beside the stops, with a row each", () => {
    const result = fullResult();
    const chart = videoChart(result);
    const whole = chart.curves.filter(({ name }) => name.startsWith("whole"));
    expect(whole.map(({ x }) => x)).toEqual([
      [5, 10, 50],
      [5, 10, 50],
    ]);
    const { rows } = tableOf(chart);
    expect(rows.map(([way, calls]) => `${calls}: ${way}`).slice(0, 3)).toEqual([
      "1: stopped after 0 of 50",
      "6: stopped after 5 of 50",
      "6: whole schedule of 5",
    ]);
    expect(rows).toHaveLength(10);
    const { mse_to_truth, interval } = result.budget_axis!;
    const ends = interval.mse_to_truth![0];
    expect(rows[2][2]).toBe(`${short(mse_to_truth![0])} [${short(ends.low)}, ${short(ends.high)}]`);
  });

  it("cost against error has every point, the floors, the oracle, and seconds where they are known", () => {
    const result = fullResult();
    const chart = costChart(result)!;
    expect(chart.levels.map(({ name }) => name)).toEqual([...levels, "shuffled frames", "oracle step"]);
    const drawn = chart.curves.reduce((sum, { x }) => sum + x.length, 0);
    expect(drawn).toBe(result.pareto!.length);
    expect(chart.curves.filter(({ points }) => points).map(({ name }) => name)).toEqual([
      "rule: velocity change",
      "rule: drift of the hidden states",
      "rule: change of the action",
      "rule: spread over video seeds",
    ]);
    const table = tableOf(chart);
    const dominated = table.rows.filter((row) => row.at(-1) === "yes").length;
    expect(dominated).toBe(result.pareto!.filter((point) => point.dominated).length);
    const timed = costChart(result, { of: (calls, reads) => 10 * calls + reads, words: "" })!;
    expect(tableOf(timed).rows[0].slice(1, 4)).toEqual(["1.00", "1.00", "11.0"]);
    expect(timed.x.ticks[1].label).toBe("20\n201 s");
    expect(costChart(withoutTruth())).toBeNull();
  });

  it("exit rules stand beside one step for all, always the last, and the oracle", () => {
    const result = fullResult();
    const tables = exitRulesTables(result);
    expect(tables.map(({ caption }) => caption)).toEqual([
      expect.stringContaining("least error"),
      expect.stringContaining("fewest steps within the margin"),
    ]);
    const [{ rows, head }] = tables;
    expect(rows.every((row) => row.length === head.length)).toBe(true);
    expect(rows.map(([name]) => name).slice(0, 2)).toEqual(["one step for all", "velocity change"]);
    expect(rows.slice(-2).map(([name]) => name)).toEqual(["the last step for all", "oracle"]);
    expect(exitRulesTables(resultOf({ episodes: 7 }))).toEqual([]);
  });

  it("spread by label has a curve a value, and the difference of the ambiguous with its interval", () => {
    const result = fullResult();
    const [first, second] = spreadCharts(result);
    expect(first.title).toBe("Spread over video seeds by ambiguity");
    expect(first.curves.map(({ name }) => name)).toEqual(["unambiguous (4)", "which block (4)"]);
    expect(second.curves).toHaveLength(3);
    const row = tableOf(first).rows.at(-1)!;
    const { contrast } = result.spread_by_label.find(({ label }) => label === "ambiguity")!;
    const { low, high } = contrast!.interval![6];
    expect(row[0]).toBe("ambiguous less unambiguous");
    expect(row.at(-1)).toBe(`${short(contrast!.difference[6])} [${short(low)}, ${short(high)}]`);
    expect(spreadCharts(resultOf())).toEqual([]);
  });

  it("hidden states have their nulls, as curves and in brackets", () => {
    const result = fullResult();
    const chart = similarityChart(result)!;
    expect(chart.curves.map(({ name }) => name)).toContain("null of CKA");
    expect(chart.curves[0].y[0]).toBeCloseTo(0.4, 6);
    const [cosine] = similarityMaps(result);
    expect(cosine.table.rows[0][3]).toBe("0.800 (−0.0200)");
    expect(cosine.scale[0]).toBeCloseTo(0.4, 6);
    const [{ marker }] = cosine.drawing.data as { marker: { shades: number[] } }[];
    expect([Math.min(...marker.shades), Math.max(...marker.shades)]).toEqual([0, 1]);
    expect(similarityChart(resultOf())).toBeNull();
  });

  it("dimensions that mean something are in their own units", () => {
    const result = fullResult();
    const [position, gripper] = partCharts(result);
    expect(position.y.title).toBe("mean distance (m)");
    expect(gripper.y.title).toContain("(positions)");
    expect(gripper.notes[0]).toMatch(/A position is 0\.100 s\. The true chunks switch/);
    const table = partsTable(result)!;
    expect(table.rows.map(([name]) => name)).toEqual(["position", "position", "gripper", "gripper"]);
    expect(table.rows[1].at(-1)).toBe(short(result.by_part[0].mse.mse_to_truth![6]));
    expect(partsTable(resultOf())).toBeUndefined();
  });

  it("heat maps hold every cell, and the ratio to the null is 1 where the flow is straight", () => {
    const maps = heatMaps(resultOf());
    expect(maps.map(({ id }) => id)).toEqual(["grid-iterate", "grid-one-jump", "grid-null"]);
    for (const { drawing, table } of maps) {
      const [{ marker, x, base }] = drawing.data as {
        marker: { shades: number[] };
        x: number[];
        base: number[];
      }[];
      const cells = table.rows.flatMap((row) => row.slice(1)).filter((cell) => cell !== "–");
      expect([x.length, base.length, marker.shades.length]).toEqual([
        cells.length,
        cells.length,
        cells.length,
      ]);
      expect(Math.min(...marker.shades)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...marker.shades)).toBeLessThanOrEqual(1);
    }
    // The fixture's flows are straight but for the last step's.
    for (const row of maps[2].table.rows.slice(0, -1))
      expect(new Set(row.slice(1))).toEqual(new Set(["1.00"]));
    expect(heatMaps(countOf(withoutInnerSteps()))).toEqual([]);
  });

  it("a grid of equal values and one with zeros can be drawn", () => {
    const result = resultOf();
    for (const value of [0, 0.3]) {
      result.grid!.iterate.to_truth = result.grid!.iterate.to_truth!.map((row) => row.map(() => value));
      const [{ marker }] = heatMaps(result)[0].drawing.data as { marker: { shades: number[] } }[];
      expect(marker.shades.every((shade) => shade >= 0 && shade <= 1)).toBe(true);
    }
  });

  it("stay small with many episodes, steps and dimensions", () => {
    const result = resultOf();
    const [E, K, D] = [1000, 101, 64];
    const rows = (n: number, m: number) =>
      Array.from({ length: n }, (_, i) =>
        Array.from({ length: m }, (_, j) => 0.01 * (1 + ((i * 7 + j) % 13))),
      );
    const both = <T>(value: T) => ({ mse_to_last: value, mse_to_truth: value });
    const many: ProbeResult = {
      ...result,
      video_steps: K - 1,
      probe_steps: rows(1, K)[0].map((_, k) => k),
      tau: rows(1, K)[0].map((_, k) => 1 - k / (K - 1)),
      episodes: rows(E, 1).map((_, index) => ({ index, id: `episode ${index}`, prompt: "push ".repeat(40) })),
      action_names: rows(D, 1).map((_, d) => `joint ${d}`),
      action_units: rows(D, 1).map(() => "rad"),
      video_axis: both(rows(1, K)[0]),
      video_axis_interval: both(null),
      video_axis_per_episode: both(rows(E, K)),
      video_axis_per_dimension: both(rows(K, D)),
      video_axis_per_position: both(rows(K, 24)),
      mse_to_last_data_units: rows(K, D),
      grid: {
        iterate: { to_final: rows(K, 17), to_last: rows(K, 17), to_truth: rows(K, 17) },
        one_jump: { to_final: rows(K, 16), to_last: rows(K, 16), to_truth: rows(K, 16) },
      },
      verdict: { ...result.verdict, difference: rows(1, K)[0], difference_interval: null },
    };
    expect(reportHtml(many, { plotly: "" }).length).toBeLessThan(800_000);
  });
});
