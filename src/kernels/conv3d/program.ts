/**
 * What the programs behind conv3d.ts share: their declaration, where a pixel of the padded and enlarged frame lies, and how a sum
 * becomes an output. m output pixel of a frame, n output channel, c input channel.
 */
import { recording } from "../../gpu/recording.ts";
import type { WeightBlock, WeightDtype } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Form, kernel } from "../kernel.ts";
import { bindX, READ_WEIGHT, readX, ROW_OF_W, WEIGHT_ELEMENT } from "../terms.ts";
import { invocations, type Needs, type Variant } from "../variants.ts";

/** What decides how many invocations a frame takes. */
export interface FrameShape {
  readonly pixels: number;
  /** output channels of this block of the weight */
  readonly channels: number;
}

/** A convolution with one block of a weight; the operands fit together. */
export interface ConvolutionCall {
  /** (B, T, H, W, C) */
  readonly x: Tensor;
  readonly dtype: WeightDtype;
  /** terms of a row of W with its zeros */
  readonly padded: number;
  readonly block: WeightBlock;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
  /** (B, T', H', W', O) */
  readonly y: Tensor;
  readonly kernel: readonly [number, number, number];
  readonly stride: readonly [number, number, number];
  readonly lead: number;
  /** the frames before the first are copies of it, not zeros */
  readonly repeatFirst: boolean;
  readonly top: number;
  readonly left: number;
  readonly enlarge: number;
}

export type ConvolutionVariant = Variant<[ConvolutionCall]>;

/** What every text depends on. */
export interface ConvolutionForm extends Form {
  readonly dtype: WeightDtype;
  /** how x is bound */
  readonly element: "f32" | "vec4f";
}

/** A variant of conv3d: what is its own of the text, and how many invocations an output frame takes. */
export function convolutionVariant<Own extends Form>(own: {
  readonly name: string;
  readonly needs?: Needs;
  readonly plan: (shape: FrameShape) => { readonly form: Own; readonly perFrame: number };
  readonly functions?: (form: ConvolutionForm & Own) => string;
  readonly main: (form: ConvolutionForm & Own) => string;
}): ConvolutionVariant {
  const { name, needs, plan } = own;
  const convolve = kernel({
    name: `conv3d ${name}`,
    params: {
      ...{ frames: "u32", height: "u32", width: "u32", channels: "u32" },
      ...{ batch: "u32", outFrames: "u32", outHeight: "u32", outWidth: "u32", outChannels: "u32" },
      ...{ kernelT: "u32", kernelH: "u32", kernelW: "u32", strideT: "u32", strideH: "u32", strideW: "u32" },
      ...{ lead: "u32", top: "u32", left: "u32", enlarge: "u32" },
      ...{ columns: "u32", padded: "u32", first: "u32", perFrame: "u32" },
    },
    constants: { REPEAT_FIRST: "bool" },
    read: ({ element, dtype }: ConvolutionForm) => ({
      ...{ x: element, w: WEIGHT_ELEMENT[dtype] },
      ...{ "bias?": "f32", "residual?": "f32" },
    }),
    write: { y: "f32" },
    enable: needs?.enable,
    functions: (form) => HEADER(form) + (own.functions?.(form as ConvolutionForm & Own) ?? ""),
    main: (form) => own.main(form as ConvolutionForm & Own),
  });
  const run = (call: ConvolutionCall): void => {
    const { x, dtype, block, bias, residual, y, repeatFirst, padded, lead, top, left, enlarge } = call;
    const [batch, frames, height, width, channels] = x.shape;
    const [, outFrames, outHeight, outWidth, outChannels] = y.shape;
    const [kernelT, kernelH, kernelW] = call.kernel;
    const [strideT, strideH, strideW] = call.stride;
    const { columns, first, data } = block;
    const workgroup = invocations(recording().gpu);
    const { form, ...share } = plan({ pixels: outHeight * outWidth, channels: columns });
    const perFrame = Math.ceil(share.perFrame / workgroup);
    convolve({
      form: { dtype, element: bindX(channels), ...form },
      constants: { REPEAT_FIRST: repeatFirst },
      params: {
        ...{ frames, height, width, channels, batch, outFrames, outHeight, outWidth, outChannels },
        ...{ kernelT, kernelH, kernelW, strideT, strideH, strideW, lead, top, left, enlarge },
        ...{ columns, padded, first, perFrame },
      },
      read: { x, w: data, bias, residual },
      write: { y },
      workgroup,
      workgroups: batch * outFrames * perFrame,
    });
  };
  return { needs, run };
}

const HEADER = ({ dtype, element }: ConvolutionForm): string => /* wgsl */ `
${READ_WEIGHT[dtype]}
${readX(element, "p.channels")}

// Every workgroup works on one output frame, so that frames of zeros are skipped in uniform control flow.
fn outFrameOf(group: u32) -> u32 { return group / p.perFrame; }
fn indexInFrame(group: u32, lane: u32) -> u32 { return group % p.perFrame * WORKGROUP + lane; }

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
  if (HAS_BIAS) { value += bias[column]; }
  if (HAS_RESIDUAL) { value += residual[at]; }
  y[at] = value;
}
fn store4(frame: u32, m: u32, n: u32, sum: vec4f) {
  store(frame, m, n, sum.x); store(frame, m, n + 1u, sum.y);
  store(frame, m, n + 2u, sum.z); store(frame, m, n + 3u, sum.w);
}
`;
