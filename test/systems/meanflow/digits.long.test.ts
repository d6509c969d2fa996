/** All ten sets of the digits' reference: its samples, and its figures from a thousand of our own. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEvaluation, type Evaluation } from "../../../src/systems/meanflow/evaluation.ts";
import { populationOf } from "../../../src/systems/meanflow/population.ts";
import type { Opened } from "../../../src/systems/system.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError } from "../../support/numbers.ts";
import { DIGITS, expectFigures, figuresOf, openDigits, reference, stored } from "./digits.ts";

let opened: Opened;
let evaluation: Evaluation;
beforeAll(async () => {
  opened = await openDigits();
  const source = await openWeights(`${DIGITS}/eval.safetensors`);
  const pictures = { channels: 1, rows: 8, columns: 8, top: 16, rounding: "nearest" } as const;
  evaluation = await openEvaluation(await testGpu(), source, { pictures, shape: [1, 8, 8], classes: 10 });
  await source.close();
});
afterAll(async () => {
  evaluation.release();
  await opened.release();
});

const ROWS = 1000;
const BATCH = 100;

describe.each(["average", "instant"])("%s", (rule) => {
  it.each([1, 2, 4, 8, 32])("%i calls", async (calls) => {
    const sampler = opened.sampler!();
    const noise = await stored("noise", "noise");
    const labels = Array.from({ length: ROWS }, (_, row) => row % 10);
    const samples = new Float32Array(ROWS * 64);
    for (let from = 0; from < ROWS; from += BATCH) {
      const part = noise.subarray(from * 64, (from + BATCH) * 64);
      const own = labels.slice(from, from + BATCH);
      for await (const state of sampler.draw({ labels: own, noise: part, calls, rule }))
        if (state.step === calls) samples.set(await state.read(), from * 64);
    }
    const expected = await stored("reference", `${rule}.${calls}`);
    expect(relativeError(samples.subarray(0, expected.length), expected)).toBeLessThan(2e-5);
    const population = await populationOf(evaluation);
    expectFigures(
      await figuresOf(samples, labels, evaluation, population),
      reference.sets[`${rule}.${calls}`],
    );
  });
});
