/** Neighbouring channels rotated, against float64. */
import { expect, it } from "vitest";
import { rotatePairs } from "../../src/kernels/rotary.ts";
import { rotatePairsReference } from "../../src/kernels/rotary.reference.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

it.each([
  [1, 1, 1, 2],
  [2, 7, 3, 12],
  [3, 5, 2, 6],
  [1, 130, 2, 128],
])("batch %i, %i tokens, %i heads of %i", async (batch, tokens, heads, headDim) => {
  const gpu = await testGpu();
  const x = uniform(1, batch * tokens * heads * headDim);
  const angles = uniform(2, (tokens * headDim) / 2, 40);
  const tables = [Math.cos, Math.sin].map((f) =>
    upload(gpu, [tokens, headDim / 2], Float32Array.from(angles, f)),
  );
  const t = upload(gpu, [batch, tokens, heads * headDim], x);
  const y = await compute(gpu, () => rotatePairs(t, { cos: tables[0], sin: tables[1] }));
  const truth = rotatePairsReference(x, angles, { batch, tokens, heads, headDim });
  expect(relativeError(y, truth)).toBeLessThan(2e-7);
  // Half-split pairs, or angles of another token, would be another result.
  if (headDim > 2) expect(relativeError(y, x)).toBeGreaterThan(0.1);
  release(gpu, t, ...tables);
});

it("refuses tables of other tokens", async () => {
  const gpu = await testGpu();
  const [x, table] = [upload(gpu, [1, 3, 8], uniform(1, 24)), upload(gpu, [2, 4], uniform(2, 8))];
  await expect(compute(gpu, () => rotatePairs(x, { cos: table, sin: table }))).rejects.toThrow(/\(2, 4\)/);
  release(gpu, x, table);
});
