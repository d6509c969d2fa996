/**
 * What the programs behind linear.ts share: their bindings, how they read x and W, and how a sum becomes an output.
 * m row, n output column, k term; W (N, K padded to 8) is read along K, four terms at a time.
 */
import type { WeightDtype } from "../../tensor/packed-weight.ts";
import { ACTIVATIONS, type Activation } from "../activations.ts";
import { SIGMOID } from "../math.ts";
import { readX, ROW_OF_W } from "../terms.ts";
import type { Needs } from "../variants.ts";

export interface LinearShape {
  readonly rows: number;
  /** K */
  readonly inner: number;
  /** N of this block */
  readonly columns: number;
}

/** What runs for one shape: a program and how many invocations of it. */
export interface LinearProgram {
  /** changes whenever the text does */
  readonly key: string;
  readonly body: (dtype: WeightDtype) => string;
  /** how x is bound: four terms at a time, when K is a multiple of four */
  readonly x: "f32" | "vec4f";
  readonly invocations: number;
  /** invocations a workgroup, when the program is written for a number of its own */
  readonly workgroup?: number;
}

/** A way to compute a linear map. */
export interface LinearVariant {
  readonly needs?: Needs;
  readonly program: (shape: LinearShape) => LinearProgram;
}

/** The gate of one element; its table is bound in the place of the residual. */
const GATE = {
  open: /* wgsl */ `fn gate(m: u32, column: u32) -> f32 { return 1.0; }`,
  gated: /* wgsl */ `${SIGMOID}
fn gate(m: u32, column: u32) -> f32 {
  return sigmoid(residual[rowOf[m] * p.gateWidth + p.gateAt + column] + p.gateShift);
}`,
} as const;

/** Bindings, and how a sum becomes an output. */
export const HEADER = (
  x: "f32" | "vec4f",
  activation: Activation,
  gate: "open" | "gated",
): string => /* wgsl */ `
struct Params {
  rows: u32, inner: u32, padded: u32, columns: u32, first: u32, width: u32, start: u32, gateWidth: u32, gateAt: u32, gateShift: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<${x}>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> rowOf: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
override BIAS: bool;
override RESIDUAL: bool;
${ACTIVATIONS[activation]}
${GATE[gate]}
${readX(x, "p.inner")}

// Where row m of x begins. Rows beyond the end repeat the last one; their results are not stored.
fn rowOfX(m: u32) -> u32 { return beginOf(min(m, p.rows - 1u)); }
${ROW_OF_W}

fn store(m: u32, n: u32, sum: f32) {
  if (m >= p.rows || n >= p.columns) { return; }
  let column = p.first + n;
  var value = sum;
  if (BIAS) { value += bias[column]; }
  value = activate(value);
  let at = m * p.width + column;
  if (RESIDUAL) { value += residual[at]; }
  y[p.start + at] = value * gate(m, column);
}
fn store4(m: u32, n: u32, sum: vec4f) {
  store(m, n, sum.x); store(m, n + 1u, sum.y); store(m, n + 2u, sum.z); store(m, n + 3u, sum.w);
}
fn storeTile(m: u32, n: u32, tile: mat4x4f) {
  for (var i = 0u; i < 4u; i++) { store4(m + i, n, tile[i]); }
}
`;
