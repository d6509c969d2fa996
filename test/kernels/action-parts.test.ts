import { describe, expect, it } from "vitest";
import { gaussian, standardize } from "../../src/kernels/elementwise.ts";
import { advance, toFlow } from "../../src/kernels/flow.ts";
import { advanceReference, toFlowReference } from "../../src/kernels/flow.reference.ts";
import { meanTokens } from "../../src/kernels/mean-tokens.ts";
import { meanTokensReference } from "../../src/kernels/mean-tokens.reference.ts";
import { swiglu } from "../../src/kernels/swiglu.ts";
import { swigluReference } from "../../src/kernels/swiglu.reference.ts";
import { tokenShift } from "../../src/kernels/token-shift.ts";
import { tokenShiftReference } from "../../src/kernels/token-shift.reference.ts";
import { concat } from "../../src/kernels/copy.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** [batch, tokens, width] */
const SHAPES = [
  [1, 1, 1],
  [5, 7, 3],
  [2, 130, 5],
  [3, 9, 32],
] as const;

describe.each(SHAPES)("batch %i, %i tokens, width %i", (batch, tokens, width) => {
  it("swiglu", async () => {
    const gpu = await testGpu();
    // Gates beyond −1 would leave the cancelling tail of the error function, which one element cannot average out.
    const u = uniform(1, batch * tokens * 2 * width, 1);
    const t = upload(gpu, [batch, tokens, 2 * width], u);
    const y = await compute(gpu, () => swiglu(t));
    expect(relativeError(y, swigluReference(u, batch * tokens, width))).toBeLessThan(3e-7);
    release(gpu, t);
  });

  it.each([0, 1])("token shift from %i", async (first) => {
    const gpu = await testGpu();
    const x = uniform(2, batch * tokens * width);
    const t = upload(gpu, [batch, tokens, width], x);
    const y = await compute(gpu, () => tokenShift(t, first));
    expect([...y]).toEqual([...tokenShiftReference(x, batch, tokens, width, first)]);
    release(gpu, t);
  });

  it("mean of tokens", async () => {
    const gpu = await testGpu();
    const x = uniform(3, batch * tokens * width);
    const t = upload(gpu, [batch, tokens, width], x);
    const y = await compute(gpu, () => meanTokens(t));
    expect(relativeError(y, meanTokensReference(x, batch, tokens, width))).toBeLessThan(1e-6);
    release(gpu, t);
  });

  it.each([
    [1, 0, 1e-5],
    [3, 0, undefined],
    [2, Math.floor(tokens / 2), 1e-5],
  ])("flow and step after %i conditions, %i held, epsilon %s", async (conditions, held, epsilon) => {
    const gpu = await testGpu();
    const all = conditions + tokens;
    const shape = { batch, tokens: all, actions: tokens, width };
    const [pred, x] = [uniform(4, batch * all * width), uniform(5, batch * tokens * width)];
    // One row is at the end, where the divisor is epsilon.
    const at = {
      times: Float32Array.of(0.25, 1, 0.999),
      rowOf: Uint32Array.from({ length: batch * all }, (_, i) => (i * 5) % 3),
    };
    const [tp, tx] = [upload(gpu, [batch, all, width], pred), upload(gpu, [batch, tokens, width], x)];
    const gpuAt = { times: upload(gpu, [3], at.times), rowOf: upload(gpu, [batch * all], at.rowOf) };
    const flow = await compute(gpu, () => toFlow(tp, tx, gpuAt, epsilon));
    // 1 − t and pred − x cancel; float32 inputs are exact, so only the arithmetic's own rounding remains.
    expect(relativeError(flow, toFlowReference(pred, x, at, epsilon, shape))).toBeLessThan(3e-7);

    const size = x.length;
    const trace = {
      step: upload(gpu, [1], Uint32Array.of(1)),
      iterates: upload(gpu, [3, size], new Float32Array(3 * size)),
      oneJump: upload(gpu, [2, size], new Float32Array(2 * size)),
    };
    const v = uniform(6, size, 3);
    const tv = upload(gpu, [batch, tokens, width], v);
    const out = await compute(gpu, () => {
      advance(tx, tv, gpuAt, 0.125, held, trace);
      return concat([trace.iterates, trace.oneJump, tx.reshape(1, size)], 0);
    });
    const [after, jump] = advanceReference(x, v, at, 0.125, held, shape);
    const truth = [...new Float64Array(2 * size), ...after, ...new Float64Array(size), ...jump, ...after];
    expect(relativeError(out, truth)).toBeLessThan(2e-7);
    release(gpu, tp, tx, tv, gpuAt.times, gpuAt.rowOf, ...Object.values(trace));
  });

  it("normaliser and Gaussian noise", async () => {
    const gpu = await testGpu();
    const size = batch * tokens * width;
    const [a, b, c] = [uniform(7, size), uniform(8, width), uniform(9, width).map((v) => Math.abs(v) + 0.1)];
    c[0] = 1e-9;
    const [ta, tb, tc] = [
      upload(gpu, [size / width, width], a),
      upload(gpu, [width], b),
      upload(gpu, [width], c),
    ];
    const y = await compute(gpu, () => standardize(ta, tb, tc, 1e-6));
    const normal = Float64Array.from(a, (v, i) => (v - b[i % width]) / Math.max(c[i % width], 1e-6));
    expect(relativeError(y, normal)).toBeLessThan(3e-7);
    const z = await compute(gpu, () => gaussian(ta, tb, tc));
    const drawn = Float64Array.from(a, (v, i) => v + Math.exp(b[i % width] / 2) * c[i % width]);
    expect(relativeError(z, drawn)).toBeLessThan(3e-7);
    release(gpu, ta, tb, tc);
  });
});
