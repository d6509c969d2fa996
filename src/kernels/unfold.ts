/**
 * y[b, p, κ, c] = x[b, s·p + κ − pad, c]; zero beyond both ends, and for the channels that fill C up to a multiple of four
 *
 * The windows that a convolution over positions sees, each a row, so that the convolution is a product with its weight as
 * `WeightLoader.convolution` lays it out. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";

const unfolded = kernel({
  name: "unfold",
  params: {
    ...{ size: "u32", positions: "u32", channels: "u32", outPositions: "u32" },
    ...{ taps: "u32", depth: "u32", stride: "u32", padding: "u32" },
  },
  read: { x: "f32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  let c = index % p.depth;
  let tap = index / p.depth % p.taps;
  let row = index / (p.depth * p.taps);
  // Before the first position the subtraction wraps round.
  let position = row % p.outPositions * p.stride + tap - p.padding;
  let inside = position < p.positions && c < p.channels;
  let at = (row / p.outPositions * p.positions + position) * p.channels + c;
  y[index] = select(0.0, x[select(0u, at, inside)], inside);`,
});

export interface WindowShape {
  /** taps of a window */
  readonly taps: number;
  /** default 1 */
  readonly stride?: number;
  /** positions of zeros before the first and behind the last; default 0 */
  readonly padding?: number;
}

/** How many windows lie over `positions`. @throws UsageError when not one fits */
export function windowCount(positions: number, { taps, stride = 1, padding = 0 }: WindowShape): number {
  const room = positions + 2 * padding - taps;
  if (room < 0)
    throw new UsageError(
      `unfold: ${positions} positions with ${padding} zeros on both sides do not hold ${taps} taps`,
    );
  return Math.floor(room / stride) + 1;
}

/**
 * x (B, P, C) → (B, P', taps · ⌈C/4⌉·4).
 * @throws UsageError when x has not three axes, or is shorter than a window
 */
export function unfold(x: Tensor, shape: WindowShape): Tensor {
  if (x.shape.length !== 3)
    throw new UsageError(`unfold: ${showShape(x.shape)} is not (batch, positions, channels)`);
  const { taps, stride = 1, padding = 0 } = shape;
  const [batch, positions, channels] = x.shape;
  const outPositions = windowCount(positions, shape);
  const depth = Math.ceil(channels / 4) * 4;
  const y = result([batch, outPositions, taps * depth], "unfold");
  unfolded({
    params: { size: y.size, positions, channels, outPositions, taps, depth, stride, padding },
    read: { x },
    write: { y },
  });
  return y;
}
