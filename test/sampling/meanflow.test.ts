/** Average velocities on Gaussian data, where they are known in closed form: both conventions, any grid, and the map that a mixture of them makes. */
import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { scaleShift } from "../../src/kernels/elementwise.ts";
import type { Denoiser } from "../../src/sampling/denoiser.ts";
import { linspace } from "../../src/sampling/grid.ts";
import {
  interval,
  type Interval,
  mirrored,
  noiseLevel,
  seedEuler,
  type StateTime,
  uniformTimes,
} from "../../src/sampling/meanflow.ts";
import { sample } from "../../src/sampling/sample.ts";
import type { Scheduler } from "../../src/sampling/scheduler.ts";
import { euler, meanFlow } from "../../src/sampling/schedulers.ts";
import { createTensor, readTensor, releaseTensor, writeTensor } from "../../src/tensor/tensor.ts";
import { testGpu, upload } from "../support/gpu.ts";

/** Data N(m, σ²) an element. */
const [m, sigma] = [0.7, 0.4];

/** Of a state's time s, 0 noise and 1 data: the deviation of the states. */
const deviation = (s: number): number => Math.hypot(1 - s, s * sigma);

/** A line in the state, u = slope · z + shift. */
interface Line {
  readonly slope: number;
  readonly shift: number;
}

/** The perfect network with the state at r: (φ(z) − z) / (t − r), the flow φ(z) = m·t + S_t / S_r · (z − m·r); the velocity at r = t. */
function perfect({ r, t }: Interval): Line {
  if (r === t) {
    const slope = (r * sigma ** 2 - (1 - r)) / deviation(r) ** 2;
    return { slope, shift: m - slope * m * r };
  }
  const ratio = deviation(t) / deviation(r);
  return { slope: (ratio - 1) / (t - r), shift: (m * t - ratio * m * r) / (t - r) };
}

/** The same in the other convention. */
function paper(told: Interval): Line {
  const { slope, shift } = perfect(mirrored(told));
  return { slope: -slope, shift: -shift };
}

/** What the literal loss learns: with the state at t though 0 is noise, (z − φ(z)) / (t − r) with φ from t to r. */
function literal({ r, t }: Interval): Line {
  const ratio = deviation(r) / deviation(t);
  return { slope: (1 - ratio) / (t - r), shift: -(m * r - ratio * m * t) / (t - r) };
}

function lineDenoiser(gpu: Gpu, stateTime: StateTime, line: (told: Interval) => Line): Denoiser {
  const [slope, shift] = [createTensor(gpu, [1]), createTensor(gpu, [1])];
  return {
    evaluate: (x) => ({ output: scaleShift(x, slope, shift), tapped: [] }),
    setCall: (call) => {
      const at = line(interval(call, stateTime));
      writeTensor(gpu, slope, Float32Array.of(at.slope));
      writeTensor(gpu, shift, Float32Array.of(at.shift));
    },
    dispose: () => [slope, shift].forEach((t) => releaseTensor(gpu, t)),
  };
}

const NOISE = [-1.5, 0, 0.25, 2];

async function ends(gpu: Gpu, denoiser: Denoiser, scheduler: Scheduler): Promise<number[]> {
  const x = upload(gpu, [NOISE.length], Float32Array.from(NOISE));
  for await (const { step, steps } of sample(gpu, denoiser, x, { scheduler })) if (step === steps) break;
  const values = [...(await readTensor(gpu, x))];
  releaseTensor(gpu, x);
  denoiser.dispose?.();
  return values;
}

const CONVENTIONS = [
  ["r", perfect],
  ["t", paper],
] as const;

