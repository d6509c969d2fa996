/** Populations whose answer is known: the mean of a number, judged against a floor. */
import { describe, expect, it } from "vitest";
import type { EpisodeMeasurement, FullSettings } from "../../src/probe/experiment/measurement.ts";
import { populationEstimates } from "../../src/probe/statistics/population.ts";
import type { Population } from "../../src/probe/subject.ts";
import { mulberry32 } from "../../src/probe/statistics/bootstrap.ts";

const [E, V] = [4, 50];
const [STEPS, BUDGETS] = [
  [0, 8],
  [1, 2, 8],
];
/** probe steps, own budgets, the other rule's */
const POINTS = STEPS.length + 2 * BUDGETS.length;

const settings = {
  ...{ modelDir: "", episodes: Array.from({ length: E }, (_, e) => e), videoSteps: 8, probeSteps: STEPS },
  ...{ actionSteps: 0, budgets: BUDGETS, rules: ["other"] },
  ...{ videoSeeds: Array.from({ length: V }, (_, v) => v), actionSeeds: "same" },
} satisfies FullSettings;

/** The mean of the one number a sample has; its error is how far from 0 it is. */
const population: Population = {
  ...{ features: 1, against: "nothing", fewest: 10, worst: 0 },
  measures: [
    { name: "mean", words: "mean", target: 0 },
    { name: "size", words: "size" },
  ],
  floors: [{ words: "two", values: { mean: 2, size: 2 } }],
  of:
    ({ values }) =>
    (counts) => {
      let [sum, total] = [0, 0];
      values.forEach((value, i) => {
        const count = counts?.[i] ?? 1;
        sum += count * value;
        total += count;
      });
      return { mean: sum / total, size: Math.abs(sum / total) };
    },
};

/** Episodes whose samples at point p are `at[p]` and noise that all points share. */
function episodes(at: readonly number[], spread: number): EpisodeMeasurement[] {
  const random = mulberry32(5);
  return Array.from({ length: E }, (_, episode) => {
    const samples = new Float32Array(V * POINTS);
    for (let v = 0; v < V; v++) {
      const noise = spread * (random() - 0.5);
      at.forEach((value, p) => (samples[v * POINTS + p] = value + noise));
    }
    return { episode, samples } as Partial<EpisodeMeasurement> as EpisodeMeasurement;
  });
}

// stop 0, 8 | own 1, 2, 8 | other 1, 2, 8; the margin is 5 % of 2.
const AT = [0.5, 0.3, 0.6, 0.35, 0.3, 2, 0.9, 0.34];

describe("populations", () => {
  it("differences are paired, so what all points share does not blur them", () => {
    const { schedules, stop, samples, measures } = populationEstimates(
      population,
      settings,
      episodes(AT, 1),
      E,
    );
    expect([samples, measures[0].margin, measures[1].margin]).toEqual([E * V, 0.1, undefined]);
    const [own, other] = schedules;
    expect(own.points[1].mean.difference!.mean).toBeCloseTo(0.05, 5);
    expect(own.points[1].mean.difference!.high).toBeLessThan(0.0501);
    expect(own.points[1].mean.standardError).toBeGreaterThan(0.01);
    expect(own.points[1].size.difference).toBeUndefined();
    expect(stop[1]).toEqual(own.points[2]);
    // 0.35 is within the margin of 0.3, 0.6 is not; of the other rule only the last is.
    expect([own.sufficient, other.sufficient]).toEqual([1, 2]);
  });

  it("the standard error is that of a mean of so many samples", () => {
    const spread = 2;
    const { schedules } = populationEstimates(population, settings, episodes(AT, spread), E, {
      resamples: 2000,
    });
    const expected = spread / Math.sqrt(12 * E * V);
    expect(Math.abs(schedules[0].points[0].mean.standardError / expected - 1)).toBeLessThan(0.12);
  });

  it("a schedule counts only if every longer one is as good, and none may be", () => {
    const gap = [...AT.slice(0, 2), 0.3, 0.9, 0.3, 2, 2, 2];
    const { schedules } = populationEstimates(population, settings, episodes(gap, 0.1), E);
    expect(schedules.map(({ sufficient }) => sufficient)).toEqual([2, null]);
  });

  it("is reproducible, and says when it concludes nothing", () => {
    const all = episodes(AT, 1);
    expect(populationEstimates(population, settings, all, E)).toEqual(
      populationEstimates(population, settings, all, E),
    );
    const part = populationEstimates(population, settings, all, E + 1);
    expect(part.doubt).toMatch(/4 of 5 items/);
    expect(part.schedules[0].sufficient).toBeNull();
    const few = populationEstimates({ ...population, fewest: 1000 }, settings, all, E);
    expect(few.doubt).toMatch(/200 samples .* 1000 are the fewest/);
    expect(() => populationEstimates(population, { ...settings, actionSeeds: [0, 1] }, all, E)).toThrow(
      /one noise/,
    );
  });
});
