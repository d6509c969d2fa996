/**
 * y[b, t, h, w, o] = Σ_{a, i, j, c} x[b, s·t + a − lead, s'·h + i − top, s''·w + j − left, c] · W[o, a, i, j, c] + bias[o] + residual
 *
 * A convolution over time, height and width, causal in time: frames are added before the first only, zeros or copies
 * of it. A kernel of one frame makes it the two-dimensional convolution of every frame.
 *
 * Layout: x (B, T, H, W, C) and y (B, T', H', W', O), channels last; W packed as (taps·C, O padded to 8), tap-major, see
 * `WeightLoader.convolution`. An implicit matrix product: the rows are output pixels, the inner axis is taps × C.
 *
 * Tile: one invocation owns 8 pixels of one frame × 8 output channels, as in linear.ts; a step costs 8 scalars of x and two
 * vec4 of W for 64 multiply-adds. Addresses are found once a tap. All its pixels lie in one frame, so that a tap
 * in the zeros before the first frame costs nothing. Each tap (and every 64 channels of it) is added up on its own first,
 * which keeps the rounding of long sums small. Enlarging by nearest pixels happens while reading: the enlarged frame
 * is never stored.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import type { PackedWeight } from "../tensor/packed-weight.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { READ_WEIGHT } from "./linear.wgsl.ts";
import { choose, invocations } from "./variants.ts";

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

const HEADER = (dtype: "f32" | "bf16"): string => /* wgsl */ `
struct Params {
  frames: u32, height: u32, width: u32, channels: u32,
  batch: u32, outFrames: u32, outHeight: u32, outWidth: u32, outChannels: u32,
  kernelT: u32, kernelH: u32, kernelW: u32, strideT: u32, strideH: u32, strideW: u32,
  lead: u32, top: u32, left: u32, enlarge: u32, columns: u32, padded: u32, first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
override BIAS: bool;
override RESIDUAL: bool;
override REPEAT_FIRST: bool;
${READ_WEIGHT[dtype]}

// The input frame that tap a of output frame t reads; negative: a frame of zeros.
fn frameOf(t: u32, a: u32) -> i32 {
  let frame = i32(t * p.strideT + a) - i32(p.lead);
  return select(frame, max(frame, 0), REPEAT_FIRST);
}

struct Pixels { at: vec4u, inside: vec4<bool> }

// Where four pixels of the padded, enlarged frame begin in x. Above and left of the frame the subtraction wraps round.
fn pixelsOf(frame: u32, row: vec4u, column: vec4u) -> Pixels {
  let h = row - p.top;
  let w = column - p.left;
  let inside = (h < vec4u(p.height * p.enlarge)) & (w < vec4u(p.width * p.enlarge));
  let at = ((frame * p.height + h / p.enlarge) * p.width + w / p.enlarge) * p.channels;
  return Pixels(select(vec4u(), at, inside), inside);
}

fn store(frame: u32, m: u32, n: u32, sum: f32) {
  if (m >= p.outHeight * p.outWidth || n >= p.columns) { return; }
  let column = p.first + n;
  let at = (frame * p.outHeight * p.outWidth + m) * p.outChannels + column;
  var value = sum;
  if (BIAS) { value += bias[column]; }
  if (RESIDUAL) { value += residual[at]; }
  y[at] = value;
}
`;

const TILE = /* wgsl */ `
// Four pixels (a) times four channels (b): column i of the result is pixel i of the tile.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}

fn storeTile(frame: u32, m: u32, n: u32, tile: mat4x4f) {
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) { store(frame, m + i, n + j, tile[i][j]); }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let groups = p.padded / 8u;
  let pixels = p.outHeight * p.outWidth;
  let tiles = (pixels + 7u) / 8u;
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let group = index % groups;
  let m = index / groups % tiles * 8u;
  let frame = index / groups / tiles;
  if (frame >= p.batch * p.outFrames) { return; }
  let t = frame % p.outFrames;
  let clip = frame / p.outFrames * p.frames;
  // Pixels beyond the end repeat the last one; they are not stored.
  let upper = min(vec4u(m) + vec4u(0u, 1u, 2u, 3u), vec4u(pixels - 1u));
  let lower = min(vec4u(m) + vec4u(4u, 5u, 6u, 7u), vec4u(pixels - 1u));
  let rowU = upper / p.outWidth * p.strideH;
  let rowL = lower / p.outWidth * p.strideH;
  let columnU = upper % p.outWidth * p.strideW;
  let columnL = lower % p.outWidth * p.strideW;
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var a = 0u; a < p.kernelT; a++) {
    let source = frameOf(t, a);
    if (source < 0) { continue; }
    for (var ij = 0u; ij < p.kernelH * p.kernelW; ij++) {
      let i = ij / p.kernelW;
      let j = ij % p.kernelW;
      let u = pixelsOf(clip + u32(source), rowU + i, columnU + j);
      let l = pixelsOf(clip + u32(source), rowL + i, columnL + j);
      let tap = (a * p.kernelH * p.kernelW + ij) * p.channels;
      for (var c0 = 0u; c0 < p.channels; c0 += 64u) {
        var part00 = mat4x4f(); var part01 = mat4x4f();
        var part10 = mat4x4f(); var part11 = mat4x4f();
        for (var c = c0; c < min(c0 + 64u, p.channels); c++) {
          let b = weight8(tap + c, group);
          let xu = select(vec4f(), vec4f(x[u.at.x + c], x[u.at.y + c], x[u.at.z + c], x[u.at.w + c]), u.inside);
          let xl = select(vec4f(), vec4f(x[l.at.x + c], x[l.at.y + c], x[l.at.z + c], x[l.at.w + c]), l.inside);
          part00 += outer(xu, b[0]); part01 += outer(xu, b[1]);
          part10 += outer(xl, b[0]); part11 += outer(xl, b[1]);
        }
        sum00 += part00; sum01 += part01;
        sum10 += part10; sum11 += part11;
      }
    }
  }
  let n = group * 8u;
  storeTile(frame, m, n, sum00); storeTile(frame, m, n + 4u, sum01);
  storeTile(frame, m + 4u, n, sum10); storeTile(frame, m + 4u, n + 4u, sum11);
}
`;

