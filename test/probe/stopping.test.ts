/** Exit rules, oracle step, stability, monotone curves and the Pareto front against answers that are known. */
import { describe, expect, it } from "vitest";
import { clusterBootstrap } from "../../src/probe/statistics/bootstrap.ts";
import { type ExitInputs, exitRules, type Signal } from "../../src/probe/statistics/exit-rules.ts";
import { nonMonotone, rise } from "../../src/probe/statistics/monotone.ts";
import { oracleStep } from "../../src/probe/statistics/oracle-step.ts";
import { type CostPoint, pareto } from "../../src/probe/statistics/pareto.ts";
import { leaveOneOut } from "../../src/probe/statistics/stability.ts";
import { determinedStep, sufficientStep } from "../../src/probe/statistics/sufficient.ts";
import { probeStatistics } from "../../src/probe/statistics/statistics.ts";
import { actionChanges, spreadOverVideoSeeds } from "../../src/probe/statistics/trajectories.ts";
import { referenceMeasurement } from "./fixture.ts";
import { draw } from "./simulate.ts";

const OPTIONS = { resamples: 500 };
const each = (E: number) => Array.from({ length: E }, (_, e) => e);

describe("curves that are not monotone", () => {
  it("rise by the most that a later point lies above an earlier one", () => {
    expect(rise([5, 3, 2, 1])).toBe(0);
    expect(rise([5, 1, 2, 4, 3])).toBe(3);
    expect(rise([2, 3, 1, 1.5])).toBe(1);
    expect(rise([1])).toBe(0);
  });

  it("are counted by run, episodes alike, at all and beyond a tolerance", () => {
    const falls = [3, 2, 1];
    const [little, much] = [
      [3, 1, 1.1],
      [1, 2, 3],
    ];
    const found = nonMonotone(
      [
        [falls, little],
        [much, much],
        [falls, falls],
        [falls, much],
      ],
      0.5,
      clusterBootstrap(4, OPTIONS),
    );
    expect(found.any.mean).toBeCloseTo((0.5 + 1 + 0 + 0.5) / 4, 12);
    expect(found.beyond!.mean).toBeCloseTo((0 + 1 + 0 + 0.5) / 4, 12);
    expect(found.any.interval!.high).toBeGreaterThan(found.any.mean);
    expect(nonMonotone([[falls]], null, clusterBootstrap(1)).beyond).toBeNull();
  });
});

it("the oracle step is each episode's best, and fixed steps pay for what they do not know", () => {
  const rows = [
    [1, 2, 4],
    [3, 1, 1],
    [5, 4, 2],
  ];
  const found = oracleStep(rows, clusterBootstrap(3, OPTIONS));
  expect(found.places).toEqual([0, 1, 2]);
  expect(found.error.mean).toBeCloseTo(4 / 3, 12);
  [(0 + 2 + 3) / 3, (1 + 0 + 2) / 3, (3 + 0 + 0) / 3].forEach((expected, k) =>
    expect(found.regret[k]).toBeCloseTo(expected, 12),
  );
  expect(found.regretInterval!.every(({ low }) => low >= 0)).toBe(true);
});

