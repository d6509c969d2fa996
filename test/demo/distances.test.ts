/** Two runs against each other. */
import { expect, test } from "vitest";
import { apartSentence, distances } from "../../demo/distances.ts";

test("distances are known where both sides are, and said as they are", () => {
  const chunk = (value: number): Float32Array => Float32Array.of(value, value);
  const found = distances([0, 5, 10], [chunk(0), chunk(1), undefined], [chunk(3), chunk(0), chunk(0)]);
  expect(found).toEqual([
    { step: 0, distance: 9 },
    { step: 5, distance: 1 },
  ]);
  expect(apartSentence(found, 0, 10, 4)).toBe(
    "the two actions are 9.00 (225 % of standing still) apart at step 0 of 10; at step 5 1.00 (25 % of standing still).",
  );
  expect(apartSentence(found, 5, 10, undefined)).toBe("the two actions are 1.00 apart at step 5 of 10.");
  expect(apartSentence(found, 10, 10, 4)).toMatch(/only one side/);
});
