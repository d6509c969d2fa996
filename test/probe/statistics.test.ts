import { describe, expect, it } from "vitest";
import { MimicVideoError, NonFiniteError, UsageError } from "../../src/errors.ts";
import { clusterBootstrap } from "../../src/probe/statistics/bootstrap.ts";
import { errorCurve } from "../../src/probe/statistics/curve.ts";
import { fractions, nullToFinal, nullToTruth } from "../../src/probe/statistics/null-curve.ts";
import { independentClusters } from "../../src/probe/statistics/independent.ts";
import { probeStatistics } from "../../src/probe/statistics/statistics.ts";
import { readJson, type Reference, referenceMeasurement, withoutInnerSteps } from "./fixture.ts";

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
    const { iterate, oneJump } = statistics.actionAxis!;
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
    expectClose(grid!.iterate.toFinal[6], actionAxis!.iterate.toFinal.mean, 1e-12);
    expectClose(grid!.oneJump.toTruth![6], actionAxis!.oneJump.toTruth!.mean, 1e-12);
    expectClose(
      grid!.iterate.toLast.map((row) => row[16]),
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
    expectClose(nullCurve!.toFinal, actionAxis!.iterate.toFinal.mean, 1e-5);
    expectClose(nullCurve!.toTruth!, actionAxis!.iterate.toTruth!.mean, 1e-5);
  });

  it("is the same twice", () => {
    expect(probeStatistics(referenceMeasurement())).toEqual(statistics);
  });
});

