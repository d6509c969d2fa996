import { describe, expect, it } from "vitest";
import { clusterBootstrap, mulberry32 } from "../../src/probe/statistics/bootstrap.ts";

/** Fraction of 95 % intervals that hold the true mean 0, for normal clusters. */
function coverage(clusters: number, trials: number): number {
  const random = mulberry32(7);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  let held = 0;
  for (let trial = 0; trial < trials; trial++) {
    const bootstrap = clusterBootstrap(clusters, { resamples: 400, seed: trial });
    const { low, high } = bootstrap(Array.from({ length: clusters }, normal))!;
    if (low <= 0 && high >= 0) held++;
  }
  return held / trials;
}

describe("cluster bootstrap", () => {
  it("covers as its header says", () => {
    const measured = [4, 8, 30].map((clusters) => coverage(clusters, 1000));
    expect(measured[0]).toBeGreaterThan(0.75);
    expect(measured[0]).toBeLessThan(0.85);
    expect(measured[1]).toBeGreaterThan(0.85);
    expect(measured[1]).toBeLessThan(0.92);
    expect(measured[2]).toBeGreaterThan(0.915);
    expect(measured[2]).toBeLessThan(0.965);
  });

  it("is decided by its seed, pairs quantities, and has no width without spread", () => {
    const values = [1.31, 2.17, 4.77, 8.09, 16.43, 3.3, 5.9, 0.71, 9.97, 7.13, 6.01];
    const one = clusterBootstrap(11, { seed: 3 });
    expect(clusterBootstrap(11, { seed: 3 })(values)).toEqual(one(values));
    expect(clusterBootstrap(11, { seed: 4 })(values)).not.toEqual(one(values));
    const shifted = one(values.map((value) => value + 100))!;
    expect(shifted.low - 100).toBeCloseTo(one(values)!.low, 10);
    expect(one(new Array(11).fill(2))).toEqual({ low: 2, high: 2 });
  });

  it("is null for one cluster and refuses bad input", () => {
    expect(clusterBootstrap(1)([3])).toBeNull();
    expect(() => clusterBootstrap(2)([1])).toThrow(/1 values for 2 episodes/);
    expect(() => clusterBootstrap(2, { level: 95 })).toThrow(/between 0 and 1/);
    expect(() => clusterBootstrap(2, { resamples: 0 })).toThrow(/at least 1/);
  });
});
