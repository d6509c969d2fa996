/** DDPM and DDIM through the loop: against plain float64 loops, and on data where a perfect network is known. */
import { describe, expect, it } from "vitest";
import { affine, scaleShift } from "../../src/kernels/elementwise.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Denoiser } from "../../src/sampling/denoiser.ts";
import {
  alphasCumprod,
  diffusion,
  diffusionConstants,
  type DiffusionSchedule,
  flowTime,
  noiseLevels,
  timesteps,
} from "../../src/sampling/diffusion.ts";
import { gaussian } from "../../src/sampling/noise.ts";
import { sample } from "../../src/sampling/sample.ts";
import { createTensor, readTensor, releaseTensor, writeTensor } from "../../src/tensor/tensor.ts";
import { testGpu, upload } from "../support/gpu.ts";
import { relativeError } from "../support/numbers.ts";

const schedule = (given: Partial<DiffusionSchedule> = {}): DiffusionSchedule => ({
  ...{ kind: "DDPM", trained: 100, betas: "squaredcos_cap_v2", betaStart: 1e-4, betaEnd: 0.02 },
  ...{ predicts: "epsilon", clip: 1, ...given },
});

/** f = scale(t)·x + shift(t) */
type Line = (t: number) => readonly [scale: number, shift: number];

const SIZE = 6;

/** Where a plan ends on the GPU. */
async function end(
  gpu: Gpu,
  s: DiffusionSchedule,
  n: number,
  start: Float32Array,
  line: Line,
  seed = 1,
): Promise<Float32Array> {
  const terms = [0, 1].map(() => createTensor(gpu, [1]));
  const denoiser: Denoiser = {
    evaluate: (x) => ({ output: scaleShift(x, terms[0], terms[1]), tapped: [affine(x, 1)] }),
    setCall: ({ at }) => line(at).forEach((v, i) => writeTensor(gpu, terms[i], Float32Array.of(v))),
  };
  const x = upload(gpu, [SIZE], Float32Array.from(start));
  const freshNoise = (i: number) => gaussian(`draw ${i}`, seed, SIZE);
  for await (const { step } of sample(gpu, denoiser, x, { scheduler: diffusion(s, n), freshNoise }))
    if (step === n) break;
  const values = await readTensor(gpu, x);
  for (const tensor of [x, ...terms]) releaseTensor(gpu, tensor);
  return values;
}

/** The same in float64, from the definition of the noise level at each call. */
function endInLoops(s: DiffusionSchedule, n: number, start: Float32Array, line: Line, seed = 1): number[] {
  const alphas = alphasCumprod(s);
  const stride = Math.floor(s.trained / n);
  let x = Array.from(start);
  timesteps(s, n).forEach((t, i) => {
    const [now, before] = [alphas[t], alphas[t - stride] ?? 1];
    const z = gaussian(`draw ${i}`, seed, SIZE);
    x = x.map((value, d) => {
      const [scale, shift] = line(t);
      const f = scale * value + shift;
      const free = s.predicts === "sample" ? f : (value - Math.sqrt(1 - now) * f) / Math.sqrt(now);
      const clean = s.clip === undefined ? free : Math.min(s.clip, Math.max(-s.clip, free));
      if (s.kind === "DDIM") {
        const noise = s.predicts === "epsilon" ? f : (value - Math.sqrt(now) * free) / Math.sqrt(1 - now);
        return Math.sqrt(before) * clean + Math.sqrt(1 - before) * noise;
      }
      const [a, b] = [now / before, 1 - now / before];
      const mean = (Math.sqrt(before) * b * clean + Math.sqrt(a) * (1 - before) * value) / (1 - now);
      return t > 0 ? mean + Math.sqrt(((1 - before) / (1 - now)) * b) * z[d] : mean;
    });
  });
  return x;
}

