/**
 * What the programs behind attention.ts share: their declaration, how they read rows of a head, and what is done to a logit.
 * b batch, i query, j key, h query head, g key-value head, d head width, c channel.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { recording } from "../../gpu/recording.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Form, kernel } from "../kernel.ts";
import { SIGMOID } from "../math.ts";
import { list } from "../text.ts";
import { around, type RowRange } from "../rows.ts";
import { invocations, type Needs, type Variant } from "../variants.ts";

/** How much of what. */
export interface Extent {
  readonly batch: number;
  readonly queries: number;
  readonly heads: number;
  /** d */
  readonly headDim: number;
  /** keys of an item, those of a memory included */
  readonly keys: number;
}

export interface AttentionShape extends Extent {
  /** how rows are read, which the variant's form repeats */
  readonly reading: Pick<Reading, "source" | "element" | "keysAs" | "partial">;
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
  /** S: the first rows of an item in k and v, which may have more */
  readonly keys: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly mask?: Tensor;
  readonly bias?: Tensor;
  readonly causal: boolean;
  readonly gateAt?: number;
  readonly memory?: Tensor;
  /** (B, N, H·d) */
  readonly out: Tensor;
}

/** What of a call one dispatch computes. */
export interface AttentionBlock {
  readonly items: RowRange;
  /** of each item */
  readonly queries: RowRange;
  /** of each item; all keys, or a part of them whose result is to be combined with that of others */
  readonly keys: RowRange;
  /** keys of a part, where `keys` are gone through in parts and the results lie behind one another; undefined: the result is whole */
  readonly keysPerPart?: number;
  /** where the result goes, which begins at element `at` */
  readonly into: { readonly tensor: Tensor; readonly at: number };
}

export interface AttentionVariant extends Variant<[AttentionCall, AttentionBlock]> {
  readonly keysPerPart?: (shape: Extent) => number;
}

