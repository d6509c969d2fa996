/**
 * What the programs behind attention.ts share: their declaration, how they read rows of a head, and what is done to a logit.
 * b batch, i query, j key, h query head, g key-value head, d head width, c channel.
 */
import { recording } from "../../gpu/recording.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Form, kernel } from "../kernel.ts";
import { SIGMOID } from "../math.ts";
import { invocations, type Needs, type Variant } from "../variants.ts";

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

/** Columns `offset` to `offset + heads·d` of rows of a (B, S, width) tensor. */
export interface HeadSlice {
  readonly tensor: Tensor;
  readonly offset?: number;
}

/** One call; the operands fit together. */
export interface AttentionCall {
  readonly q: HeadSlice;
  readonly k: HeadSlice;
  readonly v: HeadSlice;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly mask?: Tensor;
  readonly bias?: Tensor;
  readonly causal: boolean;
  readonly gateAt?: number;
  readonly memory?: Tensor;
  readonly out: Tensor;
}

export type AttentionVariant = Variant<[AttentionCall]>;

/** How rows are read: what every text depends on. */
export interface Reading extends Form {
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

/** How a shape is shared out. */
export interface AttentionPlan<Own extends Form> {
  readonly form: Reading & Own;
  /** how many parts the channels of an output are split into; each repeats the logits */
  readonly chunks: number;
  readonly invocations: number;
  /** invocations a workgroup, when the program is written for a number of its own */
  readonly workgroup?: number;
}

/** Bits of the parameter `options`. */
const BITS = { mask: 1, bias: 2, causal: 4, gated: 8 } as const;

/** A variant of attention: what is its own of the text, and how many invocations a shape takes. */
export function attentionVariant<Own extends Form>(own: {
  readonly name: string;
  readonly needs?: Needs;
  readonly plan: (shape: AttentionShape) => AttentionPlan<Own>;
  readonly functions?: (form: Reading & Own) => string;
  readonly main: (form: Reading & Own) => string;
}): AttentionVariant {
  const { name, needs, plan } = own;
  const attend = kernel({
    name: `attention ${name}`,
    params: {
      ...{ batch: "u32", queries: "u32", keys: "u32", heads: "u32", kvHeads: "u32", dim: "u32" },
      ...{ qWidth: "u32", qAt: "u32", kWidth: "u32", kAt: "u32", vWidth: "u32", vAt: "u32", chunks: "u32" },
      ...{ gateAt: "u32", memory: "u32", options: "u32", scale: "f32" },
    },
    constants: { CAUSAL: "bool", GATED: "bool" },
    read: ({ element }: Reading) => ({
      ...{ q: element, k: element, v: element, "memory?": element },
      ...{ "mask?": "u32", "bias?": "f32" },
    }),
    write: { out: "f32" },
    enable: needs?.enable,
    functions: (form) => HEADER(form) + (own.functions?.(form as Reading & Own) ?? ""),
    main: (form) => own.main(form as Reading & Own),
  });
  const run = (call: AttentionCall): void => {
    const { q, k, v, heads, keyValueHeads: kvHeads, headDim: dim, scale, mask, bias, causal, gateAt } = call;
    const [batch, queries, qWidth] = q.tensor.shape;
    const [, keys, kWidth] = k.tensor.shape;
    const vWidth = v.tensor.dim(-1);
    const [qAt = 0, kAt = 0, vAt = 0] = [q.offset, k.offset, v.offset];
    const gated = gateAt !== undefined;
    const { form, chunks, ...share } = plan({
      ...{ batch, queries, heads, headDim: dim },
      source: call.memory ? "memory" : "own",
      quadAligned: [dim, qWidth, qAt, kWidth, kAt, vWidth, vAt].every((n) => n % 4 === 0),
    });
    const bits =
      (mask ? BITS.mask : 0) | (bias ? BITS.bias : 0) | (causal ? BITS.causal : 0) | (gated ? BITS.gated : 0);
    attend({
      form,
      constants: { CAUSAL: causal, GATED: gated },
      params: {
        ...{ batch, queries, keys, heads, kvHeads, dim, qWidth, qAt, kWidth, kAt, vWidth, vAt, chunks },
        ...{ gateAt: gateAt ?? 0, memory: call.memory?.dim(1) ?? 0, options: bits, scale },
      },
      read: { q: q.tensor, k: k.tensor, v: v.tensor, memory: call.memory, mask, bias },
      write: { out: call.out },
      workgroup: share.workgroup ?? invocations(recording().gpu),
      invocations: share.invocations,
    });
  };
  return { needs, run };
}

/**
 * `query4(at, n)`, `key4(j, at, n)`, `value4(j, at, n)`: channels 4n to 4n + 3 of the row that begins at element `at` of the
 * buffer; `rowAt`: at which float key j stands; `elements`: that counted in elements, a division once a row, not once a read. Only a
 * program with a memory looks into two buffers: the branch in the innermost loop would cost every other one.
 */
const HEADER = ({ source, element, guarded, options }: Reading): string => {
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
  const asked = (name: string, constant: string, bit: number): string =>
    options === "override"
      ? `fn ${name}() -> bool { return ${constant}; }`
      : `fn ${name}() -> bool { return (p.options & ${bit}u) != 0u; }`;
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
${asked("hasMask", "HAS_MASK", BITS.mask)}
${asked("hasBias", "HAS_BIAS", BITS.bias)}
${asked("isCausal", "CAUSAL", BITS.causal)}
${asked("isGated", "GATED", BITS.gated)}
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
