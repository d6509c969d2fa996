import { describe, expect, it } from "vitest";
import { attentionReference } from "../../src/kernels/attention.reference.ts";
import { wideAttention } from "../../src/kernels/wide-attention.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** [batch, queries, keys, width, causal] */
const SHAPES = [
  [1, 1, 1, 1, false],
  [1, 1, 1, 384, true],
  [2, 5, 7, 3, false],
  [3, 9, 9, 20, true],
  [20, 3, 3, 17, true],
  [1, 65, 131, 70, false],
  [2, 17, 200, 130, false],
] as const;

describe.each(["tile", "naive"])("wideAttention, %s", (variant) => {
  const options = { variants: { wideAttention: variant } };

  it.each(SHAPES)(
    "%i × %i queries, %i keys of %i, causal %s",
    async (batch, queries, keys, width, causal) => {
      const gpu = await testGpu(options);
      const q = uniform(1, batch * queries * width, 3);
      const [k, v] = [uniform(2, batch * keys * width, 3), uniform(3, batch * keys * width)];
      const tensors = [
        upload(gpu, [batch, queries, width], q),
        upload(gpu, [batch, keys, width], k),
        upload(gpu, [batch, keys, width], v),
      ] as const;
      const [tq, tk, tv] = tensors.map((tensor) => ({ tensor }));
      const y = await compute(gpu, () => wideAttention(tq, tk, tv, width, { causal }));
      const truth = attentionReference(q, k, v, {
        ...{ batch, queries, keys, heads: 1, keyValueHeads: 1, headDim: width, causal },
      });
      expect(relativeError(y, truth)).toBeLessThan(2e-6);
      release(gpu, ...tensors);
    },
  );
});

describe("wideAttention", () => {
  it("reads columns of packed rows", async () => {
    const gpu = await testGpu();
    const [batch, rows, width] = [2, 6, 5];
    const packed = uniform(4, batch * rows * 3 * width);
    const part = (at: number) =>
      Float32Array.from(
        { length: batch * rows * width },
        (_, i) => packed[Math.floor(i / width) * 3 * width + at * width + (i % width)],
      );
    const tensor = upload(gpu, [batch, rows, 3 * width], packed);
    const y = await compute(gpu, () =>
      wideAttention({ tensor }, { tensor, offset: width }, { tensor, offset: 2 * width }, width),
    );
    const truth = attentionReference(part(0), part(1), part(2), {
      ...{ batch, queries: rows, keys: rows, heads: 1, keyValueHeads: 1, headDim: width },
    });
    expect(relativeError(y, truth)).toBeLessThan(1e-6);
    release(gpu, tensor);
  });

  it("takes the queries in turns when the logits must be small, and clips too", async () => {
    const gpu = await testGpu();
    for (const [batch, rows] of [
      [1, 45],
      [5, 26],
    ]) {
      const [q, v] = [uniform(5, batch * rows), uniform(6, batch * rows)];
      const [tq, tv] = [upload(gpu, [batch, rows, 1], q), upload(gpu, [batch, rows, 1], v)];
      const y = await compute(gpu, () =>
        wideAttention({ tensor: tq }, { tensor: tq }, { tensor: tv }, 1, { causal: true, logitBytes: 6000 }),
      );
      const truth = attentionReference(q, q, v, {
        ...{ batch, queries: rows, keys: rows, heads: 1, keyValueHeads: 1, headDim: 1, causal: true },
      });
      expect(relativeError(y, truth)).toBeLessThan(2e-6);
      release(gpu, tq, tv);
    }
  });

  it("refuses operands that do not hold the width", async () => {
    const gpu = await testGpu();
    const tensor = upload(gpu, [1, 2, 6], new Float32Array(12));
    await expect(
      compute(gpu, () => wideAttention({ tensor }, { tensor }, { tensor, offset: 4 }, 3)),
    ).rejects.toThrow(/values \(1, 2, 6\).*3 columns at 4/);
    release(gpu, tensor);
  });
});
