/** conv3d.ts in plain float64 loops. */
import { type ConvolutionShape, convolvedShape, sides } from "./conv3d.ts";

/** y (B, T', H', W', O) of x (B, T, H, W, C) and W (O, kernel…, C). */
export function conv3dReference(
  x: ArrayLike<number>,
  shape: readonly number[],
  w: ArrayLike<number>,
  out: number,
  options: ConvolutionShape & { bias?: ArrayLike<number>; residual?: ArrayLike<number> },
): Float64Array {
  const { kernel, stride = [1, 1, 1], lead = 0, leading = "zeros", enlarge = 1, bias, residual } = options;
  const [B, T, H, W, C] = shape;
  const [kt, kh, kw] = kernel;
  const { top, left } = sides(options.padding);
  const [, frames, rows, columns] = convolvedShape(shape, out, options);
  const y = new Float64Array(B * frames * rows * columns * out);
  let at = 0;
  for (let b = 0; b < B; b++)
    for (let t = 0; t < frames; t++)
      for (let h = 0; h < rows; h++)
        for (let v = 0; v < columns; v++)
          for (let o = 0; o < out; o++, at++) {
            let sum = bias?.[o] ?? 0;
            for (let a = 0; a < kt; a++)
              for (let i = 0; i < kh; i++)
                for (let j = 0; j < kw; j++) {
                  let frame = t * stride[0] + a - lead;
                  if (frame < 0 && leading === "first frame") frame = 0;
                  const row = Math.floor((h * stride[1] + i - top) / enlarge);
                  const column = Math.floor((v * stride[2] + j - left) / enlarge);
                  if (frame < 0 || row < 0 || row >= H || column < 0 || column >= W) continue;
                  const pixel = (((b * T + frame) * H + row) * W + column) * C;
                  const tap = (((o * kt + a) * kh + i) * kw + j) * C;
                  for (let c = 0; c < C; c++) sum += x[pixel + c] * w[tap + c];
                }
            y[at] = sum + (residual?.[at] ?? 0);
          }
  return y;
}
