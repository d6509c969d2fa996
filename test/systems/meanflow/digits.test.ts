/** The digits that ship: samples as the reference's, in every number of calls and by both rules. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Held } from "../../../src/probe/subject.ts";
import { joined } from "../../../src/systems/arrays.ts";
import type { Opened } from "../../../src/systems/system.ts";
import type { Sampler } from "../../../src/systems/sampler.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { relativeError } from "../../support/numbers.ts";
import { DIGITS, openDigits, stored } from "./digits.ts";

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

it("is as straight as its own one-call samples say", async () => {
  const subject = await opened.subject(await openModelFolder(DIGITS));
  const item = await subject.items.read(7);
  const noise = [3, 4].map((seed) => subject.noise(item, seed));
  const asked = (await subject.encode(item, 2)) as Held;
  const meter = subject.straightness!;
  expect(meter.of).toBe("the network's flow");
  const steps = { inner: 0, stop: 2 };
  expect(meter.times(steps)).toEqual([0, 0.5]);
  const nothing = { tap: [], time: 0 };
  const { residual, bend, speed } = await meter.measure(asked, nothing, noise, [], steps, {});
  expect([residual.length, bend!.length, speed.length]).toEqual([4, 4, 4]);
  // From pure noise u(x, 0, 1) and v = u(x, 0, 0) are what one call of either rule adds.
  const begins = joined(noise.map(([own]) => own));
  const [jumped, stepped] = [await oneCall(begins, "average"), await oneCall(begins, "instant")];
  for (const sample of [0, 1]) {
    const part = (all: Float32Array): Float32Array => all.subarray(64 * sample, 64 * (sample + 1));
    expect(bend![2 * sample]).toBeCloseTo(distance(part(jumped), part(stepped)), 4);
    expect(speed[2 * sample]).toBeCloseTo(distance(part(stepped), part(begins)), 4);
    expect(residual[2 * sample]).toBeLessThan(bend![2 * sample]);
  }
  asked.dispose();
  await subject.close();
});

const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));

async function oneCall(noise: Float32Array, rule: string): Promise<Float32Array> {
  let samples = noise;
  for await (const drawn of sampler.draw({ labels: [7, 7], noise, calls: 1, rule }))
    samples = await drawn.read();
  return samples;
}