describe("leaving episodes out", () => {
  const steps = [0, 10, 50];
  const rows = (E: number, at: (e: number) => number[], seed = 3): number[][] => {
    const normal = draw("normal", seed);
    return each(E).map((e) => at(e).map((mean) => mean + 0.001 * normal()));
  };
  const evidence = (toTruth: number[][], clusters = each(toTruth.length)) => ({
    ...{ steps, toTruth, truthScale: 1, clusters },
    floors: [{ name: "hold_still" as const, perEpisode: toTruth.map(() => 1) }],
  });

  it("changes nothing where all episodes agree, from the fewest on", () => {
    for (const E of [8, 12]) {
      const found = leaveOneOut(10, evidence(rows(E, () => [0.5, 0.1, 0.1])), OPTIONS);
      expect(found).toEqual({ runs: E, leftOut: 1, same: 1, range: [10, 10], undetermined: 0 });
    }
  });

  it("shows one episode that decides", () => {
    // One of twelve is worse at step 0 by 1.2: its mean and spread alone exceed the margin of 0.05.
    const found = leaveOneOut(10, evidence(rows(12, (e) => [e === 7 ? 1.3 : 0.1, 0.1, 0.1])), OPTIONS);
    expect(found.same).toBeCloseTo(11 / 12, 12);
    expect(found.range).toEqual([0, 10]);
  });

  it("leaves copies out together, and several episodes at once where they are many", () => {
    const clusters = [...each(9), 0, 0];
    expect(
      leaveOneOut(
        10,
        evidence(
          rows(11, () => [0.5, 0.1, 0.1]),
          clusters,
        ),
        OPTIONS,
      ).runs,
    ).toBe(9);
    const many = leaveOneOut(10, evidence(rows(130, () => [0.5, 0.1, 0.1])), { resamples: 50 });
    expect(many).toMatchObject({ runs: 44, leftOut: 3, same: 1 });
  });

  it("says what has no answer without an episode", () => {
    // Without the one that holding still serves badly the last step is not better than the floor.
    const toTruth = rows(9, () => [0.5, 0.1, 0.1]);
    const floors = [{ name: "hold_still" as const, perEpisode: toTruth.map((_, e) => (e === 2 ? 9 : 0.01)) }];
    const found = leaveOneOut(10, { ...evidence(toTruth), floors }, OPTIONS);
    expect(found.undetermined).toBe(1);
    expect(found.same).toBeCloseTo(8 / 9, 12);
  });

  it("asks the rule of the verdict", () => {
    const normal = draw("normal", 9);
    for (let trial = 0; trial < 10; trial++) {
      const perEpisode = each(10).map(() => [0.2, 0.12, 0.1].map((mean) => mean + 0.05 * normal()));
      const one = {
        ...{ steps, toTruth: { perEpisode }, truthScale: 1, bootstrap: clusterBootstrap(10, OPTIONS) },
        floors: [{ name: "hold_still" as const, error: 1 }],
      };
      expect(determinedStep(one)).toBe(sufficientStep(one).step);
    }
  });
});

