/**
 * What the programs behind conv3d.ts share: their bindings, where a pixel of the padded and enlarged frame lies, and how a sum
 * becomes an output. m output pixel of a frame, n output channel, c input channel.
 */
import type { WeightDtype } from "../../tensor/packed-weight.ts";
import { READ_WEIGHT, readX, ROW_OF_W } from "../terms.ts";
import type { Needs } from "../variants.ts";

/** What decides how many invocations a frame takes. */
export interface FrameShape {
  readonly pixels: number;
  /** output channels of this block of the weight */
  readonly channels: number;
}

export interface ConvolutionProgram {
  /** changes whenever the text does */
  readonly key: string;
  readonly body: string;
  /** invocations an output frame */
  readonly perFrame: number;
}

/** A way to compute a convolution. */
export interface ConvolutionVariant {
  readonly needs?: Needs;
  readonly program: (shape: FrameShape) => ConvolutionProgram;
}

export const HEADER = (x: "f32" | "vec4f", dtype: WeightDtype): string => /* wgsl */ `
struct Params {
  frames: u32, height: u32, width: u32, channels: u32,
  batch: u32, outFrames: u32, outHeight: u32, outWidth: u32, outChannels: u32,
  kernelT: u32, kernelH: u32, kernelW: u32, strideT: u32, strideH: u32, strideW: u32,
  lead: u32, top: u32, left: u32, enlarge: u32, columns: u32, padded: u32, first: u32, perFrame: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<${x}>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
override BIAS: bool;
override RESIDUAL: bool;
override REPEAT_FIRST: bool;
${READ_WEIGHT[dtype]}
${readX(x, "p.channels")}

// Every workgroup works on one output frame, so that frames of zeros are skipped in uniform control flow.
fn outFrameOf(wg: vec3u, grid: vec3u) -> u32 { return (wg.x + wg.y * grid.x) / p.perFrame; }
fn indexInFrame(wg: vec3u, grid: vec3u, lane: u32) -> u32 { return (wg.x + wg.y * grid.x) % p.perFrame * WORKGROUP + lane; }

// The input frame that tap a of output frame t reads; negative: a frame of zeros.
fn frameOf(t: u32, a: u32) -> i32 {
  let frame = i32(t * p.strideT + a) - i32(p.lead);
  return select(frame, max(frame, 0), REPEAT_FIRST);
}

struct Pixel { at: u32, inside: bool }

// Where a pixel of the padded, enlarged frame begins in x. Above and left of the frame the subtraction wraps round.
fn pixelOf(frame: u32, row: u32, column: u32) -> Pixel {
  let h = row - p.top;
  let w = column - p.left;
  let inside = h < p.height * p.enlarge && w < p.width * p.enlarge;
  let at = beginOf((frame * p.height + h / p.enlarge) * p.width + w / p.enlarge);
  return Pixel(select(0u, at, inside), inside);
}

// Pixels beyond the end repeat the last one; they are not stored.
fn pixelIndex(m: u32) -> u32 { return min(m, p.outHeight * p.outWidth - 1u); }
${ROW_OF_W}

fn store(frame: u32, m: u32, n: u32, sum: f32) {
  if (m >= p.outHeight * p.outWidth || n >= p.columns) { return; }
  let column = p.first + n;
  let at = (frame * p.outHeight * p.outWidth + m) * p.outChannels + column;
  var value = sum;
  if (BIAS) { value += bias[column]; }
  if (RESIDUAL) { value += residual[at]; }
  y[at] = value;
}
fn store4(frame: u32, m: u32, n: u32, sum: vec4f) {
  store(frame, m, n, sum.x); store(frame, m, n + 1u, sum.y);
  store(frame, m, n + 2u, sum.z); store(frame, m, n + 3u, sum.w);
}
`;
