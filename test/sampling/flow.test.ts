import { describe, expect, it } from "vitest";
import { affine } from "../../src/kernels/elementwise.ts";
import type { Denoiser } from "../../src/sampling/denoiser.ts";
import { sampleFlow } from "../../src/sampling/flow.ts";
import { checkGrid, linspace, videoGrid } from "../../src/sampling/grid.ts";
import { gaussian } from "../../src/sampling/noise.ts";
import { euler, heun, midpoint } from "../../src/sampling/schedulers.ts";
import { createTensor, readTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { testGpu, upload } from "../support/gpu.ts";

/** v(x, τ) = x: the state at τ is x₀·e^τ. */
const growth = (seen: number[] = []): Denoiser => ({
  evaluate: (x: Tensor) => ({ output: affine(x, 1), tapped: [affine(x, 2)] }),
  setCall: ({ at }) => void seen.push(at),
});

describe("sampleFlow", () => {
  it("follows the flow and shows every state with its tapped features", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1], Float32Array.of(1));
    const states: number[][] = [];
    const steps = await sampleFlow(gpu, growth(), x, {
      grid: [0, 0.5, 1],
      onStep: async ({ step, time, nextTime, latents, tapped }) => {
        states.push([
          step,
          time,
          nextTime ?? -1,
          ...(await readTensor(gpu, latents)),
          ...(await readTensor(gpu, tapped[0])),
        ]);
      },
    });
    expect(steps).toBe(2);
    expect(states).toEqual([
      [0, 0, 0.5, 1, 2],
      [1, 0.5, 1, 1.5, 3],
      [2, 1, -1, 2.25, 4.5],
    ]);
  });

  it.each([
    ["euler", euler, 1],
    ["midpoint", midpoint, 2],
    ["heun", heun, 2],
  ] as const)("%s converges with its order", async (_, solver, order) => {
    const gpu = await testGpu();
    const error = async (steps: number): Promise<number> => {
      const x = upload(gpu, [1], Float32Array.of(1));
      await sampleFlow(gpu, growth(), x, { grid: linspace(0, 1, steps), solver });
      return Math.abs((await readTensor(gpu, x))[0] - Math.E);
    };
    const ratio = (await error(8)) / (await error(16));
    expect(Math.log2(ratio)).toBeCloseTo(order, 0);
  });

  it("tells the model the times of every evaluation", async () => {
    const gpu = await testGpu();
    const seen: number[] = [];
    await sampleFlow(gpu, growth(seen), upload(gpu, [1], Float32Array.of(1)), {
      grid: [1, 0.5, 0],
      solver: midpoint,
      onStep: () => {},
    });
    expect(seen).toEqual([1, 0.75, 0.5, 0.25, 0]);
  });

  it("makes nothing after the first step", async () => {
    const gpu = await testGpu();
    const made: string[] = [];
    await sampleFlow(gpu, growth(), upload(gpu, [1], Float32Array.of(1)), {
      grid: linspace(0, 1, 5),
      // What is tapped at the last state is recorded when it is reached.
      onStep: ({ step, steps }) => {
        if (step === steps) return;
        const { bindGroups, buffers } = gpu.counters;
        made.push(JSON.stringify([gpu.pipelines.created, gpu.memory.created, bindGroups, buffers]));
      },
    });
    expect(new Set(made).size).toBe(1);
  });

  it("stops when the callback or a signal says so", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1], Float32Array.of(1));
    expect(
      await sampleFlow(gpu, growth(), x, { grid: linspace(0, 1, 9), onStep: ({ step }) => step < 3 }),
    ).toBe(3);
    const abort = new AbortController();
    const run = sampleFlow(gpu, growth(), x, {
      grid: linspace(0, 1, 9),
      signal: abort.signal,
      onStep: () => abort.abort(new Error("enough")),
    });
    await expect(run).rejects.toThrow("enough");
  });

  it("only evaluates on a grid of one time", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [1], Float32Array.of(3));
    const seen: number[] = [];
    await sampleFlow(gpu, growth(), x, {
      grid: [1],
      onStep: async ({ tapped }) => void seen.push(...(await readTensor(gpu, tapped[0]))),
    });
    expect(seen).toEqual([6]);
    expect([...(await readTensor(gpu, x))]).toEqual([3]);
  });
});

describe("grids and noise", () => {
  it("counts as torch does in float32", () => {
    expect(linspace(0, 1, 16)).toEqual(Array.from({ length: 17 }, (_, i) => i / 16));
    // torch.linspace(0, 1, 11)[3] is 0.3 rounded from below, [7] is 1 − 3·0.1
    expect(linspace(0, 1, 10)[3]).toBe(Math.fround(Math.fround(0.1) * 3));
    expect(videoGrid(50)[50]).toBe(0);
    expect(() => linspace(0, 1, 0)).toThrow(/at least 1/);
    expect(() => checkGrid([1, 0.5, 0.6])).toThrow(/0\.5 is followed by 0\.6/);
  });

  it("draws the same standard normal numbers for a purpose and a seed, and others for others", () => {
    const a = gaussian("video", 0, 100_000);
    expect(gaussian("video", 0, 100_000)).toEqual(a);
    const mean = a.reduce((s, v) => s + v, 0) / a.length;
    const variance = a.reduce((s, v) => s + v * v, 0) / a.length;
    expect(Math.abs(mean)).toBeLessThan(0.015);
    expect(Math.abs(variance - 1)).toBeLessThan(0.03);
    for (const other of [gaussian("video", 1, 100_000), gaussian("action", 0, 100_000)]) {
      const correlation = other.reduce((s, v, i) => s + v * a[i], 0) / a.length;
      expect(Math.abs(correlation)).toBeLessThan(0.02);
    }
  });
});

describe("createTensor", () => {
  it("is zero-filled even in memory that was used before", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [64], new Float32Array(64).fill(5));
    gpu.memory.release(x.storage);
    expect([...(await readTensor(gpu, createTensor(gpu, [64])))].every((v) => v === 0)).toBe(true);
  });
});
