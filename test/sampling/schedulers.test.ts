/** Schedulers through the loop, on Gaussian data, where the perfect network and every solver's limit are known in closed form. */
import { describe, expect, it } from "vitest";
import { affine, multiply } from "../../src/kernels/elementwise.ts";
import { classifierFree, type Denoiser, guided, windowed } from "../../src/sampling/denoiser.ts";
import { linspace } from "../../src/sampling/grid.ts";
import { sample } from "../../src/sampling/sample.ts";
import type { Scheduler } from "../../src/sampling/scheduler.ts";
import {
  edmHeun,
  exponentialAb2,
  karras,
  karrasSigmas,
  meanFlow,
  RECTIFIED_FLOW,
} from "../../src/sampling/schedulers.ts";
import {
  createTensor,
  readTensor,
  releaseTensor,
  type Tensor,
  writeTensor,
} from "../../src/tensor/tensor.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { compute, testGpu, upload } from "../support/gpu.ts";

/** A network that is a factor at every time: f = factor(call) · input. */
function linearNetwork(gpu: Gpu, factor: (at: number, until?: number) => number): Denoiser {
  const scale = createTensor(gpu, [1]);
  return {
    evaluate: (x: Tensor) => ({ output: multiply(x, scale), tapped: [affine(x, 1)] }),
    setCall: ({ at, until }) => writeTensor(gpu, scale, Float32Array.of(factor(at, until))),
    dispose: () => releaseTensor(gpu, scale),
  };
}

async function end(gpu: Gpu, denoiser: Denoiser, start: number, scheduler: Scheduler): Promise<number> {
  const x = upload(gpu, [1], Float32Array.of(start));
  for await (const { step, steps } of sample(gpu, denoiser, x, { scheduler })) if (step === steps) break;
  const [value] = await readTensor(gpu, x);
  releaseTensor(gpu, x);
  denoiser.dispose?.();
  return value;
}

/** Data of standard deviation s: E[x₀ | x = x₀ + σε] = s²/(s² + σ²)·x, and the flow keeps x / √(s² + σ²). */
const s = 0.5;
const flowTo = (x: number, from: number, to: number): number => (x * Math.hypot(s, to)) / Math.hypot(s, from);

