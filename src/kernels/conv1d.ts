/**
 * y[b, p, o] = Σ_{κ, c} x[b, s·p + κ − pad, c] · W[o, κ, c] + bias[o] + residual[b, p, o]
 *
 * A convolution over positions: the product of its windows (unfold.ts) with W (O, taps · C padded to 4), as `WeightLoader.convolution`
 * lays it out. A plan of actions has 16 positions and up to 2048 channels: that is a product of few rows with a large weight, for which
 * linear.ts has its variants; conv3d.ts gives a frame of 16 pixels so few invocations that a GPU is idle.
 */
import { UsageError } from "../errors.ts";
import { convolutionTerms, type Matrix } from "../tensor/matrix.ts";
import { showShape, type Tensor } from "../tensor/tensor.ts";
import { linear, type LinearOptions } from "./linear.ts";
import { unfold, type WindowShape } from "./unfold.ts";

export type Convolution1dOptions = WindowShape & Pick<LinearOptions, "bias" | "residual">;

/**
 * x (B, P, C) → (B, P', O).
 * @throws UsageError when the weight, the bias or the residual do not fit, or x is shorter than a window
 */
export function conv1d(x: Tensor, w: Matrix, { bias, residual, ...shape }: Convolution1dOptions): Tensor {
  const terms = convolutionTerms(shape.taps, x.dim(-1));
  if (w.in !== terms)
    throw new UsageError(
      `conv1d: the weight has ${w.in} terms; ${shape.taps} taps of ${x.dim(-1)} channels need ${terms} (input ${showShape(x.shape)})`,
    );
  return linear(unfold(x, shape), w, { bias, residual });
}
