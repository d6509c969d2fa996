/**
 * y[i] = f(a[i], b[i mod |b|], c[i mod |c|])
 *
 * One invocation an element. Operands shorter than the first repeat, so that a vector over the last axis applies to
 * every row. The body is one WGSL expression in a, b, c (and the scalars s, t), which names the operation.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { EXP, GELU, SIGMOID } from "./math.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

const WGSL = (functions: string, expression: string): string => /* wgsl */ `
struct Params { size: u32, sizeA: u32, sizeB: u32, sizeC: u32, s: f32, t: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> as_: array<f32>;
@group(0) @binding(2) var<storage, read> bs: array<f32>;
@group(0) @binding(3) var<storage, read> cs: array<f32>;
@group(0) @binding(4) var<storage, read_write> ys: array<f32>;
override WORKGROUP: u32;
${functions}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let a = as_[i % p.sizeA];
  let b = bs[i % p.sizeB];
  let c = cs[i % p.sizeC];
  let s = p.s;
  let t = p.t;
  ys[i] = ${expression};
}
`;

interface Elementwise {
  readonly functions?: string;
  readonly expression: string;
}

const OPERATIONS = {
  add: { expression: "a + b" },
  subtract: { expression: "a - b" },
  multiply: { expression: "a * b" },
  scaleShift: { expression: "a * b + c" },
  affine: { expression: "a * s + t" },
  axpy: { expression: "a + s * b" },
  gatedGelu: { functions: GELU, expression: "a * gelu(b)" },
  sigmoidGate: { functions: SIGMOID, expression: "a * sigmoid(b)" },
  lerp: { expression: "select(b - (b - a) * (1.0 - s), a + s * (b - a), s < 0.5)" },
  gaussian: { functions: EXP, expression: "a + exp_(0.5 * b) * c" },
  standardize: { expression: "(a - b) / max(c, s)" },
  clamp: { expression: "clamp(a, s, t)" },
} as const satisfies Record<string, Elementwise>;

function elementwise(
  name: string,
  { functions = "", expression }: Elementwise,
  operands: readonly Tensor[],
  scalars: readonly number[] = [],
): Tensor {
  const [a] = operands;
  for (const o of operands) {
    if (a.size % o.size !== 0) {
      throw new UsageError(`${name}: ${o.size} elements do not repeat evenly over ${a.size}`);
    }
  }
  const list = recording();
  const y = result(a.shape, name);
  const [x0, x1 = a, x2 = a] = operands;
  list.dispatch({
    kernel: {
      name,
      key: "",
      wgsl: () => WGSL(functions, expression),
      inputs: 3,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: [a.size, x0.size, x1.size, x2.size], f32: [scalars[0] ?? 0, scalars[1] ?? 0] },
    inputs: [x0.storage, x1.storage, x2.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(a.size / LIGHT_INVOCATIONS),
  });
  return y;
}

/** a + b; b repeats over the leading axes of a */
export const add = (a: Tensor, b: Tensor): Tensor => elementwise("add", OPERATIONS.add, [a, b]);

/** a − b */
export const subtract = (a: Tensor, b: Tensor): Tensor =>
  elementwise("subtract", OPERATIONS.subtract, [a, b]);

/** a ⊙ b */
export const multiply = (a: Tensor, b: Tensor): Tensor =>
  elementwise("multiply", OPERATIONS.multiply, [a, b]);

/** a ⊙ b + c */
export const scaleShift = (a: Tensor, b: Tensor, c: Tensor): Tensor =>
  elementwise("scaleShift", OPERATIONS.scaleShift, [a, b, c]);

/** scale · a + shift with two numbers */
export const affine = (a: Tensor, scale: number, shift = 0): Tensor =>
  elementwise("affine", OPERATIONS.affine, [a], [scale, shift]);

/** a + s · b with one number */
export const axpy = (a: Tensor, s: number, b: Tensor): Tensor =>
  elementwise("axpy", OPERATIONS.axpy, [a, b], [s]);

/** a ⊙ gelu(b) */
export const gatedGelu = (a: Tensor, b: Tensor): Tensor =>
  elementwise("gatedGelu", OPERATIONS.gatedGelu, [a, b]);

/** a ⊙ σ(b) */
export const sigmoidGate = (a: Tensor, b: Tensor): Tensor =>
  elementwise("sigmoidGate", OPERATIONS.sigmoidGate, [a, b]);

/** a + s · (b − a), from the nearer end, as torch.lerp does */
export const lerp = (a: Tensor, b: Tensor, s: number): Tensor =>
  elementwise("lerp", OPERATIONS.lerp, [a, b], [s]);

/** mean + e^(½·logVariance) · draw: a sample of a Gaussian from one of the standard Gaussian */
export const gaussian = (mean: Tensor, logVariance: Tensor, draw: Tensor): Tensor =>
  elementwise("gaussian", OPERATIONS.gaussian, [mean, logVariance, draw]);

/** (a − mean) / max(std, floor) */
export const standardize = (a: Tensor, mean: Tensor, std: Tensor, floor: number): Tensor =>
  elementwise("standardize", OPERATIONS.standardize, [a, mean, std], [floor]);

/** a limited to [low, high] */
export const clamp = (a: Tensor, low: number, high: number): Tensor =>
  elementwise("clamp", OPERATIONS.clamp, [a], [low, high]);

/** act(a) */
export const activation = (a: Tensor, name: Activation): Tensor =>
  elementwise(name, { functions: ACTIVATIONS[name], expression: "activate(a)" }, [a]);
