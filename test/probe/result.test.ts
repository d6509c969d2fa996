import { describe, expect, it } from "vitest";
import { NonFiniteError } from "../../src/errors.ts";
import { formatJson } from "../../src/probe/result/json.ts";
import { probeResult } from "../../src/probe/result/result.ts";
import { summaryText } from "../../src/probe/result/summary.ts";
import { short, withRoom } from "../../src/probe/result/words.ts";
import { INTERVAL_METHOD } from "../../src/probe/statistics/bootstrap.ts";
import { expectedCoverage } from "../../src/probe/statistics/coverage.ts";
import { readJson, type Reference, referenceMeasurement, withoutInnerSteps } from "./fixture.ts";

const early = { date: "2026-01-01T00:00:00Z", command: "a", seconds: 1 };
const late = { date: "2026-12-31T00:00:00Z", command: "b", seconds: 99 };

it("labels an axis at its ends, and between them where there is room", () => {
  const all = [0, 1, 2, 3, 4, 5, 6];
  expect(withRoom([0, 1, 2, 5, 12, 23, 34], all)).toEqual([0, 3, 4, 5, 6]);
  expect(withRoom([0, 10, 20, 30, 40, 50, 60], all)).toEqual(all);
  expect(withRoom([7], [0])).toEqual([0]);
});

describe("probe.json", () => {
  const result = probeResult(referenceMeasurement(), early);

  it("is the same bytes for the same numbers, but for timing", () => {
    const other = probeResult(referenceMeasurement(), late);
    const [one, two] = [result, other].map((value) => formatJson(value).split('"timing"'));
    expect(one[0]).toBe(two[0]);
    expect(one[1]).not.toBe(two[1]);
    expect(JSON.parse(formatJson(result))).toEqual(result);
  });

  it("has every key of the reference with the same meaning", () => {
    const reference = readJson<Reference>("episodes/reference.json");
    const relative = (a: number, b: number) => Math.abs(a - b) / Math.max(Math.abs(b), 1e-9);
    for (const [key, values] of Object.entries(reference.video_axis))
      result.video_axis[key as "mse_to_last"].forEach((value, k) =>
        expect(relative(value, values[k])).toBeLessThan(1e-4),
      );
    expect(Object.keys(reference.action_axis_at_last_video_step).sort()).toEqual(
      Object.keys(result.action_axis_at_last_video_step!).sort(),
    );
    expect(relative(result.floors.hold_still_to_truth!, reference.floors.hold_still_to_truth)).toBeLessThan(
      1e-4,
    );
  });

  it("has the verdict, where its margin comes from, and what intervals are worth", () => {
    const { verdict, interval, floors, version } = result;
    expect(version).toBe(2);
    expect(verdict).toMatchObject({
      status: "sufficient",
      step: 20,
      margin: 0.05 * floors.hold_still_to_truth!,
      margin_source: "hold_still",
      independent_episodes: 8,
      best_step: 40,
    });
    expect(verdict.regret_of_last!.mean).toBeCloseTo(
      result.video_axis.mse_to_truth![6] - result.video_axis.mse_to_truth![5],
      12,
    );
    expect(interval).toMatchObject({ method: INTERVAL_METHOD, resamples: 10_000, clusters: 8 });
    expect(interval.expected_coverage).toEqual(expectedCoverage(8));
    expect(result.mse_to_truth_data_units).toBeNull();
    expect(result.mse_to_last_data_units).toHaveLength(7);
  });

  it("a read-out without steps, a recorded future: null is said, nothing is left out", () => {
    const measurement = withoutInnerSteps();
    for (const episode of measurement.episodes) episode.oracle = episode.actions.map((x) => 0.5 * x);
    const plain = probeResult(measurement, early);
    expect(plain).toMatchObject({
      action_axis_at_last_video_step: null,
      action_axis_per_episode: null,
      null_curve: null,
      grid: null,
      action_steps: 0,
    });
    expect(Object.keys(plain)).toEqual(Object.keys(result));
    expect(plain.oracle_axis!.mse_to_truth).toHaveLength(7);
    const text = summaryText(plain, []);
    expect(text).not.toMatch(/Action axis|straight flow|null|undefined|NaN/);
    expect(text).toMatch(/to truth, recorded future/);
    expect(JSON.parse(formatJson(plain))).toEqual(plain);
  });

  it("says what the weights are in words and by hash", () => {
    expect(result.model).toMatchObject({ trained_on: "toy", weights_sha256: "5eed".repeat(16) });
    const random = probeResult(referenceMeasurement({ trainedOn: "random" }), early);
    expect(random.statement).toMatch(/^Random weights: nothing was learned/);
  });
});

describe("json", () => {
  it("keeps order, rows of numbers on a line, and exact numbers", () => {
    const value = { b: [[1, 0.1], [1e-7]], a: { low: 1, high: 2 }, none: null, gone: undefined, empty: [] };
    expect(formatJson(value)).toBe(
      '{\n  "b": [\n    [1, 0.1],\n    [1e-7]\n  ],\n  "a": { "low": 1, "high": 2 },\n  "none": null,\n  "empty": []\n}\n',
    );
  });

  it("refuses what JSON would turn into null, and says where", () => {
    expect(() => formatJson({ a: [{ b: Number.NaN }] })).toThrow(NonFiniteError);
    expect(() => formatJson({ a: [{ b: Number.NaN }] })).toThrow(/a\[0\]\.b is NaN/);
  });
});

it("numbers are short, and their sign is seen", () => {
  expect([0, 0.12345, -0.0594, 1234.5, 999.4, 12345, 1.5e-7, -2e9].map(short)).toEqual([
    "0",
    "0.123",
    "−0.0594",
    "1235",
    "999",
    "1.2e4",
    "1.5e−7",
    "−2.0e9",
  ]);
});

describe("summary", () => {
  it("shows what is asked for and known", () => {
    const result = probeResult(referenceMeasurement(), early);
    const both = summaryText(result, [["numbers", "x/probe.json"]]);
    expect(both).toMatch(/to truth.*to step 50/);
    expect(both).toMatch(/0\.147 \[/);
    expect(both).toContain("numbers  x/probe.json");
    expect(both).toMatch(/Sufficient video step: 20 of 50\. From there on/);
    expect(both).toMatch(/Of 95 % intervals over 8 episodes 95 to 97 % hold the truth in simulation, 90 %/);
    expect(summaryText(result, [], "final")).not.toMatch(/to truth/);
    expect(summaryText(result, [], "truth")).not.toMatch(/to step 50|iterate to final/);
  });

  it("the last step is the last that was probed, also where the schedule has one more", () => {
    const result = probeResult(referenceMeasurement(), early);
    result.video_steps = 51;
    result.verdict.step = 50;
    const text = summaryText(result, []);
    expect(text).toMatch(/Sufficient video step: none before the last, 50\./);
    expect(text).toMatch(/step k − step 50/);
    expect(text).not.toMatch(/step 51/);
  });

  it("one episode without truth still makes sense", () => {
    const measurement = referenceMeasurement({ episodes: 1 });
    measurement.episodes[0].truth = undefined;
    measurement.episodes[0].otherContext = new Float32Array(0);
    const text = summaryText(probeResult(measurement, early), [], "truth");
    expect(text).toMatch(/one independent episode, so no intervals/);
    expect(text).toMatch(/undetermined. The true actions are not known/);
    expect(text).not.toMatch(/hold the truth in simulation/);
    expect(text).toMatch(/another episode's context\s+not known/);
    expect(text).not.toMatch(/undefined|NaN|null\b.*null\b.*null\b/);
  });
});
