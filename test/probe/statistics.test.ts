import { describe, expect, it } from "vitest";
import { MimicVideoError, NonFiniteError, UsageError } from "../../src/errors.ts";
import { errorCurve } from "../../src/probe/statistics/curve.ts";
import { fractions, nullToFinal, nullToTruth } from "../../src/probe/statistics/null-curve.ts";
import { probeStatistics } from "../../src/probe/statistics/statistics.ts";
import { readJson, type Reference, referenceMeasurement } from "./fixture.ts";

const reference = readJson<Reference>("episodes/reference.json");
const statistics = probeStatistics(referenceMeasurement());

/** The issue asks for 0.01 %; the means were taken in float32 there. One-jump is rebuilt from float32 differences here. */
function expectClose(actual: number[], expected: number[], relative = 1e-5, absolute = 1e-9) {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]), `point ${i}: ${value} against ${expected[i]}`).toBeLessThanOrEqual(
      relative * Math.abs(expected[i]) + absolute,
    );
  });
}

describe("against PyTorch's numbers", () => {
  it("video axis, overall and per episode", () => {
    const { toLast, toTruth } = statistics.videoAxis;
    expectClose(toTruth!.mean, reference.video_axis.mse_to_truth);
    expectClose(toLast.mean, reference.video_axis.mse_to_last);
    for (let e = 0; e < 8; e++) {
      expectClose(toTruth!.perEpisode[e], reference.video_axis_per_episode.mse_to_truth[e]);
      expectClose(toLast.perEpisode[e], reference.video_axis_per_episode.mse_to_last[e]);
    }
  });

  it("action axis, iterates and one jump", () => {
    const { iterate, oneJump } = statistics.actionAxis;
    const expected = reference.action_axis_at_last_video_step;
    expectClose(iterate.toFinal.mean, expected.iterate_to_final);
    expectClose(iterate.toTruth!.mean, expected.iterate_to_truth);
    expectClose(oneJump.toFinal.mean, expected.one_jump_to_final, 1e-4, 1e-8);
    expectClose(oneJump.toTruth!.mean, expected.one_jump_to_truth, 1e-4, 1e-8);
  });

  it("floors", () => {
    const { holdStill, datasetMean } = statistics.floors;
    expectClose(holdStill!.toTruth!.mean, [reference.floors.hold_still_to_truth]);
    expectClose(datasetMean!.toTruth!.mean, [reference.floors.dataset_mean_to_truth], 1e-4);
  });
});

describe("what belongs together", () => {
  it("the grid's last row is the action axis, its last column the video axis", () => {
    const { grid, actionAxis, videoAxis } = statistics;
    expectClose(grid.iterate.toFinal[6], actionAxis.iterate.toFinal.mean, 1e-12);
    expectClose(grid.oneJump.toTruth![6], actionAxis.oneJump.toTruth!.mean, 1e-12);
    expectClose(
      grid.iterate.toLast.map((row) => row[16]),
      videoAxis.toLast.mean,
      1e-5,
    );
  });

  it("views of a curve average to its mean", () => {
    const { mean, perEpisode, perDimension, perPosition, interval } = statistics.videoAxis.toTruth!;
    const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    mean.forEach((value, k) => {
      expect(average(perEpisode.map((row) => row[k]))).toBeCloseTo(value, 12);
      expect(average(perDimension[k])).toBeCloseTo(value, 12);
      expect(average(perPosition[k])).toBeCloseTo(value, 12);
      expect(interval![k].low).toBeLessThan(value);
      expect(interval![k].high).toBeGreaterThan(value);
    });
  });

  it("a straight flow equals its null curves", () => {
    const measurement = referenceMeasurement();
    for (const { iterates } of measurement.episodes)
      for (let v = 0; v < 2; v++) {
        const run = iterates.subarray((v * 7 + 6) * 17 * 72, (v * 7 + 7) * 17 * 72);
        for (let n = 1; n < 16; n++)
          for (let i = 0; i < 72; i++) run[n * 72 + i] = run[i] + (n / 16) * (run[16 * 72 + i] - run[i]);
      }
    const { actionAxis, nullCurve } = probeStatistics(measurement);
    expectClose(nullCurve.toFinal, actionAxis.iterate.toFinal.mean, 1e-5);
    expectClose(nullCurve.toTruth!, actionAxis.iterate.toTruth!.mean, 1e-5);
  });

  it("is the same twice", () => {
    expect(probeStatistics(referenceMeasurement())).toEqual(statistics);
  });
});

