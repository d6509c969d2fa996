import { describe, expect, it } from "vitest";
import { clusterBootstrap } from "../../src/probe/statistics/bootstrap.ts";
import type { Floor } from "../../src/probe/statistics/margin.ts";
import { holm, sufficientStep } from "../../src/probe/statistics/sufficient.ts";
import { verdictResult } from "../../src/probe/result/verdict.ts";
import { draw } from "./simulate.ts";

const steps = [0, 5, 10, 20, 50];
const holdStill: Floor = { name: "hold_still", error: 1 };

/** Episodes around a curve: each with a level of its own, and noise of its own at every step. */
function planted(mean: readonly number[], noise: number, episodes = 24, seed = 1): number[][] {
  const normal = draw("normal", seed);
  return Array.from({ length: episodes }, () => {
    const level = 0.05 * normal();
    return mean.map((m) => m + level + noise * normal());
  });
}

function verdictOf(perEpisode: number[][], change: Partial<Parameters<typeof sufficientStep>[0]> = {}) {
  return sufficientStep({
    steps,
    toTruth: { perEpisode },
    truthScale: 1,
    floors: [holdStill],
    bootstrap: clusterBootstrap(perEpisode.length),
    ...change,
  });
}

const reasonOf = (verdict: ReturnType<typeof verdictOf>) => verdictResult(verdict, steps).reason;