/** One invocation an output: the second reference, and the floor every other variant must beat. */
const NAIVE = /* wgsl */ `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let n = index % p.columns;
  let m = index / p.columns % (p.outHeight * p.outWidth);
  let frame = index / p.columns / (p.outHeight * p.outWidth);
  if (frame >= p.batch * p.outFrames) { return; }
  let row = vec4u(m / p.outWidth * p.strideH);
  let column = vec4u(m % p.outWidth * p.strideW);
  var sum = 0.0;
  var tap = 0u;
  for (var a = 0u; a < p.kernelT; a++) {
    let source = frameOf(frame % p.outFrames, a);
    for (var i = 0u; i < p.kernelH; i++) {
      for (var j = 0u; j < p.kernelW; j++) {
        let pixel = pixelsOf(frame / p.outFrames * p.frames + u32(max(source, 0)), row + i, column + j);
        if (source >= 0 && pixel.inside.x) {
          for (var c = 0u; c < p.channels; c++) { sum += x[pixel.at.x + c] * weight8(tap + c, n / 8u)[n / 4u % 2u][n % 4u]; }
        }
        tap += p.channels;
      }
    }
  }
  store(frame, m, n, sum);
}
`;

const VARIANTS = { tile: TILE, naive: NAIVE } as const;

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
export function conv3d(x: Tensor, w: PackedWeight, options: ConvolutionOptions): Tensor {
  const { kernel, stride = [1, 1, 1], lead = 0, leading = "zeros", enlarge = 1, bias, residual } = options;
  const shape = convolvedShape(x.shape, w.out, options);
  const [B, T, H, W, C] = x.shape;
  const taps = kernel[0] * kernel[1] * kernel[2];
  if (w.in !== taps * C) {
    throw new UsageError(
      `conv3d: the weight has ${w.in} rows; ${taps} taps of ${C} channels need ${taps * C} (input ${showShape(x.shape)})`,
    );
  }
  if (bias && bias.size !== w.out)
    throw new UsageError(`conv3d: bias has ${bias.size} elements, expected ${w.out}`);
  const y = result(shape, "conv3d");
  if (residual && residual.size !== y.size) {
    throw new UsageError(`conv3d: residual is ${showShape(residual.shape)}, expected ${showShape(shape)}`);
  }
  const list = recording();
  const name = choose(list.gpu, "conv3d", VARIANTS, "tile");
  const workgroup = invocations(list.gpu);
  const [, frames, rows, columns] = shape;
  const { top, left } = sides(options.padding);
  for (const block of w.blocks) {
    const padded = block.data.dim(-1);
    const perFrame =
      name === "naive" ? rows * columns * block.columns : Math.ceil((rows * columns) / 8) * (padded / 8);
    list.dispatch({
      kernel: {
        name: "conv3d",
        key: `${name} ${w.dtype}`,
        wgsl: () => HEADER(w.dtype) + VARIANTS[name],
        inputs: 4,
        outputs: 1,
        constants: {
          WORKGROUP: workgroup,
          BIAS: bias ? 1 : 0,
          RESIDUAL: residual ? 1 : 0,
          REPEAT_FIRST: leading === "first frame" ? 1 : 0,
        },
      },
      params: {
        u32: [
          ...[T, H, W, C, B, frames, rows, columns, w.out],
          ...[...kernel, ...stride, lead, top, left, enlarge],
          ...[block.columns, padded, block.first],
        ],
      },
      inputs: [x.storage, block.data.storage, (bias ?? x).storage, (residual ?? x).storage],
      outputs: [y.storage],
      workgroups: Math.ceil((B * frames * perFrame) / workgroup),
    });
  }
  return y;
}
