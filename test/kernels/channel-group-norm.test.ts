import { describe, expect, it } from "vitest";
import { channelGroupNorm } from "../../src/kernels/channel-group-norm.ts";
import { channelGroupNormReference } from "../../src/kernels/channel-group-norm.reference.ts";
import { groupNorm } from "../../src/kernels/group-norm.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

const EPSILON = 1e-5;

describe("channelGroupNorm", () => {
  it.each([
    { batch: 1, positions: 16, channels: 16, groups: 8, activation: "mish" as const, scaled: true },
    { batch: 3, positions: 5, channels: 24, groups: 4, activation: "relu" as const, scaled: false },
    { batch: 2, positions: 441, channels: 64, groups: 4, activation: "identity" as const, scaled: true },
    { batch: 2, positions: 1, channels: 6, groups: 3, activation: "mish" as const, scaled: true },
    { batch: 2, positions: 700, channels: 4, groups: 1, activation: "silu" as const, scaled: false },
  ])("$batch × $positions × $channels in $groups groups, $activation", async (shape) => {
    const { batch, positions, channels: C, groups, activation, scaled } = shape;
    const gpu = await testGpu();
    const size = [batch, positions, C] as const;
    // Far from zero, so that a variance by difference of squares would lose its digits.
    const x = uniform(1, batch * positions * C).map((v) => v + 30);
    const [w, b, r] = [uniform(2, C), uniform(3, C), uniform(4, x.length)];
    const [scale, shift] = [uniform(5, batch * C), uniform(6, batch * C)];
    // The table begins and ends with columns of somebody else's.
    const table = Float32Array.from({ length: batch * (2 * C + 5) }, (_, i) => {
      const [row, at] = [Math.floor(i / (2 * C + 5)), (i % (2 * C + 5)) - 3];
      if (at < 0 || at >= 2 * C) return 1e9;
      return at < C ? scale[row * C + at] : shift[row * C + at - C];
    });
    const tensors = [
      upload(gpu, size, x),
      upload(gpu, [C], w),
      upload(gpu, [C], b),
      upload(gpu, size, r),
      upload(gpu, [batch, 2 * C + 5], table),
    ];
    const [tx, weight, bias, residual, tt] = tensors;
    const film = { table: tt, shift: 3 + C, ...(scaled && { scale: 3 }) };
    const options = { groups, weight, bias, epsilon: EPSILON, activation };
    const y = await compute(gpu, () => channelGroupNorm(tx, { ...options, film, residual }));
    const plain = { groups, weight: w, bias: b, epsilon: EPSILON, activation };
    const told = { ...plain, shift, residual: r, ...(scaled && { scale }) };
    expect(relativeError(y, channelGroupNormReference(x, size, told))).toBeLessThan(1e-6);
    const bare = await compute(gpu, () => channelGroupNorm(tx, options));
    expect(relativeError(bare, channelGroupNormReference(x, size, plain))).toBeLessThan(1e-6);
    if (groups === 1) {
      const other = await compute(gpu, () =>
        groupNorm(tx.reshape(batch, -1), { weight, bias, epsilon: EPSILON, activation }),
      );
      expect(relativeError(other, bare)).toBeLessThan(1e-6);
    }
    release(gpu, ...tensors);
  });

  it("one NaN makes its own group NaN and no other", async () => {
    const gpu = await testGpu();
    const x = uniform(7, 2 * 3 * 4);
    x[5] = Number.NaN; // item 0, position 1, channel 1: the first of two groups
    const tensors = [
      upload(gpu, [2, 3, 4], x),
      upload(gpu, [4], uniform(8, 4)),
      upload(gpu, [4], uniform(9, 4)),
    ];
    const [tx, weight, bias] = tensors;
    for (const activation of ["identity", "mish", "relu"] as const) {
      const y = await compute(gpu, () =>
        channelGroupNorm(tx, { groups: 2, weight, bias, epsilon: EPSILON, activation }),
      );
      expect([...y].map(Number.isNaN)).toEqual([...x].map((_, i) => i < 12 && i % 4 < 2));
    }
    release(gpu, ...tensors);
  });

  it("refuses groups that do not divide, and columns beyond the table", async () => {
    const gpu = await testGpu();
    const tensors = [
      upload(gpu, [1, 2, 6], uniform(1, 12)),
      upload(gpu, [6], uniform(2, 6)),
      upload(gpu, [1, 11], uniform(3, 11)),
    ];
    const [x, gains, table] = tensors;
    const options = { weight: gains, bias: gains, epsilon: EPSILON };
    await expect(compute(gpu, () => channelGroupNorm(x, { ...options, groups: 4 }))).rejects.toThrow(
      /4 groups.*\(1, 2, 6\)/,
    );
    await expect(
      compute(gpu, () => channelGroupNorm(x, { ...options, groups: 2, film: { table, scale: 0, shift: 6 } })),
    ).rejects.toThrow(/columns up to 12 of a table \(1, 11\)/);
    release(gpu, ...tensors);
  });
});
