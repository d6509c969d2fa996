/**
 * y[b, h, w, c] = max_{i, j} x[b, s·h + i − pad, s·w + j − pad, c]      what lies outside of the frame does not count
 *
 * Layout: channels last. One invocation an output. NaN passes on, as in PyTorch.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";

const pool = kernel({
  name: "max pool",
  params: {
    ...{ size: "u32", height: "u32", width: "u32", channels: "u32", outHeight: "u32", outWidth: "u32" },
    ...{ taps: "u32", stride: "u32", padding: "u32" },
  },
  read: { x: "f32" },
  write: { y: "f32" },
  over: "size",
  functions: /* wgsl */ `${BOUNDS}
// The first and, behind the last, the end of what a window sees of an axis.
fn seen(out: u32, length: u32) -> vec2u {
  let begin = out * p.stride;
  return vec2u(max(begin, p.padding) - p.padding, min(begin + p.taps - p.padding, length));
}`,
  main: /* wgsl */ `
  let c = index % p.channels;
  let column = index / p.channels % p.outWidth;
  let row = index / (p.channels * p.outWidth) % p.outHeight;
  let frame = index / (p.channels * p.outWidth * p.outHeight) * p.height;
  let rows = seen(row, p.height);
  let columns = seen(column, p.width);
  var most = x[((frame + rows.x) * p.width + columns.x) * p.channels + c];
  for (var h = rows.x; h < rows.y; h++) {
    for (var w = columns.x; w < columns.y; w++) {
      let value = x[((frame + h) * p.width + w) * p.channels + c];
      most = select(atLeast(value, most), most, isNan(most));
    }
  }
  y[index] = most;`,
});

export interface PoolShape {
  /** rows and columns of a window */
  readonly taps: number;
  readonly stride: number;
  /** on every side; less than `taps`, so that every window sees something */
  readonly padding: number;
}

/** Rows or columns of the result. @throws UsageError when no window fits, or one would see nothing */
export function pooledLength(length: number, { taps, stride, padding }: PoolShape): number {
  const out = Math.floor((length + 2 * padding - taps) / stride) + 1;
  if (out < 1 || padding >= taps)
    throw new UsageError(
      `maxPool: windows of ${taps} with padding ${padding} do not fit a length of ${length}`,
    );
  return out;
}

/** x (B, H, W, C) → (B, H', W', C). @throws UsageError for another number of axes, or windows that do not fit */
export function maxPool(x: Tensor, shape: PoolShape): Tensor {
  if (x.shape.length !== 4)
    throw new UsageError(`maxPool: ${showShape(x.shape)} is not (batch, rows, columns, channels)`);
  const [batch, height, width, channels] = x.shape;
  const [outHeight, outWidth] = [pooledLength(height, shape), pooledLength(width, shape)];
  const y = result([batch, outHeight, outWidth, channels], "max pool");
  pool({
    params: { size: y.size, height, width, channels, outHeight, outWidth, ...shape },
    read: { x },
    write: { y },
  });
  return y;
}
