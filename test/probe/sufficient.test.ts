import { describe, expect, it } from "vitest";
import { clusterBootstrap } from "../../src/probe/statistics/bootstrap.ts";
import { sufficientStep } from "../../src/probe/statistics/sufficient.ts";

const steps = [0, 5, 10, 20, 50];
const six = clusterBootstrap(6);

/** Six episodes around a curve, each off by its own constant plus an uneven share of `noise` at every step but the last. */
function curve(mean: number[], noise = 0) {
  const share = [-1, -0.6, -0.1, 0.2, 0.5, 1];
  return {
    perEpisode: share.map((s, e) => mean.map((m, k) => m + 0.3 * e + (k < mean.length - 1 ? noise * s : 0))),
  };
}

describe("sufficient step", () => {
  it("is the first step within 5 % of the hold-still error", () => {
    const found = sufficientStep(steps, curve([0.5, 0.3, 0.14, 0.11, 0.1], 0.01), 1, six);
    expect(found.step).toBe(10);
    expect(found.tolerance).toBe(0.05);
    expect(found.leavesAgain).toEqual([]);
    expect(found.difference![2]).toBeCloseTo(0.04, 10);
    expect(found.reason).toMatch(/Between 5 and 10 nothing was probed/);
  });

  it("wants the whole interval inside, not the mean", () => {
    expect(sufficientStep(steps, curve([0.5, 0.3, 0.14, 0.11, 0.1], 0.05), 1, six).step).toBe(20);
  });

  it("treats better than the last step like worse: outside is outside", () => {
    const found = sufficientStep(steps, curve([0.1, 0.02, 0.02, 0.02, 0.1], 0.001), 1, six);
    expect(found.step).toBe(0);
    expect(found.leavesAgain).toEqual([5, 10, 20]);
    expect(found.betterThanLast).toEqual([5, 10, 20]);
    expect(found.reason).toMatch(/not monotone: at steps 5, 10, 20/);
  });

  it("says so when only the last step qualifies", () => {
    const found = sufficientStep(steps, curve([0.5, 0.4, 0.3, 0.2, 0.1]), 1, six);
    expect(found.step).toBe(50);
    expect(found.reason).toMatch(/No earlier probed step/);
  });

  it("is null with the reason", () => {
    expect(sufficientStep(steps, null, 1, six)).toMatchObject({
      step: null,
      reason: "The true actions are not known.",
    });
    expect(sufficientStep(steps, curve([1, 1, 1, 1, 1]), null, six).reason).toMatch(/no scale/);
    const one = { perEpisode: [[1, 1, 1, 1, 1]] };
    expect(sufficientStep(steps, one, 1, clusterBootstrap(1)).reason).toMatch(/at least two/);
    expect(sufficientStep([50], { perEpisode: [[1], [2]] }, 1, clusterBootstrap(2)).step).toBeNull();
  });
});