describe("what is planted is found", () => {
  it("a sufficient step", () => {
    const verdict = verdictOf(planted([0.5, 0.4, 0.12, 0.11, 0.1], 0.01));
    expect(verdict).toMatchObject({ step: 10, doubts: [], better: [] });
    expect(verdict.worse).toEqual([0, 5, 10, 20].slice(0, verdict.worse.length));
    expect(verdict.worse).toEqual(expect.arrayContaining([0, 5]));
    expect(verdict.difference![2]).toBeCloseTo(0.02, 2);
    expect(reasonOf(verdict)).toMatch(
      /^From there on no probed step is worse than the last by more than 0\.0500 \(5 % of the hold-still error\)\..*Between 5 and 10 nothing was probed\.$/,
    );
  });

  it("a better step, and what the last costs against it", () => {
    const verdict = verdictOf(planted([0.5, 0.1, 0.3, 0.3, 0.3], 0.01));
    expect(verdict).toMatchObject({ step: 5, better: [5], worse: [0], best: 5 });
    expect(verdict.regret!.last.mean).toBeCloseTo(0.2, 1);
    expect(verdict.regret!.last.interval!.low).toBeGreaterThan(0.18);
    expect(verdict.regret!.step.mean).toBe(0);
    expect(reasonOf(verdict)).toMatch(/Better than the last: step 5\. Worse than the last: step 0\./);
  });

  it("a worse step between good ones ends the walk back from the last", () => {
    const verdict = verdictOf(planted([0.1, 0.1, 0.3, 0.1, 0.1], 0.01));
    expect(verdict).toMatchObject({ step: 20, worse: [10], better: [] });
    expect(verdict.equivalent).toEqual([0, 5, 20]);
  });

  it("every earlier step better: the first is the answer, not the last", () => {
    const verdict = verdictOf(planted([0.16, 0.17, 0.16, 0.15, 0.34], 0.05));
    expect(verdict).toMatchObject({ step: 0, better: [0, 5, 10, 20], worse: [], equivalent: [] });
    expect(reasonOf(verdict)).toMatch(
      /Every earlier probed step is better than the last\..*stopping at 50 costs/,
    );
  });

  it("earlier steps that are better do not count before one that is worse, and the reason says so", () => {
    const verdict = verdictOf(planted([0.1, 0.1, 0.1, 0.6, 0.3], 0.05));
    expect(verdict).toMatchObject({ step: 50, better: [0, 5, 10], worse: [20] });
    expect(reasonOf(verdict)).toMatch(
      /^Step 20, the one before the last, is not shown to be as good: step 20 is worse by .* every later one is as good too\. Better than the last: steps 0, 5, 10\./,
    );
  });

  it("no earlier step as good: says by how much, or that it may be", () => {
    const worse = verdictOf(planted([0.5, 0.4, 0.3, 0.2, 0.1], 0.01));
    expect(worse.step).toBe(50);
    expect(reasonOf(worse)).toMatch(
      /^No earlier probed step is shown to be as good: step 20 is worse by 0\.\d+ \[/,
    );
    const unclear = verdictOf(planted([0.1, 0.1, 0.1, 0.1, 0.1], 0.4));
    expect(unclear.step).toBe(50);
    expect(reasonOf(unclear)).toMatch(/step 20 may be worse by up to 0\.\d+, and the margin is 0\.0500/);
    for (const text of [worse, unclear].map(reasonOf)) expect(text).not.toMatch(/match/);
  });
});

describe("the rule", () => {
  it("wants the whole interval under the margin, not the mean", () => {
    const narrow = verdictOf(planted([0.5, 0.4, 0.14, 0.11, 0.1], 0.005));
    expect(narrow.step).toBe(10);
    const wide = verdictOf(planted([0.5, 0.4, 0.14, 0.11, 0.1], 0.05));
    expect(wide.difference![2]).toBeLessThan(0.06);
    expect(wide.step).toBe(20);
  });

  it("has the margin that is asked for", () => {
    const perEpisode = planted([0.5, 0.4, 0.14, 0.11, 0.1], 0.005);
    expect(verdictOf(perEpisode, { margin: 0.5 })).toMatchObject({
      step: 0,
      margin: { value: 0.5, source: "option" },
    });
    expect(verdictOf(perEpisode, { margin: 1e-6 }).step).toBe(50);
    expect(verdictOf(perEpisode, { margin: 0.5, floors: [] }).step).toBe(0);
  });

  it("seldom calls a step sufficient that is worse by the margin: 2.5 % of experiments or fewer, but for chance", () => {
    let wrong = 0;
    for (let i = 0; i < 300; i++)
      if (verdictOf(planted([0.15, 0.15, 0.15, 0.15, 0.1], 0.05, 12, i), bootstrapOf(12)).step !== 50)
        wrong++;
    // 300 at 2.5 %: 7.5 expected, standard deviation 2.7.
    expect(wrong).toBeLessThan(7.5 + 3 * 2.7);
  });

  it("Holm: no false names among many equal steps, 2.5 % of experiments a side but for chance", () => {
    let [better, worse] = [0, 0];
    for (let i = 0; i < 300; i++) {
      const verdict = verdictOf(planted([0.1, 0.1, 0.1, 0.1, 0.1], 0.05, 12, i), bootstrapOf(12));
      if (verdict.better.length > 0) better++;
      if (verdict.worse.length > 0) worse++;
    }
    expect(better).toBeLessThan(7.5 + 3 * 2.7);
    expect(worse).toBeLessThan(7.5 + 3 * 2.7);
    expect(holm([0.001, 0.02, 0.009, 0.5], 0.025)).toEqual([true, false, false, false]);
    expect(holm([0.001, 0.012, 0.008, 0.5], 0.025)).toEqual([true, true, true, false]);
    expect(holm([], 0.025)).toEqual([]);
  });
});

const bootstrapOf = (episodes: number) => ({ bootstrap: clusterBootstrap(episodes, { resamples: 1000 }) });

describe("undetermined, with the reason", () => {
  const good = planted([0.1, 0.1, 0.1, 0.1, 0.1], 0.01);
  const cases: [string, ReturnType<typeof verdictOf>, RegExp][] = [
    ["no truth", verdictOf(good, { toTruth: null, truthScale: null }), /^The true actions are not known\.$/],
    ["scale", verdictOf(good, { truthScale: 1e25 }), /1\.0e25 times as large as the decoded ones/],
    ["few", verdictOf(good.slice(0, 7)), /^7 episodes give no verdict; 8 are the fewest\.$/],
    [
      "copies",
      verdictOf(good, { bootstrap: clusterBootstrap(good.map((_, e) => e % 7)) }),
      /^Of 24 episodes 7 are independent, the others are copies; 8 are the fewest\.$/,
    ],
    ["one", verdictOf(good.slice(0, 1)), /^1 episode gives no verdict; 8/],
    ["no floor", verdictOf(good, { floors: [] }), /Nothing is known against which.*--margin/],
    [
      "constant actions",
      verdictOf(good, { floors: [{ name: "hold_still", error: 0 }] }),
      /The margin is 0 \(5 % of the hold-still error\), so no difference is small\./,
    ],
    [
      "infinite",
      verdictOf(good, { floors: [{ name: "dataset_mean", error: Number.POSITIVE_INFINITY }] }),
      /The margin is Infinity \(5 % of the error of the dataset mean\)/,
    ],
    [
      "worse than holding still",
      verdictOf(good, { floors: [{ name: "hold_still", error: 0.05 }] }),
      /The error of the last step, 0\.\d+, is not below the hold-still error, 0\.0500/,
    ],
    [
      "worse than holding still, whatever the margin",
      verdictOf(good, { floors: [{ name: "hold_still", error: 0.05 }], margin: 10 }),
      /is not below the hold-still error/,
    ],
    [
      "only the last step",
      sufficientStep({
        steps: [50],
        toTruth: { perEpisode: good.map(() => [0.1]) },
        truthScale: 1,
        floors: [holdStill],
        bootstrap: clusterBootstrap(good.length),
      }),
      /^Only the last step was probed\.$/,
    ],
  ];
  it.each(cases)("%s", (_, verdict, reason) => {
    expect(reasonOf(verdict)).toMatch(reason);
    expect(verdict).toMatchObject({ step: null, better: [], worse: [], equivalent: [], regret: null });
    expect(verdictResult(verdict, steps)).toMatchObject({ status: "undetermined", step: null });
  });
});
