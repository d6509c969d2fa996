/**
 * What the programs behind linear.ts share: their declaration, how they read x and W, and how a sum becomes an output.
 * m row, n output column, k term; W (N, K padded to 8) is read along K, four terms at a time.
 */
import type { WeightBlock, WeightDtype } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Arithmetic } from "../../gpu/gpu.ts";
import { recording } from "../../gpu/recording.ts";
import { ACTIVATIONS, type Activation } from "../activations.ts";
import { type Form, kernel } from "../kernel.ts";
import { SIGMOID } from "../math.ts";
import { READ_WEIGHT, readX, ROW_OF_W, WEIGHT_ELEMENT } from "../terms.ts";
import { both, HALF, invocations, type Needs, type Variant } from "../variants.ts";

export interface LinearShape {
  readonly rows: number;
  /** K */
  readonly inner: number;
  /** N of this block */
  readonly columns: number;
}

/** σ(table[rowOf[m], at + n] + shift) */
export interface LinearGate {
  /** (R, width) */
  readonly table: Tensor;
  /** (rows of x), u32 */
  readonly rowOf: Tensor;
  readonly at: number;
  readonly shift: number;
}

/** The product with one block of a weight; the operands fit together. */
export interface LinearCall {
  readonly x: Tensor;
  /** K, and the terms of a row of W with its zeros */
  readonly inner: number;
  readonly padded: number;
  readonly dtype: WeightDtype;
  readonly block: WeightBlock;
  readonly activation: Activation;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
  readonly gate?: LinearGate;
  readonly y: Tensor;
  /** the element of y at which the result of the first row of x begins */
  readonly start: number;
}

export type LinearVariant = Variant<[LinearCall]>;

/** What every text depends on. */
export interface LinearForm extends Form {
  readonly dtype: WeightDtype;
  readonly activation: Activation;
  readonly gated: boolean;
  /** how x is bound */
  readonly element: "f32" | "vec4f";
  /** what is multiplied is rounded to float16 first; sums are float32 */
  readonly arithmetic: Arithmetic;
}

/** How a shape is shared out. */
export interface LinearPlan<Own extends Form> {
  /** what the text depends on besides */
  readonly form: Own;
  /** how x is bound: four terms at a time, when K is a multiple of four */
  readonly element: "f32" | "vec4f";
  readonly invocations: number;
  /** invocations a workgroup, when the program is written for a number of its own */
  readonly workgroup?: number;
}

/** A variant of linear: what is its own of the text, and how many invocations a shape takes. */
export function linearVariant<Own extends Form>(own: {
  readonly name: string;
  readonly needs?: Needs;
  /** default "f32" */
  readonly arithmetic?: Arithmetic;
  readonly plan: (shape: LinearShape) => LinearPlan<Own>;
  readonly builtins?: string;
  readonly functions?: (form: LinearForm & Own) => string;
  readonly main: (form: LinearForm & Own) => string;
}) {
  const { name, plan, builtins, arithmetic = "f32" } = own;
  const needs = arithmetic === "f16" ? both(own.needs, HALF) : own.needs;
  const product = kernel({
    name: `linear ${name}`,
    params: {
      ...{
        rows: "u32",
        inner: "u32",
        padded: "u32",
        columns: "u32",
        first: "u32",
        width: "u32",
        start: "u32",
      },
      ...{ gateWidth: "u32", gateAt: "u32", gateShift: "f32" },
    },
    read: ({ element, dtype }: LinearForm) => ({
      ...{ x: element, w: WEIGHT_ELEMENT[dtype] },
      ...{ "bias?": "f32", "residual?": "f32", "table?": "f32", "rowOf?": "u32" },
    }),
    write: { y: "f32" },
    enable: needs?.enable,
    builtins,
    functions: (form) => HEADER(form) + (own.functions?.(form as LinearForm & Own) ?? ""),
    main: (form) => own.main(form as LinearForm & Own),
  });
  const run = (call: LinearCall): void => {
    const { x, inner, padded, dtype, block, activation, bias, residual, gate, y, start } = call;
    const { columns, first, data } = block;
    const width = y.dim(-1);
    const { form, element, ...share } = plan({ rows: x.rows, inner, columns });
    product({
      form: { dtype, activation, gated: gate !== undefined, element, arithmetic, ...form },
      params: {
        ...{ rows: x.rows, inner, padded, columns, first, width, start },
        ...{ gateWidth: gate?.table.dim(-1) ?? 0, gateAt: gate?.at ?? 0, gateShift: gate?.shift ?? 0 },
      },
      read: { x, w: data, bias, residual, table: gate?.table, rowOf: gate?.rowOf },
      write: { y },
      workgroup: share.workgroup ?? invocations(recording().gpu),
      invocations: share.invocations,
    });
  };
  return { needs, plan, run, source: product.source };
}

/** Where the gates of row m begin, and a gate. */
const GATE = {
  open: /* wgsl */ `
fn gatesOf(m: u32) -> u32 { return 0u; }
fn gate(at: u32) -> f32 { return 1.0; }`,
  gated: /* wgsl */ `${SIGMOID}
fn gatesOf(m: u32) -> u32 { return rowOf[m] * p.gateWidth + p.gateAt; }
fn gate(at: u32) -> f32 { return sigmoid(table[at] + p.gateShift); }`,
} as const;

/** How x and W are read, and how a sum becomes an output. */
const HEADER = ({ dtype, activation, gated, element, arithmetic }: LinearForm): string => /* wgsl */ `
${ACTIVATIONS[activation]}
${GATE[gated ? "gated" : "open"]}
${readX(element, "p.inner")}

alias Operand = ${arithmetic === "f16" ? "vec4<f16>" : "vec4f"}; // what is multiplied

// Where row m of x begins. Rows beyond the end repeat the last one; their results are not stored.
fn rowOfX(m: u32) -> u32 { return beginOf(min(m, p.rows - 1u)); }
${ROW_OF_W}
${READ_WEIGHT[dtype]}

// What is added to column n, or to columns n to n + 3, of every row; some value where there are fewer.
fn bias1(n: u32) -> f32 {
  if (!HAS_BIAS) { return 0.0; }
  return bias[p.first + min(n, p.columns - 1u)];
}
fn bias4(n: u32) -> vec4f { return vec4f(bias1(n), bias1(n + 1u), bias1(n + 2u), bias1(n + 3u)); }
fn put(m: u32, column: u32, gates: u32, biased: f32) {
  let at = m * p.width + column;
  var value = activate(biased);
  if (HAS_RESIDUAL) { value += residual[at]; }
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
  store4(m, n, tile[0], added); store4(m + 1u, n, tile[1], added);
  store4(m + 2u, n, tile[2], added); store4(m + 3u, n, tile[3], added);
}
`;
