import { describe, expect, it } from "vitest";
import { groupNorm } from "../../src/kernels/group-norm.ts";
import { groupNormReference } from "../../src/kernels/group-norm.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const EPSILON = 1e-6;

describe("groupNorm", () => {
  it.each([
    { rows: 1, pixels: 1, channels: 2, activation: "identity" as const },
    { rows: 3, pixels: 7, channels: 5, activation: "silu" as const },
    { rows: 2, pixels: 513, channels: 1, activation: "identity" as const },
    { rows: 5, pixels: 333, channels: 24, activation: "silu" as const },
    { rows: 1, pixels: 4099, channels: 16, activation: "silu" as const },
    { rows: 70, pixels: 4, channels: 3, activation: "relu" as const },
  ])("$rows rows of $pixels × $channels, $activation", async ({ rows, pixels, channels, activation }) => {
    const gpu = await testGpu();
    // Far from zero, so that a variance by difference of squares would lose its digits.
    const x = uniform(1, rows * pixels * channels).map((value) => value + 30);
    const [w, b] = [uniform(2, channels), uniform(3, channels)];
    const tx = upload(gpu, [rows, pixels * channels], x);
    const [weight, bias] = [upload(gpu, [channels], w), upload(gpu, [channels], b)];
    const y = await compute(gpu, () => groupNorm(tx, { weight, bias, epsilon: EPSILON, activation }));
    expect(relativeError(y, groupNormReference(x, rows, w, b, EPSILON, activation))).toBeLessThan(1e-6);
    release(gpu, tx, weight, bias);
  });

  it("refuses gains that do not divide a row", async () => {
    const gpu = await testGpu();
    const x = upload(gpu, [2, 7], new Float32Array(14));
    const gains = upload(gpu, [3], new Float32Array(3));
    await expect(
      compute(gpu, () => groupNorm(x, { weight: gains, bias: gains, epsilon: EPSILON })),
    ).rejects.toThrow(/3 gains.*\(2, 7\)/);
    release(gpu, x, gains);
  });
});
