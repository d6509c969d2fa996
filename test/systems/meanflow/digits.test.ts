/** The digits that ship: samples as the reference's, in every number of calls and by both rules. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Opened } from "../../../src/systems/system.ts";
import type { Sampler } from "../../../src/systems/sampler.ts";
import { relativeError } from "../../support/numbers.ts";
import { openDigits, stored } from "./digits.ts";

let opened: Opened;
let sampler: Sampler;
beforeAll(async () => {
  opened = await openDigits();
  sampler = opened.sampler!();
});
afterAll(() => opened.release());

const ROWS = 100;

describe.each(["average", "instant"])("%s", (rule) => {
  it.each([1, 2, 4])("%i calls", async (calls) => {
    const noise = (await stored("noise", "noise")).subarray(0, ROWS * 64);
    const labels = Array.from({ length: ROWS }, (_, row) => row % 10);
    for await (const drawn of sampler.draw({ labels, noise, calls, rule })) {
      if (drawn.step < drawn.steps) continue;
      const error = relativeError(await drawn.read(), await stored("reference", `${rule}.${calls}`));
      expect(error).toBeLessThan(2e-5);
    }
    expect.assertions(1);
  });
});
