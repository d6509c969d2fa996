import { describe, expect, it } from "vitest";
import { clusterBootstrap, mulberry32 } from "../../src/probe/statistics/bootstrap.ts";
import { expectedCoverage } from "../../src/probe/statistics/coverage.ts";
import { bestStep, regretOf } from "../../src/probe/statistics/regret.ts";
import { studentCdf, studentQuantile } from "../../src/probe/statistics/student.ts";
import { coverageOf, draw, type Shape } from "./simulate.ts";

describe("Student's t", () => {
  it("has the table's quantiles, and distribution and quantile are inverse", () => {
    const table = [
      [1, 12.7062],
      [2, 4.30265],
      [7, 2.36462],
      [8, 2.306],
      [23, 2.06866],
      [63, 1.99834],
    ];
    for (const [freedom, value] of table) expect(studentQuantile(0.975, freedom)).toBeCloseTo(value, 4);
    for (const p of [0.001, 0.3, 0.5, 0.9, 0.9999])
      for (const freedom of [1, 2, 5, 10, 99])
        expect(studentCdf(studentQuantile(p, freedom), freedom)).toBeCloseTo(p, 10);
  });
});

describe("intervals keep their promise", () => {
  // 1,000 experiments each; 2,000 resamples stand in for 10,000, which test/long/ draws.
  const sizes = [8, 16, 24, 64];
  const shapes: Shape[] = ["normal", "t3", "lognormal(1/2)"];
  it.each(sizes.flatMap((episodes) => shapes.map((shape) => [shape, episodes] as const)))(
    "%s, %i episodes: 92 to 98 of a hundred hold the truth",
    (shape, episodes) => {
      const interval = clusterBootstrap(episodes, { resamples: 2000 });
      const { covers } = coverageOf(interval, { shape, episodes, experiments: 1000, seed: 1 });
      expect(covers).toBeGreaterThan(0.92);
      expect(covers).toBeLessThan(0.98);
    },
  );

  it("with few episodes or a few that make most of the error: what the result says", () => {
    const cases: [Shape, "normal" | "lognormal_one", number][] = [
      ["normal", "normal", 4],
      ["lognormal(1)", "lognormal_one", 4],
      ["lognormal(1)", "lognormal_one", 12],
    ];
    for (const [shape, key, episodes] of cases) {
      const interval = clusterBootstrap(episodes, { resamples: 2000 });
      const { covers } = coverageOf(interval, { shape, episodes, experiments: 1000, seed: 2 });
      // Four standard errors of 1,000 experiments at 82 %.
      expect(Math.abs(100 * covers - expectedCoverage(episodes)![key])).toBeLessThan(5);
    }
    expect([1, 16].map(expectedCoverage)).toEqual([null, null]);
  });
});

