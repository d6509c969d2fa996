import { describe, expect, it } from "vitest";
import { conv3d, type ConvolutionShape, convolvedShape } from "../../src/kernels/conv3d.ts";
import { conv3dReference } from "../../src/kernels/conv3d.reference.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { convolutionTerms, Matrix } from "../../src/tensor/matrix.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

interface Case {
  readonly x: readonly number[];
  readonly out: number;
  readonly shape: ConvolutionShape;
}

const CASES: Readonly<Record<string, Case>> = {
  "one pixel, one tap": { x: [1, 1, 1, 1, 1], out: 1, shape: { kernel: [1, 1, 1] } },
  "a row of pixels": { x: [1, 1, 1, 11, 3], out: 5, shape: { kernel: [1, 3, 3], padding: 1 } },
  "a column of pixels": { x: [2, 1, 9, 1, 3], out: 9, shape: { kernel: [1, 3, 3], padding: 1 } },
  "in time, zeros before": { x: [2, 4, 2, 3, 7], out: 6, shape: { kernel: [3, 1, 1], lead: 2 } },
  "in time, first frame before": {
    x: [2, 3, 3, 3, 5],
    out: 11,
    shape: { kernel: [3, 1, 1], lead: 2, leading: "first frame" },
  },
  "one frame behind two copies": {
    x: [1, 1, 3, 2, 4],
    out: 8,
    shape: { kernel: [3, 1, 1], lead: 2, leading: "first frame" },
  },
  "one frame behind zeros": {
    x: [1, 1, 4, 5, 9],
    out: 10,
    shape: { kernel: [3, 3, 3], lead: 2, padding: 1 },
  },
  "a cube over odd sizes": {
    x: [2, 3, 5, 7, 13],
    out: 17,
    shape: { kernel: [3, 3, 3], lead: 2, padding: 1 },
  },
  "no frame before": { x: [1, 5, 3, 3, 4], out: 4, shape: { kernel: [3, 1, 1], stride: [2, 1, 1] } },
  "strides, padded right and below": {
    x: [1, 2, 7, 6, 10],
    out: 12,
    shape: { kernel: [1, 3, 3], stride: [1, 2, 2], padding: { bottom: 1, right: 1 } },
  },
  "three different strides": {
    x: [2, 7, 8, 9, 3],
    out: 3,
    shape: { kernel: [3, 2, 3], stride: [2, 3, 1], lead: 1, padding: { top: 2, left: 1 } },
  },
  "more than 64 channels": { x: [1, 2, 3, 3, 131], out: 9, shape: { kernel: [1, 3, 3], padding: 1 } },
  enlarged: { x: [1, 2, 3, 5, 6], out: 7, shape: { kernel: [1, 3, 3], padding: 1, enlarge: 2 } },
  "enlarged threefold, strided": {
    x: [1, 1, 2, 3, 4],
    out: 8,
    shape: { kernel: [1, 3, 3], padding: 1, enlarge: 3, stride: [1, 2, 2] },
  },
};

// Rounding of a float32 sum: a tap of at most 64 terms at a time, or all of them in order.
const bound = (variant: string, terms: number, channels: number): number =>
  2e-7 +
  2e-8 * Math.sqrt(variant === "naive" ? terms : Math.min(channels, 64) + terms / Math.min(channels, 64));

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** W (O, taps, C) on the device, its channels padded to a multiple of four. */
function pack(gpu: Gpu, w: Float32Array, out: number, taps: number, channels: number): Matrix {
  const terms = convolutionTerms(taps, channels);
  const padded = new Float32Array(out * terms);
  for (let row = 0; row < out * taps; row++) {
    padded.set(w.subarray(row * channels, (row + 1) * channels), (row * terms) / taps);
  }
  const weight = new Matrix(gpu, out, terms, "f32", "w");
  weight.upload(gpu, padded);
  return weight;
}

describe.each(["quads", "tile", "naive"])("conv3d, %s", (variant) => {
  const options = { variants: { conv3d: variant } };

  it.each(Object.entries(CASES))("%s", async (_, { x: shape, out, shape: convolution }) => {
    const gpu = await testGpu(options);
    const C = shape[4];
    const terms = size(convolution.kernel) * C;
    const [x, w, bias] = [uniform(1, size(shape)), uniform(2, out * terms), uniform(3, out)];
    const residual = uniform(4, size(convolvedShape(shape, out, convolution)));
    const weight = pack(gpu, w, out, size(convolution.kernel), C);
    const tensors = [
      upload(gpu, shape, x),
      upload(gpu, [out], bias),
      upload(gpu, [residual.length], residual),
    ] as const;
    const y = await compute(gpu, () =>
      conv3d(tensors[0], weight, { ...convolution, bias: tensors[1], residual: tensors[2] }),
    );
    const truth = conv3dReference(x, shape, w, out, { ...convolution, bias, residual });
    expect(relativeError(y, truth)).toBeLessThan(bound(variant, terms, C));
    release(gpu, ...tensors);
    weight.release(gpu);
  });

  it("splits a weight that is larger than one binding", async () => {
    const gpu = await testGpu({ ...options, maxBindingBytes: 4096 });
    const [shape, out]: [number[], number] = [[1, 1, 4, 4, 7], 30];
    const [x, w] = [uniform(5, size(shape)), uniform(6, out * 63)];
    const weight = pack(gpu, w, out, 9, 7);
    expect(weight.blocks.length).toBeGreaterThan(1);
    const tx = upload(gpu, shape, x);
    const y = await compute(gpu, () => conv3d(tx, weight, { kernel: [1, 3, 3], padding: 1 }));
    const truth = conv3dReference(x, shape, w, out, { kernel: [1, 3, 3], padding: 1 });
    expect(relativeError(y, truth)).toBeLessThan(bound(variant, 63, 7));
    release(gpu, tx);
    weight.release(gpu);
  });
});

describe("conv3d", () => {
  it("refuses an input smaller than the kernel, and weights of another width", async () => {
    const gpu = await testGpu();
    const weight = pack(gpu, new Float32Array(4 * 54), 4, 27, 2);
    const x = upload(gpu, [1, 2, 3, 3, 2], new Float32Array(36));
    await expect(compute(gpu, () => conv3d(x, weight, { kernel: [3, 3, 3] }))).rejects.toThrow(
      /\(2, 3, 3\).*\(3, 3, 3\)/,
    );
    await expect(compute(gpu, () => conv3d(x, weight, { kernel: [1, 3, 3] }))).rejects.toThrow(
      /108 terms.*need 36/,
    );
  });
});