describe("by hand", () => {
  it("one curve of two episodes, one position, two dimensions", () => {
    const chunk = (...values: number[]) => ({ data: Float32Array.from(values), offset: 0 });
    const context = { episodes: 2, positions: 1, dimensions: 2, bootstrap: () => null };
    const curve = errorCurve(context, 1, (e) =>
      e === 0
        ? [
            [chunk(1, 0), chunk(0, 0)],
            [chunk(3, 0), chunk(0, 0)],
          ]
        : [[chunk(0, 2), chunk(0, 0)]],
    );
    expect(curve).toEqual({
      mean: [(2.5 + 2) / 2],
      interval: null,
      perEpisode: [[2.5], [2]],
      perDimension: [[2.5, 2]],
      perPosition: [[2.25]],
    });
  });

  it("null curves", () => {
    expect(fractions([1, 0.5, 0])).toEqual([0, 0.5, 1]);
    expect(nullToFinal(4, [0, 0.5, 1])).toEqual([4, 1, 0]);
    expect(nullToTruth(4, 2, 1, [0, 0.5, 1])).toEqual([4, 1 + 1 + 0.25, 1]);
  });

  it("seeds: mean squared difference of the last decodes", () => {
    const measurement = referenceMeasurement({ episodes: 1 });
    const { actions } = measurement.episodes[0];
    for (let i = 0; i < 72; i++) actions[(7 + 6) * 72 + i] = actions[6 * 72 + i] + 0.5;
    const { betweenSeeds } = probeStatistics(measurement);
    expect(betweenSeeds.video).toBeCloseTo(0.25, 6);
    expect(betweenSeeds.action).toBeNull();
  });
});

describe("what is missing or wrong", () => {
  it("one episode: no interval and no sufficient step, with the reason", () => {
    const { videoAxis, sufficient } = probeStatistics(referenceMeasurement({ episodes: 1 }));
    expect(videoAxis.toLast.interval).toBeNull();
    expect(sufficient.step).toBeNull();
    expect(sufficient.reason).toMatch(/at least two/);
  });

  it("no truth: everything against the last action is still there", () => {
    const measurement = referenceMeasurement();
    for (const episode of measurement.episodes) episode.truth = undefined;
    const { videoAxis, nullCurve, sufficient, grid, floors } = probeStatistics(measurement);
    expect(videoAxis.toTruth).toBeNull();
    expect(nullCurve.toTruth).toBeNull();
    expect(grid.oneJump.toTruth).toBeNull();
    expect(floors.holdStill!.toLast.mean[0]).toBeGreaterThan(0);
    expect(sufficient.reason).toMatch(/not known/);
  });

  it("equal seeds, values that are not finite, wrong sizes", () => {
    const equal = referenceMeasurement();
    const { actions } = equal.episodes[3];
    actions.copyWithin(7 * 72, 0, 7 * 72);
    expect(() => probeStatistics(equal)).toThrow(MimicVideoError);
    expect(() => probeStatistics(equal)).toThrow(/Episode 3: video seeds 0 and 1/);

    const bad = referenceMeasurement();
    bad.episodes[2].oneJump[5] = Number.NaN;
    expect(() => probeStatistics(bad)).toThrow(NonFiniteError);
    expect(() => probeStatistics(bad)).toThrow(/Episode 2: oneJump holds NaN at index 5/);

    const short = referenceMeasurement();
    short.episodes[0].zeroedContext = new Float32Array(7);
    expect(() => probeStatistics(short)).toThrow(UsageError);

    expect(() => probeStatistics({ ...short, episodes: [] })).toThrow(/at least one/);
  });
});