describe("exit rules", () => {
  const steps = [0, 10, 20, 30];
  const calls = [1, 11, 21, 31];
  const E = 16;
  /** Each trajectory has a best step; the error is 1 there, 3 before and 2 after it. */
  const best = each(E).map((e) => e % 4);
  const trajectories = best.map((at, episode) => ({
    episode,
    errors: steps.map((_, k) => (k < at ? 3 : k > at ? 2 : 1)),
  }));
  /** Falls to 1 at the best step and is 5 before it. */
  const telling: Signal = {
    ...{ name: "telling", trajectories: 1, reads: 1 },
    values: best.map((at) => steps.map((_, k) => (k < at ? 5 : 1))),
  };
  const inputs = (signals: Signal[], margin: number | null = null): ExitInputs => ({
    ...{ steps, calls, trajectories, signals, margin, clusters: each(E) },
    bootstrap: clusterBootstrap(E, OPTIONS),
  });
  const ruleOf = (found: ReturnType<typeof exitRules>, signal: string, goal = "least_error") =>
    found!.rules.find((rule) => rule.signal === signal && rule.goal === goal)!;

  it("that see the best step reach the oracle, on the half that did not choose", () => {
    const found = exitRules(inputs([telling]));
    expect(found!.halves).toEqual([8, 8]);
    expect(found!.oracle).toMatchObject({ steps: 15, error: { mean: 1 } });
    const rule = ruleOf(found, "telling");
    // Half-way between 1 and 5.
    expect(rule.thresholds).toEqual([3, 3]);
    expect(rule).toMatchObject({ steps: 15, calls: 16, error: { mean: 1 }, regret: { mean: 0 } });
    expect(rule.reads).toBe(2.5);
  });

  it("are held against the fixed step that the same half would choose", () => {
    const found = exitRules(inputs([telling]));
    const fixed = ruleOf(found, "fixed");
    // Over all episodes 30 errs least, 1.75; a half may say otherwise.
    for (const step of fixed.thresholds) expect(steps).toContain(step);
    const held = fixed.error.mean;
    expect(fixed.regret.mean).toBeCloseTo(held - 1, 12);
    expect(ruleOf(found, "telling").againstFixed!.error.mean).toBeCloseTo(1 - held, 12);
    expect(ruleOf(found, "telling").againstFixed!.error.interval!.high).toBeLessThan(0);
    expect(fixed).toMatchObject({ againstFixed: null, reads: 1 });
  });

  it("gain nothing from a signal that tells only the step", () => {
    const blind: Signal = { ...telling, name: "blind", values: best.map(() => [4, 3, 2, 1]) };
    const found = exitRules(inputs([blind]));
    const [rule, fixed] = [ruleOf(found, "blind"), ruleOf(found, "fixed")];
    expect(rule.error).toEqual(fixed.error);
    expect(rule.steps).toBe(fixed.steps);
    expect(rule.againstFixed).toMatchObject({ error: { mean: 0 }, steps: 0 });
  });

  it("lose on the other half what noise promised on the one that chose", () => {
    const normal = draw("normal", 5);
    const noise: Signal = { ...telling, name: "noise", values: best.map(() => steps.map(() => normal())) };
    const rule = ruleOf(exitRules(inputs([noise])), "noise");
    expect(rule.regret.mean).toBeGreaterThan(0.4);
    expect(rule.againstFixed!.error.mean).toBeGreaterThan(-0.1);
  });

  it("do not stop by what is not known", () => {
    const late: Signal = {
      ...{ ...telling, name: "late" },
      values: telling.values.map((row) => row.map((value, k) => (k < 2 ? NaN : value))),
    };
    const rule = ruleOf(exitRules(inputs([late])), "late");
    // Best steps 0, 1 and 2 are stopped at 20, the last at 30.
    expect(rule.steps).toBe(22.5);
    expect(rule.error.mean).toBe((2 + 2 + 1 + 1) / 4);
    const never: Signal = { ...late, name: "never", values: best.map(() => steps.map(() => NaN)) };
    expect(ruleOf(exitRules(inputs([never])), "never")).toMatchObject({
      thresholds: [null, null],
      steps: 30,
    });
  });

  it("save steps within the margin of going to the last", () => {
    // Errors fall slowly: 1.3, 1.2, 1.1, 1.
    const slow = trajectories.map(({ episode }) => ({ episode, errors: [1.3, 1.2, 1.1, 1] }));
    const signal: Signal = { ...telling, values: best.map(() => [4, 3, 2, 1]) };
    for (const [margin, step] of [
      [0.05, 30],
      [0.1001, 20],
      [0.25, 10],
      [1, 0],
    ] as const) {
      const found = exitRules({ ...inputs([signal], margin), trajectories: slow });
      expect(ruleOf(found, "telling", "fewest_steps").steps).toBe(step);
      expect(ruleOf(found, "fixed", "fewest_steps").thresholds).toEqual([step, step]);
      expect(ruleOf(found, "telling", "least_error").steps).toBe(30);
    }
  });

  it("cost all trajectories and read-outs that they compare", () => {
    const pairs: Signal = { ...telling, name: "pairs", trajectories: 2, reads: 2 };
    expect(ruleOf(exitRules(inputs([pairs])), "pairs")).toMatchObject({ steps: 15, calls: 32, reads: 5 });
    const unread: Signal = { ...telling, name: "unread", reads: 0 };
    expect(ruleOf(exitRules(inputs([unread])), "unread").reads).toBe(1);
  });

  it("are not judged with few episodes, and copies stay in one half", () => {
    expect(exitRules({ ...inputs([telling]), bootstrap: clusterBootstrap(7, OPTIONS) })).toBeNull();
    const clusters = best.map((_, e) => Math.floor(e / 2));
    const found = exitRules({
      ...inputs([telling]),
      clusters,
      bootstrap: clusterBootstrap(clusters, OPTIONS),
    });
    expect(found!.halves).toEqual([4, 4]);
  });

  it("are quick with many trajectories, steps and values", () => {
    const normal = draw("normal", 2);
    const many = each(200).map((episode) => ({ episode, errors: each(50).map(() => normal() ** 2) }));
    const signal: Signal = { ...telling, values: many.map(() => each(50).map(() => normal())) };
    const found = exitRules({
      ...{ steps: each(50), calls: each(50), trajectories: many, signals: [signal], margin: 0.1 },
      ...{ clusters: each(200), bootstrap: clusterBootstrap(200, OPTIONS) },
    });
    expect(found!.rules).toHaveLength(4);
  });
});

