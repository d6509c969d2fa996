/** What is measured when nothing is asked, and what a system's axes allow. */
import { describe, expect, it } from "vitest";
import type { ProbeSettings } from "../../src/probe/experiment/measurement.ts";
import { completeSettings } from "../../src/probe/experiment/settings.ts";
import type { Defaults, Subject } from "../../src/probe/subject.ts";

interface Has {
  count?: number;
  defaults?: Defaults;
  budget?: readonly number[];
  /** how many of the states cannot be read */
  unread?: number;
}

function complete(settings: Partial<ProbeSettings>, { count = 64, defaults, budget, unread = 0 }: Has = {}) {
  const subject = {
    ...{ items: { count }, defaults, pairsSeeds: false },
    axes: {
      budget,
      stop: (steps = 50) => ({ steps, times: Array.from({ length: steps + 1 - unread }, (_, k) => -k) }),
    },
  } as unknown as Subject;
  return completeSettings({ modelDir: "", ...settings }, subject);
}

const TOY = { episodes: 24, probeSteps: [0, 0.1, 0.4, 1], videoSeeds: [0] };

describe("defaults", () => {
  it("are the probe's own, or the system's", () => {
    expect(complete({})).toMatchObject({
      ...{ episodes: [0, 1, 2, 3], probeSteps: [0, 5, 10, 20, 40, 50], videoSeeds: [0, 1] },
      budgets: undefined,
    });
    const toy = complete({}, { defaults: TOY });
    expect(toy.episodes).toEqual(Array.from({ length: 24 }, (_, e) => e));
    expect(toy).toMatchObject({ probeSteps: [0, 5, 20, 50], videoSeeds: [0] });
    expect(complete({ videoSteps: 3 }, { defaults: TOY, count: 8 })).toMatchObject({
      ...{ probeSteps: [0, 1, 3], episodes: [0, 1, 2, 3, 4, 5, 6, 7] },
    });
  });

  it("give way to what is asked", () => {
    const asked = { episodes: "all", videoSeeds: [4, 2], probeSteps: [7] } as const;
    expect(complete({ ...asked, videoSeeds: [4, 2] }, { defaults: TOY, count: 9 })).toMatchObject({
      ...{ episodes: [0, 1, 2, 3, 4, 5, 6, 7, 8], videoSeeds: [4, 2], probeSteps: [7, 50] },
    });
  });
});

describe("budgets", () => {
  const has = { defaults: TOY, budget: [1] };

  it("end in the schedule of the stop axis, and default steps cost the same", () => {
    expect(complete({ budgets: [1, 5] }, has)).toMatchObject({
      budgets: [1, 5, 50],
      probeSteps: [0, 1, 5, 20, 50],
    });
    expect(complete({ budgets: [2, 50], probeSteps: [3] }, has)).toMatchObject({
      ...{ budgets: [2, 50], probeSteps: [3, 50] },
    });
  });

  it.each<[readonly number[], Has, RegExp]>([
    [[1, 51, 60], has, /51, 60 is more than the 50 video steps of the reference.*1\.\.50/],
    [[1], { defaults: TOY }, /cannot be read at their ends/],
    // A schedule whose end is not read.
    [[1], { ...has, unread: 1 }, /cannot be read at their ends/],
  ])("%j are refused", (budgets, subject, message) => {
    expect(() => complete({ budgets }, subject)).toThrow(message);
  });
});
