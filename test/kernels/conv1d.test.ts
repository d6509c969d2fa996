import { describe, expect, it } from "vitest";
import { conv1d } from "../../src/kernels/conv1d.ts";
import { conv1dReference } from "../../src/kernels/conv1d.reference.ts";
import { conv3d } from "../../src/kernels/conv3d.ts";
import { convTranspose1d } from "../../src/kernels/conv-transpose1d.ts";
import { convTranspose1dReference } from "../../src/kernels/conv-transpose1d.reference.ts";
import { unfold } from "../../src/kernels/unfold.ts";
import { unfoldReference } from "../../src/kernels/unfold.reference.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Matrix } from "../../src/tensor/matrix.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import type { StoredDtype, TensorSource } from "../../src/weights/source.ts";
import { compute, release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";

/** A checkpoint of one tensor, in float32, or of bfloat16 bit patterns. */
function oneTensor(shape: readonly number[], values: Float32Array | Uint16Array): TensorSource {
  const dtype: StoredDtype = values instanceof Uint16Array ? "BF16" : "F32";
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    name: "test",
    tensors: new Map([["w", { name: "w", dtype, shape, bytes: bytes.length }]]),
    read: () => Promise.resolve(bytes),
    stream: async function* () {
      await Promise.resolve();
      yield bytes;
    },
    close: () => Promise.resolve(),
  };
}

/** The weight as a checkpoint brings it. */
async function loaded(
  gpu: Gpu,
  shape: readonly number[],
  values: Float32Array | Uint16Array,
  ask: (w: WeightLoader) => Matrix,
): Promise<{ w: Matrix; loader: WeightLoader }> {
  const dtype = values instanceof Uint16Array ? "bf16" : "f32";
  const loader = WeightLoader.from(gpu, oneTensor(shape, values), { dtype });
  const w = ask(loader);
  await loader.load();
  return { w, loader };
}

/** (O, C, taps) → (O, taps, C) */
const channelsLast = (w: Float32Array, [, C, K]: readonly number[]): Float32Array =>
  Float32Array.from({ length: w.length }, (_, i) => {
    const [o, k, c] = [Math.floor(i / (K * C)), Math.floor(i / C) % K, i % C];
    return w[(o * C + c) * K + k];
  });

const SHAPES = [
  { batch: 1, positions: 16, channels: 2, out: 16, taps: 5, stride: 1, padding: 2 },
  { batch: 3, positions: 12, channels: 24, out: 7, taps: 3, stride: 2, padding: 1 },
  { batch: 2, positions: 9, channels: 5, out: 33, taps: 1, stride: 1, padding: 0 },
  { batch: 2, positions: 4, channels: 260, out: 40, taps: 7, stride: 3, padding: 3 },
  { batch: 1, positions: 3, channels: 4, out: 4, taps: 3, stride: 1, padding: 0 },
];