describe("tables", () => {
  it("of 15 calls in 100 levels begin at 84, and end at 0", () => {
    expect(timesteps(schedule(), 15)[0]).toBe(84);
    expect(timesteps(schedule(), 15).at(-1)).toBe(0);
    expect(timesteps(schedule(), 100)).toEqual(Array.from({ length: 100 }, (_, i) => 99 - i));
    expect(() => timesteps(schedule(), 101)).toThrow(/101 evaluations of a schedule of 100/);
    expect(() => timesteps(schedule(), 0)).toThrow(/0 evaluations/);
  });

  it("hold the published noise levels, and those of a linear schedule", () => {
    const cosine = alphasCumprod(schedule());
    expect(cosine[99]).toBeCloseTo(2.4285e-7, 11);
    expect(cosine[98]).toBeCloseTo(2.4286e-4, 8);
    expect(cosine[0]).toBeCloseTo(0.99936873, 8);
    const linear = alphasCumprod(schedule({ betas: "linear", trained: 50 }));
    let product = 1;
    for (let i = 0; i < 50; i++) product *= 1 - (1e-4 + ((0.02 - 1e-4) * i) / 49);
    expect(linear[49] / product).toBeCloseTo(1, 5);
  });

  it("end in the last clean estimate itself, whose weight is one", () => {
    const last = diffusionConstants(schedule(), 25).at(-1)!;
    expect(last).toMatchObject({ timestep: 0, ofClean: 1, ofOther: 0, sigma: 0 });
  });

  it("count time as a straight flow that is as noisy: from 1 down to 0", () => {
    const levels = noiseLevels(schedule({ kind: "DDIM" }), 10);
    const times = diffusion(schedule({ kind: "DDIM" }), 10).times;
    expect(times).toEqual(levels.map(flowTime));
    for (const { data, noise } of levels) expect(data ** 2 + noise ** 2).toBeCloseTo(1, 6);
    expect(times.every((time, k) => k === 0 || time < times[k - 1])).toBe(true);
    expect(times[10]).toBe(0);
    expect(diffusion(schedule(), 100).times[0]).toBeCloseTo(1, 3);
  });
});

describe("through the loop", () => {
  const start = gaussian("start", 3, SIZE);
  // Any network that is no noise estimator at all: clamps bite at some steps and not at others.
  const odd: Line = (t) => [0.6 + 0.3 * Math.sin(t), 0.1 * Math.cos(t)];

  it.each([
    ["DDPM", schedule(), 100],
    ["DDPM, 7 calls, unclamped", schedule({ clip: undefined, betas: "linear" }), 7],
    ["DDPM of samples", schedule({ predicts: "sample", clip: 0.4 }), 20],
    ["DDIM", schedule({ kind: "DDIM" }), 10],
    ["DDIM of samples", schedule({ kind: "DDIM", predicts: "sample", clip: 0.4 }), 9],
    ["one call", schedule({ kind: "DDIM" }), 1],
    ["one call with noise", schedule(), 1],
  ] as const)("%s is the float64 loop", async (_, s, n) => {
    const ours = await end(await testGpu(), s, n, start, odd);
    expect(relativeError(ours, endInLoops(s, n, start, odd))).toBeLessThan(1e-4);
  });

  it.each(["DDPM", "DDIM"] as const)(
    "%s ends in the one point of the data, or where the clamp holds it",
    async (kind) => {
      const gpu = await testGpu();
      const point = (s: DiffusionSchedule, at: number): Line => {
        const alphas = alphasCumprod(s);
        return (t) => [1 / Math.sqrt(1 - alphas[t]), (-Math.sqrt(alphas[t]) * at) / Math.sqrt(1 - alphas[t])];
      };
      const s = schedule({ kind });
      for (const [at, expected] of [
        [0.37, 0.37],
        [2.5, 1],
      ]) {
        const values = await end(gpu, s, 50, start, point(s, at));
        for (const value of values) expect(value).toBeCloseTo(expected, 3);
      }
    },
  );
});
