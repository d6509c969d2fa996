/**
 * y[b, t, h, w, o] = Σ_{a, i, j, c} x[b, s·t + a − lead, s'·h + i − top, s''·w + j − left, c] · W[o, a, i, j, c] + bias[o] + residual
 *
 * A convolution over time, height and width, causal in time: frames are added before the first only, zeros or copies
 * of it. A kernel of one frame makes it the two-dimensional convolution of every frame.
 *
 * Layout: x (B, T, H, W, C) and y (B, T', H', W', O), channels last; W (O, taps · C padded to 4), tap-major, see
 * `WeightLoader.convolution`. An implicit matrix product: its rows are output pixels, its terms taps × channels. The
 * programs stand in conv3d/, a file a variant.
 *
 * All pixels of a workgroup lie in one frame, so that a tap in the zeros before the first frame costs nothing; their
 * addresses are found once a tap. Enlarging by nearest pixels happens while reading: the enlarged frame is never stored.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { convolutionTerms, type Matrix } from "../tensor/matrix.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { ConvolutionVariant } from "./conv3d/program.ts";
import { naive } from "./conv3d/naive.ts";
import { quads } from "./conv3d/quads.ts";
import { tile } from "./conv3d/tile.ts";
import { withTangent, zeros } from "./jvp.ts";
import { choose } from "./variants.ts";

/** Three numbers for time, height, width. */
export type Triple = readonly [number, number, number];

/** Pixels of zeros around every frame. */
export interface SpatialPadding {
  readonly top?: number;
  readonly bottom?: number;
  readonly left?: number;
  readonly right?: number;
}

export interface ConvolutionShape {
  readonly kernel: Triple;
  /** default 1, 1, 1 */
  readonly stride?: Triple;
  /** frames put before the first one; default 0 */
  readonly lead?: number;
  /** what those frames hold; default zeros */
  readonly leading?: "zeros" | "first frame";
  /** pixels of zeros on every side, or side by side; default 0 */
  readonly padding?: number | SpatialPadding;
  /** each input pixel counts as a square of this many by as many (nearest upsampling); default 1 */
  readonly enlarge?: number;
}

export interface ConvolutionOptions extends ConvolutionShape {
  /** (O) */
  readonly bias?: Tensor;
  /** same shape as the result; added last */
  readonly residual?: Tensor;
}

const VARIANTS = { quads, tile, naive } as const satisfies Record<string, ConvolutionVariant>;

/**
 * The shape (B, T', H', W', O) of a convolution's result.
 * @throws UsageError when the input has not five axes or is smaller than the kernel
 */
export function convolvedShape(input: readonly number[], out: number, shape: ConvolutionShape): number[] {
  const { kernel, stride = [1, 1, 1], lead = 0, enlarge = 1 } = shape;
  const { top, bottom, left, right } = sides(shape.padding);
  const [B, T, H, W] = input;
  const padded = [T + lead, H * enlarge + top + bottom, W * enlarge + left + right];
  if (input.length !== 5 || padded.some((n, axis) => n < kernel[axis])) {
    throw new UsageError(
      `conv3d: ${showShape(input)} is padded to (${padded.join(", ")}) frames, rows and columns; the kernel needs (${kernel.join(", ")})`,
    );
  }
  return [B, ...padded.map((n, axis) => Math.floor((n - kernel[axis]) / stride[axis]) + 1), out];
}

/** Padding side by side. */
export function sides(padding: number | SpatialPadding = 0): Required<SpatialPadding> {
  if (typeof padding === "number") return { top: padding, bottom: padding, left: padding, right: padding };
  const { top = 0, bottom = 0, left = 0, right = 0 } = padding;
  return { top, bottom, left, right };
}

/**
 * A convolution: (B, T, H, W, C) → (B, T', H', W', O).
 * @throws UsageError when the weight, the bias or the residual do not fit, or the kernel is larger than its padded input
 */
export function conv3d(x: Tensor, w: Matrix, options: ConvolutionOptions): Tensor {
  const { kernel, bias, residual } = options;
  const shape = convolvedShape(x.shape, w.out, options);
  const C = x.dim(-1);
  const taps = kernel[0] * kernel[1] * kernel[2];
  const terms = convolutionTerms(taps, C);
  if (w.in !== terms) {
    throw new UsageError(
      `conv3d: the weight has ${w.in} terms; ${taps} taps of ${C} channels need ${terms} (input ${showShape(x.shape)})`,
    );
  }
  if (bias && bias.size !== w.out)
    throw new UsageError(`conv3d: bias has ${bias.size} elements, expected ${w.out}`);
  const size = shape.reduce((a, b) => a * b);
  if (residual && residual.size !== size)
    throw new UsageError(`conv3d: residual is ${showShape(residual.shape)}, expected ${showShape(shape)}`);
  // Linear: the tangent goes the same way, without the bias.
  return withTangent(
    [x, bias, residual],
    () => convolve(x, w, shape, options),
    ([dx, dBias, dResidual]) =>
      dx || dBias
        ? convolve(dx ?? zeros(x.shape), w, shape, { ...options, bias: dBias, residual: dResidual })
        : dResidual!.reshape(...shape),
  );
}

/** The operands fit together. */
function convolve(x: Tensor, w: Matrix, shape: readonly number[], options: ConvolutionOptions): Tensor {
  const { kernel, stride = [1, 1, 1], lead = 0, leading = "zeros", enlarge = 1, bias, residual } = options;
  const y = result(shape, "conv3d");
  recording().flops += 2 * y.size * kernel[0] * kernel[1] * kernel[2] * x.dim(-1);
  const name = choose(recording().gpu, "conv3d", VARIANTS, "quads", "tile");
  const { top, left } = sides(options.padding);
  for (const block of w.blocks) {
    VARIANTS[name].run({
      ...{ x, dtype: w.dtype, padded: w.padded, block, bias, residual, y },
      ...{ kernel, stride, lead, repeatFirst: leading === "first frame", top, left, enlarge },
    });
  }
  return y;
}
