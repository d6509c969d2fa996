/** Figures of populations: the definitions of reference.json on sets that need no network, and the samples of the digits. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { frechetTo, moments, symmetricEigen } from "../../../src/systems/meanflow/frechet.ts";
import { type Evaluation, openEvaluation } from "../../../src/systems/meanflow/evaluation.ts";
import { populationOf } from "../../../src/systems/meanflow/population.ts";
import type { Population } from "../../../src/probe/subject.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { DIGITS, expectFigures, figuresOf, openDigits, reference, stored } from "./digits.ts";

// A thousand samples in four calls: 20 s on two quiet cores.
vi.setConfig({ testTimeout: 600_000 });

let evaluation: Evaluation;
let population: Population;
beforeAll(async () => {
  const source = await openWeights(`${DIGITS}/eval.safetensors`);
  const pictures = { channels: 1, rows: 8, columns: 8, top: 16, rounding: "nearest" } as const;
  evaluation = await openEvaluation(await testGpu(), source, { pictures, shape: [1, 8, 8], classes: 10 });
  await source.close();
  population = await populationOf(evaluation);
});
afterAll(() => evaluation.release());

describe("sets without a network", () => {
  it("training pictures, and the mean of each class", () => {
    const { floors } = reference;
    expectFigures(population.floors[0].values, floors["training images against held-out images"]);
    expectFigures(population.floors[1].values, floors["the mean image of each class, 100 times"]);
  });

  it("the held-out pictures themselves", async () => {
    const { pixels, labels } = evaluation.heldOut;
    expectFigures(
      await figuresOf(pixels, labels, evaluation, population),
      reference.floors["held-out images themselves"],
    );
  });

  it("noise", async () => {
    const noise = await stored("noise", "noise");
    const labels = Array.from({ length: 1000 }, (_, i) => i % 10);
    expectFigures(await figuresOf(noise, labels, evaluation, population), reference.floors.noise);
  });
});

describe("the Fréchet distance", () => {
  it("of two lines is (m₁ − m₂)² + (s₁ − s₂)²", () => {
    const line = (mean: number, deviation: number) => ({
      mean: Float64Array.of(mean),
      covariance: Float64Array.of(deviation ** 2),
    });
    expect(frechetTo(line(1, 2))(line(4, 0.5))).toBeCloseTo(9 + 2.25, 12);
  });

  it("of counted rows is that of rows as often", () => {
    const rows = Float64Array.from({ length: 5 * 3 }, (_, i) => Math.sin(3 * i) * (1 + (i % 3)));
    const counts = [2, 0, 1, 3, 1];
    const repeated = counts.flatMap((count, i) =>
      Array.from({ length: count }, () => [...rows.subarray(3 * i, 3 * i + 3)]).flat(),
    );
    const [a, b] = [moments(rows, 3, counts), moments(Float64Array.from(repeated), 3)];
    for (const [i, value] of b.mean.entries()) expect(a.mean[i]).toBeCloseTo(value, 12);
    for (const [i, value] of b.covariance.entries()) expect(a.covariance[i]).toBeCloseTo(value, 12);
  });

  it("eigenvalues and vectors give the matrix back", () => {
    const D = 7;
    const half = Float64Array.from({ length: D * D }, (_, i) => Math.cos(i * i));
    const matrix = half.map((x, i) => x + half[(i % D) * D + Math.floor(i / D)]);
    const { values, vectors } = symmetricEigen(matrix, D, true);
    for (let i = 0; i < D; i++)
      for (let j = 0; j < D; j++) {
        const sum = values.reduce((s, value, k) => s + value * vectors[i * D + k] * vectors[j * D + k], 0);
        expect(sum).toBeCloseTo(matrix[i * D + j], 10);
      }
  });
});

describe.each(["average", "instant"])("1000 samples, %s", (rule) => {
  it.each([1, 2, 4])("%i calls", async (calls) => {
    const opened = await openDigits();
    const sampler = opened.sampler!();
    const noise = await stored("noise", "noise");
    const samples = new Float32Array(1000 * 64);
    for (let from = 0; from < 1000; from += 100) {
      const labels = Array.from({ length: 100 }, (_, i) => i % 10);
      const drawn = sampler.draw({
        labels,
        noise: noise.subarray(from * 64, (from + 100) * 64),
        calls,
        rule,
      });
      for await (const state of drawn)
        if (state.step === state.steps) samples.set(await state.read(), from * 64);
    }
    await opened.release();
    expectFigures(
      await figuresOf(
        samples,
        Array.from({ length: 1000 }, (_, i) => i % 10),
        ...([evaluation, population] as const),
      ),
      reference.sets[`${rule}.${calls}`],
    );
  });
});
