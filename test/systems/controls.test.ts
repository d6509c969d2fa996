/** Frames in another order: every one elsewhere, whole, and back afterwards. */
import { describe, expect, it } from "vitest";
import { framesShuffled } from "../../src/systems/controls.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { release, testGpu, upload } from "../support/gpu.ts";

/** Two copies of three channels of 2 × 2: an element says its frame, and what it is besides. */
const latents = (first: number, frames: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: 2 * 3 * frames * 4 }, (_, i) => {
    const [channel, frame, pixel] = [Math.floor(i / (4 * frames)), Math.floor(i / 4) % frames, i % 4];
    return 1000 * channel + 10 * (first + frame) + pixel;
  });

describe("framesShuffled", () => {
  it.each([
    [2, 3],
    [1, 1],
    [4, 12],
  ])("%i given and %i imagined frames", async (past, future) => {
    const gpu = await testGpu();
    const before = gpu.memory.usage.inUse;
    const imagined = latents(past, future);
    // One frame more than is given stays where it is.
    const [context, x] = [
      upload(gpu, [2, 3, past + 1, 2, 2], latents(0, past + 1)),
      upload(gpu, [2, 3, future, 2, 2], imagined),
    ];
    const orders = new Set<string>();
    for (const seed of [0, 1, 2, 3, 0]) {
      const runs = [
        { latents: context, from: 0, to: past },
        { latents: x, from: 0, to: future },
      ];
      const [seen, own] = await framesShuffled(gpu, runs, seed, async () => [
        await readTensor(gpu, context),
        await readTensor(gpu, x),
      ]);
      const frameOf = (values: Float32Array, i: number): number => Math.floor((values[i] % 1000) / 10);
      const order = [
        ...Array.from({ length: past }, (_, t) => frameOf(seen, 4 * t)),
        ...Array.from({ length: future }, (_, t) => frameOf(own, 4 * t)),
      ];
      expect([...order].sort((a, b) => a - b)).toEqual(order.map((_, t) => t));
      expect(order.every((frame, t) => frame !== t)).toBe(true);
      // Whole frames, in every channel of every copy.
      seen.forEach((value, i) => {
        const [channel, t, pixel] = [Math.floor(i / (4 * (past + 1))), Math.floor(i / 4) % (past + 1), i % 4];
        expect(value).toBe(1000 * channel + 10 * (t < past ? order[t] : t) + pixel);
      });
      own.forEach((value, i) => {
        const [channel, t, pixel] = [Math.floor(i / (4 * future)), Math.floor(i / 4) % future, i % 4];
        expect(value).toBe(1000 * channel + 10 * order[past + t] + pixel);
      });
      orders.add(order.join());
      expect(await readTensor(gpu, x)).toEqual(imagined);
      expect(await readTensor(gpu, context)).toEqual(latents(0, past + 1));
    }
    if (past + future > 4) expect(orders.size).toBeGreaterThan(1);
    release(gpu, context, x);
    expect(gpu.memory.usage.inUse).toBe(before);
  });

  it("puts them back when nothing was seen", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [2, 3, 3, 2, 2], latents(0, 3));
    const looked = framesShuffled(gpu, [{ latents: x, from: 0, to: 3 }], 0, () =>
      Promise.reject(new Error("no")),
    );
    await expect(looked).rejects.toThrow("no");
    expect(await readTensor(gpu, x)).toEqual(latents(0, 3));
    release(gpu, x);
  });
});
