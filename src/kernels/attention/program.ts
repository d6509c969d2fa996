/**
 * What the programs behind attention.ts share: their bindings, how they read rows of a head, and what is done to a logit.
 * b batch, i query, j key, h query head, g key-value head, d head width, c channel.
 */
import { SIGMOID } from "../math.ts";
import type { Needs } from "../variants.ts";

export interface AttentionShape {
  readonly batch: number;
  readonly queries: number;
  readonly heads: number;
  /** d */
  readonly headDim: number;
  /** whether a memory stands before the call's own keys */
  readonly source: "own" | "memory";
  /** every row of every head begins at a multiple of four floats, and d is one */
  readonly quadAligned: boolean;
}

/** What runs for one shape: a program and how many invocations of it. */
export interface AttentionProgram {
  /** changes whenever the text does */
  readonly key: string;
  readonly wgsl: () => string;
  /** how many parts the channels of an output are split into; each repeats the logits */
  readonly chunks: number;
  readonly invocations: number;
  /** invocations a workgroup, when the program is written for a number of its own */
  readonly workgroup?: number;
  /** see `Reading` */
  readonly options: Reading["options"];
}

/** A way to compute attention. */
export interface AttentionVariant {
  readonly needs?: Needs;
  readonly program: (shape: AttentionShape) => AttentionProgram;
}

/** How rows are read. */
export interface Reading {
  readonly source: "own" | "memory";
  /** how queries, keys, values and memory are bound */
  readonly element: "f32" | "vec4f";
  /** channels past the head are asked for, and are zero */
  readonly guarded: boolean;
  /**
   * How a program learns whether there is a mask, a bias, causality, a gate: "override" where that is asked in the innermost loop,
   * "uniform" where it is asked rarely and a pipeline for every combination would be a waste.
   */
  readonly options: "override" | "uniform";
}

/** Bits of `Params.options`, and the override constants of the same name. */
export const OPTIONS = { MASK: 1, BIAS: 2, CAUSAL: 4, GATE: 8 } as const;

/**
 * Bindings; `query4(at, n)`, `key4(j, at, n)`, `value4(j, at, n)`: channels 4n to 4n + 3 of the row that begins at element `at` of the
 * buffer; `rowAt`: at which float key j stands; `elements`: that counted in elements, a division once a row, not once a read. Only a
 * program with a memory looks into two buffers: the branch in the innermost loop would cost every other one.
 */
