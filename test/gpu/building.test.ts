/** How far pipelines are built is told while they are. */
import { expect, test } from "vitest";
import { openGpu } from "../../src/gpu/open.node.ts";
import { record } from "../../src/gpu/recording.ts";
import { add, affine, multiply } from "../../src/kernels/elementwise.ts";
import { release, upload } from "../support/gpu.ts";

test("every pipeline is told when it is asked for and when it is ready, and none twice", async () => {
  const gpu = await openGpu();
  const told: [built: number, asked: number][] = [];
  gpu.pipelines.onBuild = (built, asked) => told.push([built, asked]);
  const x = upload(gpu, [4], Float32Array.of(1, 2, 3, 4));
  try {
    const body = () => affine(multiply(add(x, x), x), 2, 1);
    const first = await record(gpu, "first", body);
    const made = gpu.pipelines.created;
    expect(made).toBeGreaterThanOrEqual(2);
    expect(told).toHaveLength(2 * made);
    expect(told.at(-1)).toEqual([made, made]);
    // Neither number falls, and no more is ready than was asked for.
    told.forEach(([built, asked], i) => {
      expect(built).toBeLessThanOrEqual(asked);
      if (i > 0) expect(built + asked).toBe(told[i - 1][0] + told[i - 1][1] + 1);
    });
    const again = await record(gpu, "again", body);
    expect(told).toHaveLength(2 * made);
    first.dispose();
    again.dispose();
  } finally {
    release(gpu, x);
    gpu.destroy();
  }
});
