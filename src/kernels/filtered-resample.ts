/**
 * down: y[b, h, w, c] = Σ_{i, j} f[i, j] · x[b, 2h + i − pad, 2w + j − pad, c]
 * up:   y[b, h, w, c] = 4 · Σ_{i, j} f[i, j] · x[b, (h + pad − i) / 2, (w + pad − j) / 2, c]      where both halves are whole
 *
 * Half or twice the size through a filter (Karras et al. 2022, appendix B.1 of EDM's networks): one filter for all channels, zeros outside of the frame,
 * pad = ⌊(k − 1) / 2⌋. The filter (k, k) is the outer product of its taps with a sum of 1; k is even, so that sizes halve and double.
 * The second is the transposed convolution of the first, times 4. Layout: channels last. One invocation an output, or four channels of it where they can be
 * counted in fours: 9 ms of processor time for 2 × 16 × 16 × 128 pixels doubled, 26 ms for 127 channels; halved from 32 × 32, 4 and 8 (SwiftShader
 * 5.0.0, 2 shared cores, 2026-11-26).
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { likewise } from "./jvp.ts";
import { type Form, kernel } from "./kernel.ts";

export type Resampling = "up" | "down";

interface ResampleForm extends Form {
  readonly element: "f32" | "vec4f";
}

/** Channels and size are counted in elements. */
const filtered = (name: string, taps: string) =>
  kernel({
    name: `filtered ${name}`,
    params: {
      ...{ size: "u32", height: "u32", width: "u32", channels: "u32", outHeight: "u32", outWidth: "u32" },
      ...{ taps: "u32", padding: "u32" },
    },
    read: ({ element }: ResampleForm) => ({ x: element, f: "f32" }),
    write: ({ element }) => ({ y: element }),
    over: "size",
    functions: ({ element }) => /* wgsl */ `
fn tap(frame: u32, row: u32, column: u32, c: u32, weight: f32) -> ${element} {
  // What lies before the frame has wrapped to a large number.
  if (row >= p.height || column >= p.width) { return ${element}(); }
  return weight * x[((frame * p.height + row) * p.width + column) * p.channels + c];
}`,
    main: ({ element }) => /* wgsl */ `
  let c = index % p.channels;
  let column = index / p.channels % p.outWidth;
  let row = index / (p.channels * p.outWidth) % p.outHeight;
  let frame = index / (p.channels * p.outWidth * p.outHeight);
  var sum = ${element}();
${taps}`,
  });

const SAMPLERS = {
  down: filtered(
    "down",
    /* wgsl */ `
  for (var i = 0u; i < p.taps; i++) {
    for (var j = 0u; j < p.taps; j++) {
      sum += tap(frame, 2u * row + i - p.padding, 2u * column + j - p.padding, c, f[i * p.taps + j]);
    }
  }
  y[index] = sum;`,
  ),
  // Every second tap, from the one that meets a pixel.
  up: filtered(
    "up",
    /* wgsl */ `
  let bottom = row + p.padding;
  let right = column + p.padding;
  for (var i = bottom % 2u; i < p.taps; i += 2u) {
    for (var j = right % 2u; j < p.taps; j += 2u) {
      if (i > bottom || j > right) { continue; }
      sum += tap(frame, (bottom - i) / 2u, (right - j) / 2u, c, f[i * p.taps + j]);
    }
  }
  y[index] = 4.0 * sum;`,
  ),
} as const;

/** Rows or columns of the result. @throws UsageError for an odd filter, or an odd length that should halve */
export function resampledLength(length: number, taps: number, direction: Resampling): number {
  if (taps % 2 !== 0 || (direction === "down" && length % 2 !== 0))
    throw new UsageError(
      `filteredResample ${direction}: a filter of ${taps} taps and ${length} pixels; both must be even`,
    );
  return direction === "up" ? 2 * length : length / 2;
}

/**
 * x (B, H, W, C) → (B, 2H, 2W, C) or (B, H/2, W/2, C); the filter (…, k, k).
 * @throws UsageError for another number of axes, an odd filter, odd sizes that should halve
 */
export function filteredResample(x: Tensor, filter: Tensor, direction: Resampling): Tensor {
  const taps = filter.dim(-1);
  if (x.shape.length !== 4 || filter.size !== taps * taps)
    throw new UsageError(
      `filteredResample: ${showShape(x.shape)} by ${showShape(filter.shape)}, expected (batch, rows, columns, channels) and a square`,
    );
  return likewise(x, (x) => resample(x, filter, direction));
}

function resample(x: Tensor, filter: Tensor, direction: Resampling): Tensor {
  const taps = filter.dim(-1);
  const [batch, height, width, channels] = x.shape;
  const [outHeight, outWidth] = [height, width].map((n) => resampledLength(n, taps, direction));
  const y = result([batch, outHeight, outWidth, channels], `filtered ${direction}`);
  const per = channels % 4 === 0 ? 4 : 1;
  SAMPLERS[direction]({
    form: { element: per === 4 ? "vec4f" : "f32" },
    params: {
      ...{ size: y.size / per, height, width, channels: channels / per, outHeight, outWidth },
      ...{ taps, padding: (taps - 2) / 2 },
    },
    read: { x, f: filter },
    write: { y },
  });
  return y;
}