/** How rows are read: what every text depends on. */
export interface Reading extends Form {
  readonly source: "own" | "memory";
  /** how queries, keys, values and memory are bound: four at a time where every row of every head begins at a multiple of four and d is one */
  readonly element: "f32" | "vec4f";
  /** how keys and values are stored */
  readonly keysAs: "f32" | "f16";
  /** the result is a part's: outputs before they are divided, and behind each the highest logit and the sum of weights */
  readonly partial: boolean;
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

/** What is a variant's own of the text, and how many invocations a shape takes. */
export interface AttentionText<Own extends Form> {
  readonly needs?: Needs;
  readonly plan: (shape: AttentionShape) => AttentionPlan<Own>;
  /** keys of a part that this variant would rather see computed apart, so that few queries fill a device; default: all */
  readonly keysPerPart?: (shape: Extent) => number;
  readonly functions?: (form: Reading & Own) => string;
  readonly main: (form: Reading & Own) => string;
}

/** Workgroups that fill the largest devices, several times over. */
const FILLING = 512;
/** Keys of a part at least, and what they are a multiple of. */
const [LEAST_KEYS, KEY_STEP] = [256, 64];

/** Parts of the keys so that a device is filled, given the workgroups that a shape has without. */
export const fillingParts =
  (workgroups: (shape: Extent) => number) =>
  (shape: Extent): number => {
    const parts = Math.min(Math.ceil(FILLING / workgroups(shape)), Math.floor(shape.keys / LEAST_KEYS));
    return Math.ceil(shape.keys / Math.max(1, parts) / KEY_STEP) * KEY_STEP;
  };

/** A variant of attention. */
export function attentionVariant<Own extends Form>(
  own: AttentionText<Own> & { readonly name: string },
): AttentionVariant {
  const { name, needs, plan, keysPerPart } = own;
  const attend = kernel({
    name: `attention ${name}`,
    params: {
      ...{ batch: "u32", queries: "u32", keys: "u32", heads: "u32", kvHeads: "u32", dim: "u32" },
      ...{ qWidth: "u32", qAt: "u32", kWidth: "u32", kAt: "u32", vWidth: "u32", vAt: "u32", chunks: "u32" },
      ...{ gateAt: "u32", memory: "u32", options: "u32", scale: "f32" },
      ...{ outAt: "u32", maskAt: "u32", firstQuery: "u32", lastQuery: "u32" },
      ...{ firstKey: "u32", endKey: "u32", keysPerPart: "u32", parts: "u32" },
    },
    constants: { CAUSAL: "bool", GATED: "bool" },
    read: ({ element, keysAs }: Reading) => {
      const stored = keysAs === "f32" ? element : element === "f32" ? "u32" : "vec2u";
      return {
        q: element,
        k: stored,
        v: stored,
        "memory?": element,
        "mask?": "u32",
        "bias?": "f32",
      } as const;
    },
    write: { out: "f32" },
    enable: needs?.enable,
    functions: (form) => HEADER(form) + (own.functions?.(form as Reading & Own) ?? ""),
    main: (form) => own.main(form as Reading & Own),
  });
  const run = (call: AttentionCall, block: AttentionBlock): void => {
    const { heads, keyValueHeads: kvHeads, headDim: dim, scale, mask, bias, causal, gateAt } = call;
    const { gpu } = recording();
    const { items, queries, keys, keysPerPart: perPart, into } = block;
    const [N, S] = [call.q.tensor.dim(1), call.k.tensor.dim(1)];
    const batch = items.to - items.from;
    // Rows are numbered through, those of item b from b·N or b·S on; several items come with all their rows.
    const q = viewOf(gpu, call.q, {
      from: items.from * N + queries.from,
      to: (items.to - 1) * N + queries.to,
    });
    const own = { from: items.from * S + keys.from, to: (items.to - 1) * S + keys.to - memoryOf(call) };
    const [k, v] = [viewOf(gpu, call.k, own, keys.from), viewOf(gpu, call.v, own, keys.from)];
    const gated = gateAt !== undefined && perPart === undefined;
    const aligned = [dim, ...[call.q, call.k, call.v].flatMap((s) => [s.tensor.dim(-1), s.offset ?? 0])];
    const { form, chunks, ...share } = plan({
      ...{ batch, queries: queries.to - queries.from, heads, headDim: dim, keys: keys.to - keys.from },
      reading: {
        source: call.memory ? "memory" : "own",
        element: aligned.every((n) => n % 4 === 0) ? "vec4f" : "f32",
        keysAs: call.k.tensor.dtype === "f16" ? "f16" : "f32",
        partial: perPart !== undefined,
      },
    });
    const parts = perPart === undefined ? 1 : Math.ceil((keys.to - keys.from) / perPart);
    const bits =
      (mask ? BITS.mask : 0) | (bias ? BITS.bias : 0) | (causal ? BITS.causal : 0) | (gated ? BITS.gated : 0);
    attend({
      form,
      constants: { CAUSAL: causal, GATED: gated },
      params: {
        ...{ batch, queries: queries.to - queries.from, keys: S, heads, kvHeads, dim, chunks },
        ...{ qWidth: q.width, qAt: q.at, kWidth: k.width, kAt: k.at, vWidth: v.width, vAt: v.at },
        ...{
          gateAt: gated ? q.at - (call.q.offset ?? 0) + gateAt : 0,
          memory: memoryOf(call),
          options: bits,
          scale,
        },
        ...{
          outAt: into.at,
          maskAt: items.from * S,
          firstQuery: queries.from,
          lastQuery: N - 1 - queries.from,
        },
        ...{ firstKey: keys.from, endKey: keys.to, keysPerPart: perPart ?? 0, parts },
      },
      read: { q: q.view, k: k.view, v: v.view, memory: call.memory, mask, bias },
      write: { out: into.tensor },
      workgroup: share.workgroup ?? invocations(gpu),
      invocations: share.invocations * parts,
    });
  };
  return { needs, run, keysPerPart };
}

/** Keys before the call's own. */
export const memoryOf = ({ memory }: AttentionCall): number => memory?.dim(1) ?? 0;

/**
 * What is bound of some rows of a slice, and where row 0 of the dispatch begins in it. Keys keep their numbers when only those from `first` on are bound:
 * row 0 then stands before the view, at a negative place, which the kernel's arithmetic modulo 2³² sets right.
 */
export function viewOf(gpu: Gpu, { tensor, offset = 0 }: HeadSlice, rows: RowRange, first = 0) {
  const width = tensor.dim(-1);
  const { view, at } = around(gpu, tensor, rows);
  return { view, width, at: (at + offset - first * width) >>> 0 };
}

/**
 * `query4(at, n)`, `key4(j, at, n)`, `value4(j, at, n)`: channels 4n to 4n + 3 of the row that begins at element `at` of the
 * buffer; `rowAt`: at which float key j stands; `elements`: that counted in elements, a division once a row, not once a read. Only a
 * program with a memory looks into two buffers: the branch in the innermost loop would cost every other one.
 */
const HEADER = ({ source, element, keysAs, guarded, partial, options }: Reading): string => {
  const four = element === "vec4f";
  const half = (buffer: string): boolean => keysAs === "f16" && (buffer === "k" || buffer === "v");
  /** the float at index `at` of a buffer */
  const float = (buffer: string, at: string): string => {
    if (half(buffer)) {
      const word = four ? `${buffer}[(${at}) / 4u][(${at}) / 2u % 2u]` : `${buffer}[(${at}) / 2u]`;
      return `unpack2x16float(${word})[(${at}) % 2u]`;
    }
    return four ? `${buffer}[(${at}) / 4u][(${at}) % 4u]` : `${buffer}[${at}]`;
  };
  const one = (name: string, buffer: string): string =>
    `fn ${name}(at: u32) -> f32 { return ${float(buffer, "at")}; }`;
  const whole = (buffer: string): string => {
    if (!four) return `vec4f(${list(4, (e) => float(buffer, `at + 4u * n + ${e}u`))})`;
    const item = `${buffer}[at + n]`;
    return half(buffer) ? `vec4f(unpack2x16float(${item}.x), unpack2x16float(${item}.y))` : item;
  };
  const guard = (buffer: string): string =>
    four
      ? `if (4u * n >= p.dim) { return vec4f(); }`
      : `if (4u * n + 4u > p.dim) {
    var value = vec4f();
    for (var e = 0u; 4u * n + e < p.dim; e++) { value[e] = ${float(buffer, "at + 4u * n + e")}; }
    return value;
  }`;
  const channels = (name: string, buffer: string): string => /* wgsl */ `
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
fn keyOf(j: u32, at: u32) -> f32 { return ownKey1(at); }
fn valueOf(j: u32, at: u32) -> f32 { return ownValue1(at); }
fn key4(j: u32, at: u32, n: u32) -> vec4f { return ownKey4(at, n); }
fn value4(j: u32, at: u32, n: u32) -> vec4f { return ownValue4(at, n); }`
      : // Keys are numbered through: first the memory's, then the call's own.
        /* wgsl */ `
${one("memory1", "memory")}
${channels("memory4", "memory")}
fn rowAt(b: u32, j: u32, width: u32) -> u32 {
  return select(b * p.keys + j - p.memory, b * p.memory + j, j < p.memory) * width;
}
fn keyOf(j: u32, at: u32) -> f32 {
  if (j < p.memory) { return memory1(at); }
  return ownKey1(at);
}
fn valueOf(j: u32, at: u32) -> f32 {
  if (j < p.memory) { return memory1(at); }
  return ownValue1(at);
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
${one("ownKey1", "k")}
${one("ownValue1", "v")}
${channels("query4", "q")}
${channels("ownKey4", "k")}
${channels("ownValue4", "v")}
fn elements(at: u32) -> u32 { return at / ${four ? 4 : 1}u; }
${rows}
${partial ? PART : WHOLE}
// The gate of one head's output.
fn gate(b: u32, i: u32, h: u32) -> f32 {
  if (!isGated()) { return 1.0; }
  return sigmoid(query1((b * p.queries + i) * p.qWidth + p.gateAt + h));
}
// The logit of one query and one key, given scale · q·k.
fn biased(product: f32, b: u32, h: u32, i: u32, j: u32) -> f32 {
  var logit = product;
  if (hasBias()) { logit += bias[(j + p.lastQuery - i) * p.heads + h]; }
  if (hasMask()) { logit = select(LOWEST, logit, mask[p.maskAt + b * p.keys + j] != 0u); }
  if (isCausal()) { logit = select(logit, LOWEST, j > i + p.firstQuery); }
  return logit;
}
`;
};

/**
 * A program numbers what it works on by (part, item), \`outer\`; keys \`keysBegin\` to \`keysEnd\` are a part's. \`put\` takes channel c of the output
 * of query i before it is divided by the sum of weights.
 */
const WHOLE = /* wgsl */ `
fn itemOf(outer: u32) -> u32 { return outer; }
fn keysBegin(outer: u32) -> u32 { return 0u; }
fn keysEnd(outer: u32) -> u32 { return p.endKey; }
fn mostKeys() -> u32 { return p.endKey; }
fn put(outer: u32, i: u32, h: u32, c: u32, value: f32, highest: f32, sum: f32, open: f32) {
  out[p.outAt + ((outer * p.queries + i) * p.heads + h) * p.dim + c] = value / sum * open;
}`;
const PART = /* wgsl */ `
fn itemOf(outer: u32) -> u32 { return outer % p.batch; }
fn keysBegin(outer: u32) -> u32 { return p.firstKey + outer / p.batch * p.keysPerPart; }
fn keysEnd(outer: u32) -> u32 { return min(p.endKey, keysBegin(outer) + p.keysPerPart); }
fn mostKeys() -> u32 { return p.keysPerPart; }
fn put(outer: u32, i: u32, h: u32, c: u32, value: f32, highest: f32, sum: f32, open: f32) {
  let at = p.outAt + ((outer * p.queries + i) * p.heads + h) * (p.dim + 2u);
  out[at + c] = value;
  if (c == 0u) {
    out[at + p.dim] = highest;
    out[at + p.dim + 1u] = sum;
  }
}`;

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
fn storeRows(outer: u32, i: u32, h: u32, n: u32, rows: mat4x4f, highest: vec4f, sum: vec4f, open: vec4f) {
  let c = 4u * n;
  for (var r = 0u; r < 4u; r++) {
    if (i + r < p.queries) {
      for (var e = 0u; e < 4u; e++) {
        if (c + e < p.dim) { put(outer, i + r, h, c + e, rows[r][e], highest[r], sum[r], open[r]); }
      }
    }
  }
}
`;
