/** Histories of connections: which of the frames that came are taken for those the policy looks at. */
import { describe, expect, test } from "vitest";
import { History, nearestRequests, stackSeen } from "../../src/server/history.ts";
import type { Picture } from "../../src/systems/policy.ts";

const camera = { name: "top", frames: 5, interval: 0.2, size: [1, 1] as const };
const shot = (value: number): Picture => ({ width: 1, height: 1, rgb: Uint8Array.of(value, 0, 0) });
const values = (frames: readonly Picture[]): number[] => frames.map(({ rgb }) => rgb[0]);

describe("how many requests ago", () => {
  test.each([
    ["as far apart as the policy's", 5, 0.2, 5, [4, 3, 2, 1, 0]],
    ["six times as many", 5, 0.2, 30, [24, 18, 12, 6, 0]],
    ["one in four frames, halfway the newer", 5, 0.2, 1.25, [1, 1, 0, 0, 0]],
    ["halfway in spite of rounding", 4, 0.1, 5, [1, 1, 0, 0]],
    ["a replan every second", 5, 0.2, 1, [1, 1, 0, 0, 0]],
    ["one frame", 1, 0.2, 10, [0]],
  ])("%s", (_, frames, interval, hz, expected) => {
    expect(nearestRequests(frames, interval, hz)).toEqual(expected);
  });

  test("none is nearer", () => {
    for (const hz of [0.7, 3, 5, 11.3, 29.97])
      nearestRequests(7, 0.2, hz).forEach((step, i) => {
        const age = (6 - i) * 0.2;
        for (let other = 0; other < 60; other++)
          expect(Math.abs(step / hz - age)).toBeLessThanOrEqual(Math.abs(other / hz - age) + 1e-9);
      });
  });
});

test("the first frame stands in for those before it, and old ones are let go", () => {
  const history = new History([camera], 5);
  const seen: number[][] = [];
  const ages: number[] = [];
  for (let k = 0; k < 8; k++) {
    const look = history.with("top", shot(k));
    seen.push(values(look.frames));
    ages.push(look.ages[0]);
    history.keep("top", shot(k));
  }
  expect(seen[0]).toEqual([0, 0, 0, 0, 0]);
  expect(seen[2]).toEqual([0, 0, 0, 1, 2]);
  expect(seen[7]).toEqual([3, 4, 5, 6, 7]);
  expect(ages).toEqual([0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8]);
  history.clear();
  expect(values(history.with("top", shot(9)).frames)).toEqual([9, 9, 9, 9, 9]);
});

test("what is kept is a copy", () => {
  const history = new History([camera], 5);
  const first = shot(1);
  history.keep("top", first);
  first.rgb[0] = 99;
  expect(values(history.with("top", shot(2)).frames)).toEqual([1, 1, 1, 1, 2]);
});

test("of a stack the last ones, the first repeated where there are fewer", () => {
  const stack = [1, 2, 3].map(shot);
  const seen = stackSeen(camera, stack);
  expect(values(seen.frames)).toEqual([1, 1, 1, 2, 3]);
  expect(seen.ages).toEqual([0.4, 0.4, 0.4, 0.2, 0]);
  expect(values(stackSeen({ ...camera, frames: 2 }, stack).frames)).toEqual([2, 3]);
});