describe("signals of the decodes", () => {
  const measurement = referenceMeasurement({ episodes: 2 });
  const sizes = { V: 2, S: 1, K: 7, D: 3, size: 72 };

  it("are changes since the probed step before, and distances of seeds", () => {
    const changes = actionChanges(measurement.episodes, sizes);
    expect(changes).toHaveLength(4);
    expect(changes[3][0]).toBeNaN();
    const { actions } = measurement.episodes[1];
    const at = (run: number, k: number) => actions.subarray((run * 7 + k) * 72, (run * 7 + k + 1) * 72);
    const mse = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0) / 72;
    expect(changes[3][4]).toBeCloseTo(mse(at(1, 4), at(1, 3)), 10);
    const spread = spreadOverVideoSeeds(measurement.episodes, sizes)!;
    expect(spread[2][5]).toBeCloseTo(mse(at(0, 5), at(1, 5)), 10);
    expect(spread[3]).toEqual(spread[2]);
  });
});

describe("cost against error", () => {
  const point = (calls: number, error: number, reads = 1): CostPoint => ({
    ...{ way: "stop", rule: null, steps: calls - 1, calls, reads, error, interval: null },
  });
  const dominated = (points: CostPoint[]) => pareto(points).map((one) => one.dominated);

  it("a point is dominated by one that is nowhere worse and somewhere better", () => {
    expect(dominated([point(1, 5), point(2, 3), point(3, 4), point(4, 1)])).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect(dominated([point(1, 1), point(2, 1), point(1, 2)])).toEqual([false, true, true]);
    // Equals do not dominate each other, and fewer read-outs are a price of their own.
    expect(dominated([point(1, 1), point(1, 1)])).toEqual([false, false]);
    expect(dominated([point(2, 1, 4), point(3, 1, 1)])).toEqual([false, false]);
  });

  it("holds every stop, shorter schedule and rule of a measurement", () => {
    const { stopping } = probeStatistics(referenceMeasurement(), OPTIONS);
    const stops = stopping.pareto!.filter(({ way }) => way === "stop");
    expect(stops.map(({ calls }) => calls)).toEqual([1, 6, 11, 21, 31, 41, 51]);
    const rules = stopping.pareto!.filter(({ way }) => way === "rule");
    expect(rules).toHaveLength(4);
    expect(new Set(rules.map(({ rule }) => rule!.signal))).toEqual(
      new Set(["action_change", "spread_over_video_seeds"]),
    );
  });
});

describe("of a measurement", () => {
  it("needs a truth, episodes and a verdict for what rests on them", () => {
    const blind = referenceMeasurement();
    for (const episode of blind.episodes) episode.truth = undefined;
    const { stopping } = probeStatistics(blind, OPTIONS);
    expect(stopping).toMatchObject({ oracleStep: null, stability: null, exitRules: null, pareto: null });
    expect(stopping.nonMonotone).toMatchObject({ curves: 16, tolerance: null, toTruth: null });
    const few = probeStatistics(referenceMeasurement({ episodes: 7 }), OPTIONS).stopping;
    expect(few).toMatchObject({ stability: null, exitRules: null });
    expect(few.oracleStep!.places).toHaveLength(7);
  });

  it("pairs controls with the decode they replace", () => {
    const measurement = referenceMeasurement();
    const { controlDifferences, controls, videoAxis } = probeStatistics(measurement, OPTIONS);
    const difference = controls.zeroedContext!.toTruth!.mean[0] - videoAxis.toTruth!.mean[6];
    expect(controlDifferences.zeroedContext!.mean).toBeCloseTo(difference, 12);
    const own = referenceMeasurement();
    for (const episode of own.episodes)
      episode.zeroedContext = Float32Array.from(
        { length: 144 },
        (_, i) => episode.actions[(Math.floor(i / 72) * 7 + 6) * 72 + (i % 72)],
      );
    expect(probeStatistics(own, OPTIONS).controlDifferences.zeroedContext).toEqual({
      mean: 0,
      interval: { low: 0, high: 0 },
    });
  });
});
