import { describe, expect, it } from "vitest";
import { type Contender, measure, median, plan } from "../../bench/measure.ts";

describe("plan", () => {
  it("makes batches long enough for the clock, and as many rounds as the budget allows", () => {
    // 0.001 s a job: 40 of them a batch.
    expect(plan([0.001, 0.1], { rounds: 5, budget: 60 })).toEqual({ times: [40, 1], rounds: 5 });
    expect(plan([1, 2], { rounds: 5, budget: 12 })).toEqual({ times: [1, 1], rounds: 3 });
  });

  it("measures twice at least, unless the first turns alone used up the budget", () => {
    expect(plan([1, 2], { rounds: 5, budget: 4 }).rounds).toBe(2);
    expect(plan([3, 4], { rounds: 5, budget: 6 }).rounds).toBe(0);
  });
});

describe("measure", () => {
  /** Counts its jobs; says that each took so many processor seconds elsewhere. */
  const contender = (name: string, calls: string[], seconds: number): Contender => ({
    name,
    run: async (times) => {
      calls.push(`${name}${times}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return seconds * times;
    },
  });

  it("lets the contenders take turns", async () => {
    const calls: string[] = [];
    const contenders = [contender("a", calls, 0), contender("b", calls, 0)];
    const measures = await measure(contenders, { rounds: 2, budget: 10 });
    expect(calls.slice(2)).toEqual(["a1", "b1", "a1", "b1"]);
    expect(measures.map(({ name, rounds, times }) => [name, rounds, times])).toEqual([
      ["a", 2, 1],
      ["b", 2, 1],
    ]);
    for (const m of measures) expect(m.lowest <= m.seconds && m.seconds <= m.highest).toBe(true);
    expect(measures[0].ratio).toBe(1);
  });

  it("counts processor time that was spent in another process", async () => {
    const calls: string[] = [];
    const [a, b] = await measure([contender("a", calls, 100), contender("b", calls, 300)], {
      ...{ rounds: 2, budget: 10 },
    });
    expect(a.cpuSeconds).toBeGreaterThan(99);
    expect(b.cpuRatio).toBeCloseTo(3, 1);
  });

  it("takes the checking run as the first turn where it is given", async () => {
    const calls: string[] = [];
    const long = { ...contender("a", calls, 0), checked: { wall: 20, cpu: 30 } };
    const [a, b] = await measure([long, contender("b", calls, 0)], { rounds: 5, budget: 10 });
    expect(calls).toEqual(["b1"]);
    expect([a.seconds, a.cpuSeconds]).toEqual([20, 30]);
    expect(b.seconds).toBeLessThan(20);
  });

  it("keeps the first turns where they used up the budget", async () => {
    const calls: string[] = [];
    const [a] = await measure([contender("a", calls, 0)], { rounds: 5, budget: 0.001 });
    expect(calls).toEqual(["a1"]);
    expect([a.rounds, a.times]).toEqual([1, 1]);
  });
});

describe("median", () => {
  it("is the middle, or the mean of the two in the middle", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});