describe.each(CONVENTIONS)("perfect network, state at %s", (stateTime, line) => {
  it.each([[[1, 0]], [[1, 0.5, 0]], [[1, 0.93, 0.2, 0]], [linspace(1, 0, 8)]])(
    "noise levels %j lead to m + σ·noise",
    async (levels) => {
      const gpu = await testGpu();
      const scheduler = meanFlow(levels.map((level) => noiseLevel(level, stateTime)));
      const got = await ends(gpu, lineDenoiser(gpu, stateTime, line), scheduler);
      got.forEach((value, i) => expect(value).toBeCloseTo(m + sigma * NOISE[i], 5));
    },
  );

  it("one Euler step is the mean of the data, many approach the flow", async () => {
    const gpu = await testGpu();
    const after = (calls: number) =>
      ends(gpu, lineDenoiser(gpu, stateTime, line), euler(uniformTimes(calls, stateTime)));
    (await after(1)).forEach((value) => expect(value).toBeCloseTo(m, 5));
    const error = async (calls: number) =>
      Math.max(...(await after(calls)).map((value, i) => Math.abs(value - m - sigma * NOISE[i])));
    const [coarse, fine] = [await error(20), await error(40)];
    expect(Math.log2(coarse / fine)).toBeGreaterThan(0.8);
  });
});

describe("identities in float64", () => {
  const at = (line: Line, z: number): number => line.slope * z + line.shift;
  // u(z, r, t) at the end of a short way along v that the tangent says, by central differences.
  const derivative = (line: (told: Interval) => Line, z: number, told: Interval, d: readonly number[]) => {
    const h = 1e-5;
    const u = (k: number) => at(line({ r: told.r + k * d[1], t: told.t + k * d[2] }), z + k * d[0]);
    return (u(h) - u(-h)) / (2 * h);
  };
  it.each([
    [0.3, { r: 0.1, t: 0.6 }],
    [-1, { r: 0.5, t: 0.9 }],
  ])("z = %f, %j", (z, told) => {
    const { r, t } = told;
    const [start, end] = [at(perfect({ r, t: r }), z), at(paper({ r: t, t }), z)];
    // State at r: u = v + (t − r)·du along (v, 1, 0); state at t: u = v − (t − r)·du along (v, 0, 1).
    const rising = start + (t - r) * derivative(perfect, z, told, [start, 1, 0]);
    expect(rising).toBeCloseTo(at(perfect(told), z), 7);
    const falling = end - (t - r) * derivative(paper, z, told, [end, 0, 1]);
    expect(falling).toBeCloseTo(at(paper(told), z), 7);
    // And the literal loss is consistent with itself, the velocity at its state's end being that of the data.
    const velocity = at(perfect({ r: t, t }), z);
    const own = velocity - (t - r) * derivative(literal, z, told, [velocity, 0, 1]);
    expect(own).toBeCloseTo(at(literal(told), z), 7);
  });
});

it("the literal loss, sampled from noise in one call, makes N(m/σ, (2 − 1/σ)²)", async () => {
  const gpu = await testGpu();
  const got = await ends(gpu, lineDenoiser(gpu, "r", literal), meanFlow([0, 1]));
  got.forEach((value, i) => expect(value).toBeCloseTo(m / sigma + (2 - 1 / sigma) * NOISE[i], 5));
});

it("what a network is told", () => {
  expect(interval({ at: 0.25, until: 0.5 }, "r")).toEqual({ r: 0.25, t: 0.5 });
  expect(interval({ at: 0.5, until: 0.25 }, "t")).toEqual({ r: 0.25, t: 0.5 });
  expect(interval({ at: 0.5 }, "t")).toEqual({ r: 0.5, t: 0.5 });
  expect(() => interval({ at: 1, until: 0 }, "r")).toThrow(/times rise from 0 to 1/);
  expect(() => interval({ at: 0, until: 1 }, "t")).toThrow(/times fall from 1 to 0/);
  expect(mirrored(mirrored({ r: 0.25, t: 0.5 }))).toEqual({ r: 0.25, t: 0.5 });
  expect(uniformTimes(4, "r")).toEqual([0, 0.25, 0.5, 0.75, 1]);
  const solver = seedEuler(2);
  expect(solver.times).toEqual([0, 0.5, 1, 1.5]);
  expect([0, 1, 2].map((i) => solver.call(i))).toEqual([0, 0.5, 1].map((at) => ({ at, until: 1 })));
});
