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
  /** @param light what becomes of a sum is little text: no gate, no activation longer than a comparison */
  readonly body: (dtype: WeightDtype, light: boolean) => string;
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

/** Where the gates of row m begin, and a gate; their table is bound in the place of the residual. */
const GATE = {
  open: /* wgsl */ `
fn gatesOf(m: u32) -> u32 { return 0u; }
fn gate(at: u32) -> f32 { return 1.0; }`,
  gated: /* wgsl */ `${SIGMOID}
fn gatesOf(m: u32) -> u32 { return rowOf[m] * p.gateWidth + p.gateAt; }
fn gate(at: u32) -> f32 { return sigmoid(residual[at] + p.gateShift); }`,
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

// What is added to column n, or to columns n to n + 3, of every row; some value where there are fewer.
fn bias1(n: u32) -> f32 {
  if (!BIAS) { return 0.0; }
  return bias[p.first + min(n, p.columns - 1u)];
}
fn bias4(n: u32) -> vec4f { return vec4f(bias1(n), bias1(n + 1u), bias1(n + 2u), bias1(n + 3u)); }
fn put(m: u32, column: u32, gates: u32, biased: f32) {
  let at = m * p.width + column;
  var value = activate(biased);
  if (RESIDUAL) { value += residual[at]; }
  y[p.start + at] = value * gate(gates + column);
}
fn store(m: u32, n: u32, sum: f32) {
  if (m >= p.rows || n >= p.columns) { return; }
  put(m, p.first + n, gatesOf(m), sum + bias1(n));
}
// Where row and columns are known to be inside.
fn put4(m: u32, n: u32, sum: vec4f, added: vec4f) {
  let biased = sum + added;
  let gates = gatesOf(m);
  let column = p.first + n;
  put(m, column, gates, biased.x); put(m, column + 1u, gates, biased.y);
  put(m, column + 2u, gates, biased.z); put(m, column + 3u, gates, biased.w);
}
// \`added\` is bias4(n), which a tile asks for once.
fn store4(m: u32, n: u32, sum: vec4f, added: vec4f) {
  if (m >= p.rows || n >= p.columns) { return; }
  if (n + 4u <= p.columns) {
    put4(m, n, sum, added);
    return;
  }
  let biased = sum + added;
  let gates = gatesOf(m);
  for (var e = 0u; e < p.columns - n; e++) { put(m, p.first + n + e, gates, biased[e]); }
}
fn storeTile(m: u32, n: u32, tile: mat4x4f) {
  let added = bias4(n);
  for (var i = 0u; i < 4u; i++) { store4(m + i, n, tile[i], added); }
}
`;