describe("cluster bootstrap", () => {
  const values = [1.31, 2.17, 4.77, 8.09, 16.43, 3.3, 5.9, 0.71, 9.97, 7.13, 6.01];

  it("is decided by its seed, pairs quantities, and has no width without spread", () => {
    const one = clusterBootstrap(11, { seed: 3 });
    expect(clusterBootstrap(11, { seed: 3 })(values)).toEqual(one(values));
    expect(clusterBootstrap(11, { seed: 4 })(values)).not.toEqual(one(values));
    const shifted = one(values.map((value) => value + 100))!;
    expect(shifted.low - 100).toBeCloseTo(one(values)!.low, 10);
    const scaled = one(values.map((value) => -3 * value))!;
    expect(scaled.low).toBeCloseTo(-3 * one(values)!.high, 10);
    expect(one(new Array(11).fill(2))).toEqual({ low: 2, high: 2 });
  });

  it("is Student's at the least, and only that below six clusters", () => {
    const five = values.slice(0, 5);
    const mean = five.reduce((a, b) => a + b) / 5;
    const error = Math.sqrt(five.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 4 / 5);
    const { low, high } = clusterBootstrap(5)(five)!;
    expect(low).toBeCloseTo(mean - 2.776445 * error, 5);
    expect(high).toBeCloseTo(mean + 2.776445 * error, 5);
    // A skewed sample: the end toward the tail is farther than Student's.
    const skewed = clusterBootstrap(11)(values.map((x) => Math.exp(x / 4)))!;
    const centre = values.reduce((sum, x) => sum + Math.exp(x / 4), 0) / 11;
    expect(skewed.high - centre).toBeGreaterThan(1.2 * (centre - skewed.low));
  });

  it("stays finite where most values agree", () => {
    const rare = clusterBootstrap(8)([0, 0, 0, 0, 0, 0, 0, 1])!;
    expect(rare.low).toBeLessThan(0);
    expect(rare.high).toBeGreaterThan(0.4);
    expect(rare.high).toBeLessThan(1);
  });

  it("counts copies as one", () => {
    const copies = clusterBootstrap([0, 1, 2, 3, 4, 5, 0, 0, 3]);
    const six = clusterBootstrap(6);
    expect(copies.clusters).toBe(6);
    expect(copies([1, 2, 3, 4, 5, 9, 1, 1, 4])).toEqual(six([1, 2, 3, 4, 5, 9]));
    expect(Array.from(copies.weights).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(copies.mean([1, 0, 0, 0, 0, 0, 3, 5, 0])).toBeCloseTo(0.5, 12);
  });

  it("its p value and its upper end agree", () => {
    const random = draw("normal", 5);
    const bootstrap = clusterBootstrap(9, { resamples: 4000 });
    for (let i = 0; i < 200; i++) {
      const sample = Array.from({ length: 9 }, () => random() - 0.8);
      const [p, { high }] = [bootstrap.pBelow(sample), bootstrap(sample)!];
      if (Math.abs(p - 0.025) > 1e-3) expect(p < 0.025, `${p} ${high}`).toBe(high < 0);
    }
  });

  it("is null for one cluster and refuses bad input", () => {
    expect(clusterBootstrap(1)([3])).toBeNull();
    expect(() => clusterBootstrap(2)([1])).toThrow(/1 values for 2 episodes/);
    expect(() => clusterBootstrap(2, { level: 95 })).toThrow(/between 0 and 1/);
    expect(() => clusterBootstrap(2, { resamples: 0 })).toThrow(/at least 1/);
  });

  it("mulberry32 is the published generator", () => {
    const random = mulberry32(0);
    expect([random(), random()].map((x) => x * 4294967296)).toEqual([1144304738, 1416247]);
  });
});

describe("regret", () => {
  it("is the difference to the best step, by hand", () => {
    const rows = [0, 1, 2, 3, 4, 5].map((e) => [0.5 + e, 0.2 + e, 0.3 + e]);
    const bootstrap = clusterBootstrap(6);
    expect(bestStep(rows, bootstrap)).toBe(1);
    const last = regretOf(rows, 2, bootstrap);
    expect(last.mean).toBeCloseTo(0.1, 12);
    // Episodes differ, steps by the same in each: nothing is in doubt.
    expect(last.interval!.low).toBeCloseTo(0.1, 9);
    expect(last.interval!.high).toBeCloseTo(0.1, 9);
    expect(regretOf(rows, 1, bootstrap).mean).toBe(0);
    expect(regretOf(rows.slice(0, 5), 2, clusterBootstrap(5)).interval).toBeNull();
  });

  it("its interval pays for the choice of the best: equal steps, true regret 0", () => {
    const bootstrap = clusterBootstrap(16, { resamples: 1000 });
    const value = draw("lognormal(1/2)", 3);
    let held = 0;
    for (let i = 0; i < 200; i++) {
      const rows = Array.from({ length: 16 }, () => Array.from({ length: 6 }, value));
      if (regretOf(rows, 5, bootstrap).interval!.low <= 0) held++;
    }
    expect(held / 200).toBeGreaterThan(0.93);
  });
});
