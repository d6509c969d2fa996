/**
 * y[b, p, o] = bias[o] + Σ_{q, κ: s·q − pad + κ = p} Σ_i x[b, q, i] · W[κ, o, i]
 *
 * A transposed convolution over positions: every position of x spreads over `taps` positions of y. First all taps of all positions,
 * z = x · Wᵀ (B, Q, taps · O), one product that touches the weight once; then every output gathers those that fall on it, one
 * invocation an output. W (taps · O, I) as `WeightLoader.transposedConvolution` lays it out.
 */
import { UsageError } from "../errors.ts";
import type { Matrix } from "../tensor/matrix.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { linear } from "./linear.ts";
import type { WindowShape } from "./unfold.ts";

const gather = kernel({
  name: "conv transpose 1d",
  params: {
    ...{ size: "u32", inPositions: "u32", outPositions: "u32", channels: "u32" },
    ...{ taps: "u32", stride: "u32", padding: "u32" },
  },
  read: { z: "f32", "bias?": "f32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  let o = index % p.channels;
  let row = index / p.channels;
  let position = row % p.outPositions + p.padding; // = s·q + κ
  let before = row / p.outPositions * p.inPositions;
  var sum = 0.0;
  if (HAS_BIAS) { sum = bias[o]; }
  for (var tap = position % p.stride; tap < p.taps && tap <= position; tap += p.stride) {
    let q = (position - tap) / p.stride;
    if (q < p.inPositions) { sum += z[((before + q) * p.taps + tap) * p.channels + o]; }
  }
  y[index] = sum;`,
});

export interface TransposedOptions extends WindowShape {
  /** (O) */
  readonly bias?: Tensor;
}

/** How many positions Q become: (Q − 1)·s − 2·pad + taps. @throws UsageError when none are left */
export function spreadCount(positions: number, { taps, stride = 1, padding = 0 }: WindowShape): number {
  const out = (positions - 1) * stride - 2 * padding + taps;
  if (out < 1)
    throw new UsageError(
      `convTranspose1d: ${positions} positions and ${taps} taps leave nothing without ${padding} on both sides`,
    );
  return out;
}

/**
 * x (B, Q, I) → (B, P, O).
 * @throws UsageError when x has not three axes, or weight or bias do not fit
 */
export function convTranspose1d(x: Tensor, w: Matrix, options: TransposedOptions): Tensor {
  const { taps, stride = 1, padding = 0, bias } = options;
  const channels = w.out / taps;
  if (x.shape.length !== 3 || !Number.isInteger(channels) || (bias && bias.size !== channels))
    throw new UsageError(
      `convTranspose1d: a weight of ${w.out} rows and ${bias?.size ?? "no"} biases do not fit ${taps} taps over ${showShape(x.shape)}`,
    );
  const [batch, inPositions] = x.shape;
  const outPositions = spreadCount(inPositions, options);
  const y = result([batch, outPositions, channels], "convTranspose1d");
  gather({
    params: { size: y.size, inPositions, outPositions, channels, taps, stride, padding },
    read: { z: linear(x, w), bias },
    write: { y },
  });
  return y;
}