describe("by hand", () => {
  it("one curve of two episodes, one position, two dimensions", () => {
    const chunk = (...values: number[]) => ({ data: Float32Array.from(values), offset: 0 });
    const bootstrap = clusterBootstrap(2);
    const context = { episodes: 2, positions: 1, dimensions: 2, bootstrap };
    const curve = errorCurve(context, 1, (e) =>
      e === 0
        ? [
            [chunk(1, 0), chunk(0, 0)],
            [chunk(3, 0), chunk(0, 0)],
          ]
        : [[chunk(0, 2), chunk(0, 0)]],
    );
    // Student's 97.5 % quantile with one degree of freedom is 12.706; no mean of squares is below 0.
    expect(curve.interval![0].low).toBe(0);
    expect(curve.interval![0].high).toBeCloseTo(2.25 + 12.7062 * 0.25, 4);
    expect(curve).toEqual({
      mean: [(2.5 + 2) / 2],
      interval: curve.interval,
      perEpisode: [[2.5], [2]],
      perDimension: [[2.5, 2]],
      perPosition: [[2.25]],
    });
  });

  it("a curve whose second episode knows the first of two positions", () => {
    const chunk = (...values: number[]) => ({ data: Float32Array.from(values), offset: 0 });
    const context = { episodes: 2, positions: 2, dimensions: 1, bootstrap: clusterBootstrap(2) };
    const zero = chunk(0, 0);
    const of = (known: number) =>
      errorCurve(context, 1, (e) =>
        e === 0 ? [[chunk(1, 3), zero]] : [[chunk(2, 100), { ...zero, known }]],
      );
    const { mean, perEpisode, perDimension, perPosition } = of(1);
    expect([perEpisode, mean]).toEqual([[[5], [4]], [4.5]]);
    expect(perDimension).toEqual([[4.5]]);
    expect(perPosition).toEqual([[2.5, 9]]);
    const none = () => errorCurve(context, 1, () => [[chunk(1, 3), { ...zero, known: 1 }]]);
    expect(none).toThrow("No episode knows position 2 of the 2");
  });

  it("nothing is measured against a truth behind the end of a recording", () => {
    const whole = referenceMeasurement();
    const cut = (change: (truth: Float32Array) => Float32Array, known?: number) =>
      probeStatistics({
        ...whole,
        episodes: whole.episodes.map((e, i) =>
          i === 3 ? { ...e, truth: change(e.truth!), truthPositions: known } : e,
        ),
      });
    const same = (truth: Float32Array): Float32Array => truth;
    expect(cut(same, 24)).toEqual(cut(same));
    const padded = cut((truth) => truth.map((x, i) => (i < 10 * 3 ? x : truth[9 * 3 + (i % 3)])), 10);
    expect(padded).toEqual(cut((truth) => truth.map((x, i) => (i < 10 * 3 ? x : 7)), 10));
    expect(padded.videoAxis.toTruth!.mean).not.toEqual(cut(same).videoAxis.toTruth!.mean);
    expect(padded.videoAxis.toLast).toEqual(cut(same).videoAxis.toLast);
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
  it("one episode: no interval and no verdict, with the reason", () => {
    const { videoAxis, verdict } = probeStatistics(referenceMeasurement({ episodes: 1 }));
    expect(videoAxis.toLast.interval).toBeNull();
    expect(verdict.step).toBeNull();
    expect(verdict.doubts).toEqual([{ kind: "few episodes", independent: 1, episodes: 1 }]);
  });

  it("no truth: everything against the last action is still there", () => {
    const measurement = referenceMeasurement();
    for (const episode of measurement.episodes) episode.truth = undefined;
    const { videoAxis, nullCurve, verdict, grid, floors } = probeStatistics(measurement);
    expect(videoAxis.toTruth).toBeNull();
    expect(nullCurve!.toTruth).toBeNull();
    expect(grid!.oneJump.toTruth).toBeNull();
    expect(floors.holdStill!.toLast.mean[0]).toBeGreaterThan(0);
    expect(verdict.doubts).toEqual([{ kind: "no truth" }]);
  });

  it("no steps of the read-out: no action axis, no null, no grid, and the rest as it was", () => {
    const measurement = withoutInnerSteps();
    const plain = probeStatistics(measurement);
    expect([plain.actionAxis, plain.nullCurve, plain.grid]).toEqual([null, null, null]);
    expect(plain.videoAxis).toEqual(statistics.videoAxis);
    expect(plain.verdict).toEqual(statistics.verdict);
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

describe("the verdict on a measurement", () => {
  const verdictOf = (change: (m: ReturnType<typeof referenceMeasurement>) => void, margin?: number) => {
    const measurement = referenceMeasurement();
    change(measurement);
    return probeStatistics(measurement, { margin }).verdict;
  };
  const kinds = (verdict: ReturnType<typeof verdictOf>) => verdict.doubts.map(({ kind }) => kind);

  it("stands on the toy's eight episodes, with 5 % of hold still", () => {
    const verdict = verdictOf(() => undefined);
    expect(verdict.margin).toEqual({
      value: 0.05 * statistics.floors.holdStill!.toTruth!.mean[0],
      source: "hold_still",
    });
    expect(verdict.step).toBe(20);
  });

  it("takes the margin from what is known, in order", () => {
    const { datasetMean, holdStill } = statistics.floors;
    expect(holdStill!.toTruth!.mean[0]).not.toBe(datasetMean!.toTruth!.mean[0]);
    const without = (m: ReturnType<typeof referenceMeasurement>) => {
      for (const episode of m.episodes) episode.holdStill = undefined;
    };
    expect(verdictOf(without).margin).toEqual({
      value: 0.05 * datasetMean!.toTruth!.mean[0],
      source: "dataset_mean",
    });
    const zeroed = verdictOf((m) => {
      without(m);
      m.datasetMean = undefined;
    });
    expect(zeroed.margin).toEqual({
      value: 0.05 * statistics.controls.zeroedContext!.toTruth!.mean[0],
      source: "zeroed_context",
    });
    const none = verdictOf((m) => {
      without(m);
      m.datasetMean = undefined;
      for (const episode of m.episodes) episode.zeroedContext = new Float32Array(0);
    });
    expect(kinds(none)).toEqual(["no margin"]);
    expect(verdictOf(() => undefined, 0.2)).toMatchObject({
      margin: { value: 0.2, source: "option" },
      step: 0,
    });
  });

  it("is refused where there is no ground: scale, constant actions, worse than holding still", () => {
    const huge = verdictOf((m) => {
      for (const episode of m.episodes) episode.truth = episode.truth!.map((x) => x * 1e25);
    });
    expect(kinds(huge)).toContain("truth out of scale");
    const constant = verdictOf((m) => {
      for (const episode of m.episodes) episode.truth = episode.holdStill!.slice();
    });
    expect(kinds(constant)).toEqual(["useless margin", "not better than floor"]);
    const bad = verdictOf((m) => {
      for (const episode of m.episodes) episode.actions = episode.actions.map((x, i) => x + 3 * Math.sin(i));
    });
    expect(kinds(bad)).toEqual(["not better than floor"]);
    expect([huge, constant, bad].map(({ step }) => step)).toEqual([null, null, null]);
  });

  it("counts copies of an episode as one, and weighs them as one", () => {
    const copied = referenceMeasurement();
    const two = probeStatistics({ ...copied, episodes: copied.episodes.slice(0, 2) });
    copied.episodes = Array.from({ length: 24 }, (_, i) => ({
      ...copied.episodes[i < 20 ? 0 : 1],
      episode: i,
      id: `copy ${i}`,
    }));
    const found = probeStatistics(copied);
    expect(found.interval.clusters).toBe(2);
    expect(found.verdict.doubts).toEqual([{ kind: "few episodes", independent: 2, episodes: 24 }]);
    expectClose(found.videoAxis.toTruth!.mean, two.videoAxis.toTruth!.mean, 1e-12);
    expectClose(found.videoAxis.toTruth!.perDimension[3], two.videoAxis.toTruth!.perDimension[3], 1e-12);
    expectClose(found.grid!.oneJump.toTruth![2], two.grid!.oneJump.toTruth![2], 1e-12);
    expectClose([found.betweenSeeds.video!], [two.betweenSeeds.video!], 1e-12);
    found.videoAxis.toLast.interval!.forEach((ends, k) => {
      const { low, high } = two.videoAxis.toLast.interval![k];
      expectClose([ends.low, ends.high], [low, high], 1e-9);
    });
  });

  it("finds copies that were decoded from other noise, but not two robots that stand still", () => {
    const again = referenceMeasurement();
    const [first] = again.episodes;
    again.episodes[1] = { ...first, episode: 1, id: "other", actions: first.actions.map((x) => x + 0.01) };
    expect(independentClusters(again.episodes, 3)).toEqual([0, 0, 1, 2, 3, 4, 5, 6]);
    const still = referenceMeasurement();
    for (const episode of still.episodes) {
      episode.truth = new Float32Array(72).fill(0.5);
      episode.holdStill = new Float32Array(72);
      episode.prompt = "wait";
    }
    expect(independentClusters(still.episodes, 3)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    still.episodes[7].id = still.episodes[3].id;
    expect(independentClusters(still.episodes, 3)).toEqual([0, 1, 2, 3, 4, 5, 6, 3]);
  });
});

describe("in the data's units", () => {
  it("each dimension in the square of its own, the truth where it is known", () => {
    const measurement = referenceMeasurement();
    const scale = [2, 10, 0.5];
    const scaled = (values: Float32Array) => values.map((x, i) => x * scale[i % 3]);
    for (const episode of measurement.episodes) episode.dataActions = scaled(episode.actions);
    expect(probeStatistics(measurement).dataUnits.toTruth).toBeNull();
    for (const episode of measurement.episodes) episode.dataTruth = scaled(episode.truth!);
    const { dataUnits } = probeStatistics(measurement);
    const expected = (rows: number[][]) => rows.map((row) => row.map((value, d) => value * scale[d] ** 2));
    const { toLast, toTruth } = statistics.videoAxis;
    dataUnits.toTruth!.forEach((row, k) => expectClose(row, expected(toTruth!.perDimension)[k], 1e-4, 1e-6));
    dataUnits.toLast.forEach((row, k) => expectClose(row, expected(toLast.perDimension)[k], 1e-4, 1e-6));
  });
});