export const HEADER = ({ source, element, guarded, options }: Reading): string => {
  const one = (name: string, buffer: string): string =>
    `fn ${name}(at: u32) -> f32 { return ${buffer}[${element === "f32" ? "at" : "at / 4u][at % 4u"}]; }`;
  const whole = (buffer: string): string =>
    element === "vec4f"
      ? `${buffer}[at + n]`
      : `vec4f(${buffer}[at + 4u * n], ${buffer}[at + 4u * n + 1u], ${buffer}[at + 4u * n + 2u], ${buffer}[at + 4u * n + 3u])`;
  const guard = (buffer: string): string =>
    element === "vec4f"
      ? `if (4u * n >= p.dim) { return vec4f(); }`
      : `if (4u * n + 4u > p.dim) {
    var value = vec4f();
    for (var e = 0u; 4u * n + e < p.dim; e++) { value[e] = ${buffer}[at + 4u * n + e]; }
    return value;
  }`;
  const four = (name: string, buffer: string): string => /* wgsl */ `
fn ${name}(at: u32, n: u32) -> vec4f {
  ${guarded ? guard(buffer) : ""}
  return ${whole(buffer)};
}`;
  const asked = (name: string, option: keyof typeof OPTIONS): string =>
    options === "override"
      ? `override ${option}: bool;\nfn ${name}() -> bool { return ${option}; }`
      : `fn ${name}() -> bool { return (p.options & ${OPTIONS[option]}u) != 0u; }`;
  const rows =
    source === "own"
      ? /* wgsl */ `
fn rowAt(b: u32, j: u32, width: u32) -> u32 { return (b * p.keys + j) * width; }
fn key4(j: u32, at: u32, n: u32) -> vec4f { return ownKey4(at, n); }
fn value4(j: u32, at: u32, n: u32) -> vec4f { return ownValue4(at, n); }`
      : // Keys are numbered through: first the memory's, then the call's own.
        /* wgsl */ `
${four("memory4", "memory")}
fn rowAt(b: u32, j: u32, width: u32) -> u32 {
  return select(b * p.keys + j - p.memory, b * p.memory + j, j < p.memory) * width;
}
fn key4(j: u32, at: u32, n: u32) -> vec4f {
  if (j < p.memory) { return memory4(at, n); }
  return ownKey4(at, n);
}
fn value4(j: u32, at: u32, n: u32) -> vec4f {
  if (j < p.memory) { return memory4(at, n); }
  return ownValue4(at, n);
}`;
  return /* wgsl */ `
struct Params {
  batch: u32, queries: u32, keys: u32, heads: u32, kvHeads: u32, dim: u32,
  qWidth: u32, qAt: u32, kWidth: u32, kAt: u32, vWidth: u32, vAt: u32, chunks: u32,
  gateAt: u32, memory: u32, options: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<${element}>;
@group(0) @binding(2) var<storage, read> k: array<${element}>;
@group(0) @binding(3) var<storage, read> v: array<${element}>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> memory: array<${element}>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
override WORKGROUP: u32;
${asked("hasMask", "MASK")}
${asked("hasBias", "BIAS")}
${asked("isCausal", "CAUSAL")}
${asked("isGated", "GATE")}
const LOWEST = -0x1.fffffep+127f;
${SIGMOID}
${one("query1", "q")}
${four("query4", "q")}
${four("ownKey4", "k")}
${four("ownValue4", "v")}
fn elements(at: u32) -> u32 { return at / ${element === "f32" ? 1 : 4}u; }
${rows}
// The gate of one head's output.
fn gate(b: u32, i: u32, h: u32) -> f32 {
  if (!isGated()) { return 1.0; }
  return sigmoid(query1((b * p.queries + i) * p.qWidth + p.gateAt + h));
}
// The logit of one query and one key, given scale · q·k.
fn biased(product: f32, b: u32, h: u32, i: u32, j: u32) -> f32 {
  var logit = product;
  if (hasBias()) { logit += bias[(j + p.queries - 1u - i) * p.heads + h]; }
  if (hasMask()) { logit = select(LOWEST, logit, mask[b * p.keys + j] != 0u); }
  if (isCausal()) { logit = select(logit, LOWEST, j > i); }
  return logit;
}
`;
};

/** Four queries of a head as one 4×4 matrix, scaled: column = channel, row = query. Queries past the end repeat the last one. */
export const FOUR_QUERIES = /* wgsl */ `
fn queries4(b: u32, i: u32, h: u32, n: u32) -> mat4x4f {
  let last = p.queries - 1u;
  let at = vec4u(b * p.queries) + min(vec4u(i) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let row = at * p.qWidth + p.qAt + h * p.dim;
  return transpose(mat4x4f(query4(elements(row.x), n), query4(elements(row.y), n), query4(elements(row.z), n), query4(elements(row.w), n)) * p.scale);
}
fn gates4(b: u32, i: u32, h: u32) -> vec4f {
  var open = vec4f();
  for (var r = 0u; r < 4u; r++) { open[r] = gate(b, min(i + r, p.queries - 1u), h); }
  return open;
}
// Channels 4n to 4n + 3 of four queries; \`rows[r]\` belongs to query i + r.
fn storeRows(b: u32, i: u32, h: u32, n: u32, rows: mat4x4f, sum: vec4f, open: vec4f) {
  let c = 4u * n;
  for (var r = 0u; r < 4u; r++) {
    if (i + r < p.queries) {
      for (var e = 0u; e < 4u; e++) {
        if (c + e < p.dim) { out[((b * p.queries + i + r) * p.heads + h) * p.dim + c + e] = rows[r][e] / sum[r] * open[r]; }
      }
    }
  }
}
`;