describe("conv1d", () => {
  it.each(SHAPES)("$batch × $positions × $channels to $out, $taps taps by $stride", async (shape) => {
    const { batch, positions, channels, out, taps, stride, padding } = shape;
    const gpu = await testGpu();
    const x = uniform(1, batch * positions * channels);
    const w = uniform(2, out * channels * taps);
    const size = [batch, positions, channels] as const;
    const stored = [out, channels, taps];
    const { w: weight, loader } = await loaded(gpu, stored, w, (l) => l.convolution("w", stored));
    const b = uniform(3, out);
    const [tx, bias] = [upload(gpu, size, x), upload(gpu, [out], b)];
    const windows = { taps, stride, padding };
    expect([...(await compute(gpu, () => unfold(tx, windows)))]).toEqual([
      ...unfoldReference(x, size, windows),
    ]);
    const plain = conv1dReference(x, size, channelsLast(w, stored), out, { ...windows, bias: b });
    const r = uniform(4, plain.length);
    const residual = upload(gpu, [r.length / out, out], r);
    const y = await compute(gpu, () => conv1d(tx, weight, { ...windows, bias, residual }));
    const truth = conv1dReference(x, size, channelsLast(w, stored), out, {
      ...windows,
      bias: b,
      residual: r,
    });
    expect(relativeError(y, truth)).toBeLessThan(1e-6);
    // The same weight and the same sum by another kernel.
    const second = await compute(gpu, () =>
      conv3d(tx.reshape(batch, 1, 1, positions, channels), weight, {
        ...{ kernel: [1, 1, taps], stride: [1, 1, stride], padding: { left: padding, right: padding }, bias },
      }),
    );
    expect(relativeError(second, plain)).toBeLessThan(1e-6);
    release(gpu, tx, bias, residual);
    loader.release();
  });

  it("refuses a weight of other taps, and windows longer than what there is", async () => {
    const gpu = await testGpu();
    const { w, loader } = await loaded(gpu, [4, 4, 3], uniform(1, 48), (l) => l.convolution("w", [4, 4, 3]));
    const x = upload(gpu, [1, 2, 4], uniform(2, 8));
    await expect(compute(gpu, () => conv1d(x, w, { taps: 5, padding: 2 }))).rejects.toThrow(
      /12 terms; 5 taps of 4 channels need 20/,
    );
    await expect(compute(gpu, () => conv1d(x, w, { taps: 3 }))).rejects.toThrow(
      /2 positions .* do not hold 3 taps/,
    );
    release(gpu, x);
    loader.release();
  });
});

describe("convTranspose1d", () => {
  it.each([
    { batch: 1, positions: 4, inner: 32, out: 32, taps: 4, stride: 2, padding: 1 },
    { batch: 3, positions: 5, inner: 3, out: 9, taps: 5, stride: 3, padding: 2 },
    { batch: 2, positions: 7, inner: 18, out: 2, taps: 3, stride: 1, padding: 0 },
    { batch: 2, positions: 1, inner: 5, out: 4, taps: 2, stride: 4, padding: 0 },
  ])("$batch × $positions × $inner to $out, $taps taps by $stride", async (shape) => {
    const { batch, positions, inner, out, taps, stride, padding } = shape;
    const gpu = await testGpu();
    const x = uniform(5, batch * positions * inner);
    const stored = [inner, out, taps];
    const w = uniform(6, inner * out * taps);
    const b = uniform(7, out);
    const { w: weight, loader } = await loaded(gpu, stored, w, (l) => l.transposedConvolution("w", stored));
    const size = [batch, positions, inner] as const;
    const [tx, bias] = [upload(gpu, size, x), upload(gpu, [out], b)];
    const windows = { taps, stride, padding };
    const y = await compute(gpu, () => convTranspose1d(tx, weight, { ...windows, bias }));
    expect(relativeError(y, convTranspose1dReference(x, size, w, out, { ...windows, bias: b }))).toBeLessThan(
      1e-6,
    );
    const bare = await compute(gpu, () => convTranspose1d(tx, weight, windows));
    expect(relativeError(bare, convTranspose1dReference(x, size, w, out, windows))).toBeLessThan(1e-6);
    release(gpu, tx, bias);
    loader.release();
  });

  it("keeps bfloat16 as it is stored", async () => {
    const gpu = await testGpu();
    const stored = [6, 5, 4];
    const bits = Uint16Array.from(new Uint32Array(uniform(8, 120).buffer), (word) => word >>> 16);
    const w = new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
    const { w: weight, loader } = await loaded(gpu, stored, bits, (l) =>
      l.transposedConvolution("w", stored),
    );
    expect(weight.dtype).toBe("bf16");
    const x = uniform(9, 18);
    const tx = upload(gpu, [1, 3, 6], x);
    const windows = { taps: 4, stride: 2, padding: 1 };
    const y = await compute(gpu, () => convTranspose1d(tx, weight, windows));
    expect(relativeError(y, convTranspose1dReference(x, [1, 3, 6], w, 5, windows))).toBeLessThan(1e-6);
    release(gpu, tx);
    loader.release();
  });
});
