import { describe, expect, it } from "vitest";
import { gru, packRecurrent } from "../../src/kernels/gru.ts";
import { gruReference } from "../../src/kernels/gru.reference.ts";
import { concat } from "../../src/kernels/copy.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** [batch, steps, dim, scale of the weights] */
const CASES = [
  [1, 1, 1, 1],
  [1, 8, 4, 1],
  [5, 3, 7, 1],
  [2, 13, 36, 0.3],
  [9, 2, 33, 3],
  [3, 5, 130, 0.2],
] as const;

describe.each(["fused", "naive"])("gru, %s", (variant) => {
  it.each(CASES)("batch %i, %i steps, width %i, weights up to %f", async (batch, steps, dim, scale) => {
    const gpu = await testGpu({ variants: { gru: variant } });
    const [tokens, first] = [steps + 2, 1];
    const weight = uniform(1, 3 * dim * dim, scale);
    const [u, a, bias] = [
      uniform(2, batch * steps * dim),
      uniform(3, 3 * batch * steps * dim, 2),
      uniform(4, 3 * dim),
    ];
    const start = uniform(5, batch * dim);
    const into = upload(gpu, [batch, tokens, dim], new Float32Array(batch * tokens * dim).fill(9));
    const t = {
      recurrent: upload(gpu, [dim, 3, Math.ceil(dim / 4), 4], packRecurrent(weight, dim)),
      bias: upload(gpu, [3 * dim], bias),
    };
    const [tu, ta, ts] = [
      upload(gpu, [batch, steps, dim], u),
      upload(gpu, [batch, steps, 3 * dim], a),
      upload(gpu, [batch, dim], start),
    ];
    const out = await compute(gpu, () => {
      const last = gru(tu, ta, t, ts, { tensor: into, tokens, first });
      return concat([into.reshape(1, -1), last.reshape(1, -1)], 1);
    });
    const truth = gruReference(u, a, weight, bias, start, batch, steps, dim);
    const expected = new Float64Array(out.length).fill(9);
    for (let b = 0; b < batch; b++) {
      const row = truth.sums.subarray(b * steps * dim, (b + 1) * steps * dim);
      expected.set(row, (b * tokens + first) * dim);
    }
    expected.set(truth.last, batch * tokens * dim);
    expect(relativeError(out, expected)).toBeLessThan(scale > 1 ? 2e-6 : 5e-7);
    release(gpu, into, t.recurrent, t.bias, tu, ta, ts);
  });
});

describe("gru", () => {
  it("begins from zeros and refuses tokens that do not fit", async () => {
    const gpu = await testGpu();
    const [u, a] = [upload(gpu, [1, 2, 4], uniform(1, 8)), upload(gpu, [1, 2, 12], uniform(2, 24))];
    const weights = {
      recurrent: upload(gpu, [4, 3, 1, 4], packRecurrent(uniform(3, 48), 4)),
      bias: upload(gpu, [12], uniform(4, 12)),
    };
    const into = upload(gpu, [1, 2, 4], new Float32Array(8));
    const last = await compute(gpu, () =>
      gru(u, a, weights, undefined, { tensor: into, tokens: 2, first: 0 }),
    );
    const truth = gruReference(
      uniform(1, 8),
      uniform(2, 24),
      uniform(3, 48),
      uniform(4, 12),
      new Float64Array(4),
      1,
      2,
      4,
    );
    expect(relativeError(last, truth.last)).toBeLessThan(5e-7);
    await expect(
      compute(gpu, () => gru(u, a, weights, undefined, { tensor: into, tokens: 2, first: 1 })),
    ).rejects.toThrow(/2 tokens at 1 of 2/);
    release(gpu, u, a, into, weights.recurrent, weights.bias);
  });
});