describe("schedulers on Gaussian data", () => {
  // The clean estimate is skip·x + out·f(in·x); the perfect f makes it s²/(s² + σ²)·x.
  const perfect = (model: typeof RECTIFIED_FLOW) => (sigma: number) =>
    (s ** 2 / (s ** 2 + sigma ** 2) - model.skip(sigma)) / (model.out(sigma) * model.in(sigma));

  it.each([
    ["exponential AB2, rectified flow", exponentialAb2, RECTIFIED_FLOW],
    ["exponential AB2, Karras", exponentialAb2, karras(1)],
    ["EDM's Heun", edmHeun, karras(1)],
  ] as const)("%s converges with order 2", async (_, scheduler, model) => {
    const gpu = await testGpu();
    const error = async (steps: number): Promise<number> => {
      const sigmas = karrasSigmas(steps, 10, 0.1);
      const network = linearNetwork(gpu, perfect(model));
      const got = await end(
        gpu,
        network,
        10,
        scheduler(sigmas, model, (sigma) => sigma),
      );
      return Math.abs(got - flowTo(10, 10, 0.1));
    };
    const ratio = (await error(12)) / (await error(24));
    expect(Math.log2(ratio)).toBeGreaterThan(1.6);
    expect(await error(24)).toBeLessThan(0.02);
  });

  it("EDM's Heun ends at σ = 0 with an Euler step, on the clean estimate", async () => {
    const gpu = await testGpu();
    const model = karras(1);
    const calls: number[] = [];
    const network = linearNetwork(gpu, (sigma) => {
      calls.push(sigma);
      return perfect(model)(sigma);
    });
    await end(
      gpu,
      network,
      3,
      edmHeun([2, 1, 0], model, (sigma) => sigma),
    );
    expect(calls).toEqual([2, 1, 1]);
  });

  it("the exponential AB2 has the reference's coefficients", () => {
    const sigmas = karrasSigmas(35, 80, 0.002);
    const scheduler = exponentialAb2(sigmas, RECTIFIED_FLOW, (sigma) => sigma / (1 + sigma));
    expect(sigmas[18]).toBeCloseTo(2.21074187, 7);
    expect(scheduler.step(0).predict).toEqual({ x: sigmas[1] / 80, clean: (80 - sigmas[1]) / 80 });
    const check = (i: number, x: number, clean: number, past: number): void => {
      const { predict } = scheduler.step(i);
      expect(predict.x).toBeCloseTo(x, 9);
      expect(predict.clean).toBeCloseTo(clean, 9);
      expect(predict.past![0]).toBeCloseTo(past, 9);
    };
    check(1, 0.850962552, 0.227324017, -0.078286569);
    check(34, 0.5090726985, 0.7901429459, -0.2992156444);
    expect(scheduler.input!(0)).toBeCloseTo(1 / 81, 15);
  });

  it("MeanFlow is exact over any interval", async () => {
    const gpu = await testGpu();
    // x_t = (1 − t)·x₀ + t·ε: the flow keeps x over the deviation of x_t.
    const deviation = (t: number): number => Math.hypot((1 - t) * s, t);
    const average = (t: number, r = t): number => (1 - deviation(r) / deviation(t)) / (t - r);
    for (const grid of [[1, 0], [1, 0.7, 0], linspace(1, 0, 5)]) {
      const got = await end(gpu, linearNetwork(gpu, average), 2, meanFlow(grid));
      expect(got).toBeCloseTo(2 * s, 5);
    }
  });

  it("is left by leaving the loop, and frees what it held", async () => {
    const gpu = await testGpu();
    const network = linearNetwork(gpu, () => 1);
    const x = upload(gpu, [1], Float32Array.of(1));
    const before = gpu.memory.usage.inUse;
    const scheduler = exponentialAb2([4, 2, 1], RECTIFIED_FLOW, (sigma) => sigma);
    for await (const state of sample(gpu, network, x, { scheduler })) {
      await state.tapped();
      if (state.step === 1) break;
    }
    expect(gpu.memory.usage.inUse).toBe(before);
  });

  it("keeps frames that are given, and stops where it is told to", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [2], Float32Array.of(1, 1));
    const mask = upload(gpu, [2], Float32Array.of(0, 1));
    const scheduler = exponentialAb2([1, 0.5, 0.25], RECTIFIED_FLOW, (sigma) => sigma);
    const seen: number[][] = [];
    const constrain = (clean: Tensor): Tensor => multiply(clean, mask);
    for await (const state of sample(
      gpu,
      linearNetwork(gpu, () => 0),
      x,
      { scheduler, constrain, last: 1 },
    ))
      seen.push([state.step, ...(await readTensor(gpu, state.latents))]);
    // clean = ½·x at σ = 1; half of the way there.
    expect(seen).toEqual([
      [0, 1, 1],
      [1, 0.5, 0.75],
    ]);
  });
});

describe("denoisers of several", () => {
  it("guidance weighs its branches", async () => {
    const gpu = await testGpu();
    const branch = (factor: number): Denoiser => linearNetwork(gpu, () => factor);
    const both = guided(gpu, [branch(3), branch(1)], classifierFree(2));
    both.setCall({ at: 1 });
    const x = upload(gpu, [2], Float32Array.of(1, 2));
    // 1 + 2·(3 − 1)
    expect([...(await compute(gpu, () => both.evaluate(x, "all").output!))]).toEqual([5, 10]);
    expect(() => guided(gpu, [branch(1)], classifierFree(2))).toThrow(/2 branches .* 1 denoisers/);
  });

  it("windows share the frames they both see", async () => {
    const gpu = await testGpu();
    const windows = [
      { from: 0, to: 3 },
      { from: 1, to: 4 },
    ];
    const whole = windowed(windows, 1, (w) => linearNetwork(gpu, () => 10 ** w));
    whole.setCall({ at: 1 });
    const x = upload(gpu, [1, 4], Float32Array.of(1, 2, 3, 4));
    expect([...(await compute(gpu, () => whole.evaluate(x, "all").output!))]).toEqual([1, 11, 16.5, 40]);
    expect(() => windowed([windows[1]], 1, () => whole)).toThrow(/do not cover/);
  });
});
