/** The steps of a run as a film. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Tour } from "../../demo/tour.ts";

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

/** Steps that are shown while `seconds` pass, sixty frames in each. */
function watch(tour: Tour, count: number, seconds: number, from = 0): number[] {
  const shown = [from];
  for (let frame = 0; frame < 60 * seconds; frame++) {
    now += 1000 / 60;
    const next = tour.due(now, shown.at(-1)!, count);
    if (next !== undefined) shown.push(next);
  }
  return shown;
}

test("goes from step to step in order, stays at the last, and begins again", () => {
  const tour = new Tour();
  tour.start();
  expect(watch(tour, 4, 20).slice(0, 9)).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 0]);
});

test("shows all of eight steps within ten seconds, the second within two", () => {
  const tour = new Tour();
  tour.start();
  expect(watch(tour, 8, 2)).toEqual([0, 1]);
  tour.start();
  expect(watch(tour, 8, 10).slice(0, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test("goes nowhere before it is started, and when it is stopped", () => {
  const tour = new Tour();
  expect(tour.playing).toBe(false);
  expect(watch(tour, 4, 10)).toEqual([0]);
  tour.start();
  expect(tour.playing).toBe(true);
  tour.stop();
  expect(watch(tour, 4, 10, 2)).toEqual([2]);
});
