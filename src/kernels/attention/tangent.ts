/**
 * attention.ts with its tangent in one stream over the keys: with s the logit, ṡ = scale · (q̇·k + q·k̇) and e = exp(s − highest) the sums
 *
 *   ℓ = Σ e,   b = Σ e·ṡ,   A = Σ e·v,   E = Σ e·(ṡ·v + v̇)        all shrunk alike when a higher logit comes
 *   out = A/ℓ · σ(g),   its tangent (E/ℓ − A/ℓ · b/ℓ) · σ(g) + A/ℓ · σ(g)·(1 − σ(g)) · ġ
 *
 * The running maximum needs no tangent. A hidden key's logit is a constant. Mask and bias are constants; queries, keys, values and gates may move.
 * Keys and values that lie in one tensor are bound once, which leaves room for mask and bias among the eight buffers of every device.
 *
 * One invocation owns PER queries of a head and `wide` fours of its channels; what it keeps in registers is reached by constant indices.
 */
import { UsageError } from "../../errors.ts";
import { recording } from "../../gpu/recording.ts";
import { result, type Tensor } from "../../tensor/tensor.ts";
import { type Form, kernel } from "../kernel.ts";
import { SIGMOID } from "../math.ts";
import { ranges } from "../rows.ts";
import { each, list } from "../text.ts";
import { invocations } from "../variants.ts";
import type { AttentionCall } from "./program.ts";

interface TangentForm extends Form {
  /** how queries, keys and values are bound */
  readonly element: "f32" | "vec4f";
  /** keys and values are columns of one tensor */
  readonly packed: boolean;
  /** queries of an invocation */
  readonly per: number;
  /** fours of a row, and of the output that one invocation owns */
  readonly quads: number;
  readonly wide: number;
}

/** `name4(at, n)`: channels 4n to 4n + 3 of the row that begins at element `at`; those past the head are zero. */
const four = (name: string, buffer: string, element: "f32" | "vec4f"): string =>
  element === "vec4f"
    ? `fn ${name}4(at: u32, n: u32) -> vec4f { return ${buffer}[at / 4u + n]; }`
    : `fn ${name}4(at: u32, n: u32) -> vec4f {
  let c = vec4u(4u * n) + vec4u(0u, 1u, 2u, 3u);
  let i = vec4u(at) + min(c, vec4u(p.dim - 1u));
  return select(vec4f(), vec4f(${list(4, (e) => `${buffer}[i[${e}]]`)}), c < vec4u(p.dim));
}`;

const one = (name: string, buffer: string, element: "f32" | "vec4f"): string =>
  `fn ${name}1(at: u32) -> f32 { return ${element === "vec4f" ? `${buffer}[at / 4u][at % 4u]` : `${buffer}[at]`}; }`;

const attendBoth = kernel({
  name: "attention and tangent",
  params: {
    ...{ batch: "u32", queries: "u32", rows: "u32", keys: "u32", heads: "u32", kvHeads: "u32", dim: "u32" },
    ...{ qWidth: "u32", qAt: "u32", kWidth: "u32", kAt: "u32", vWidth: "u32", vAt: "u32", chunks: "u32" },
    ...{ gateAt: "u32", first: "u32", end: "u32", scale: "f32" },
  },
  constants: { CAUSAL: "bool", GATED: "bool" },
  read: ({ element, packed }: TangentForm) =>
    ({
      ...{ q: element, k: element, "dq?": element, "dk?": element },
      ...(packed ? { "mask?": "u32", "bias?": "f32" } : { "v?": element, "dv?": element }),
    }) as Readonly<Record<"q" | "k" | "dq?" | "dk?" | "v?" | "dv?", "f32" | "vec4f">> &
      Readonly<Record<"mask?", "u32"> & Record<"bias?", "f32">>,
  write: { out: "f32", dOut: "f32" },
  workgroup: invocations,
  functions: ({ element, packed }) => {
    const [v, dv] = packed ? ["k", "dk"] : ["v", "dv"];
    return /* wgsl */ `
const LOWEST = -0x1.fffffep+127f;
${SIGMOID}
${four("query", "q", element)}
${four("dQuery", "dq", element)}
${four("key", "k", element)}
${four("dKey", "dk", element)}
${four("value", v, element)}
${four("dValue", dv, element)}
${one("gate", "q", element)}
${one("dGate", "dq", element)}
fn hidden(b: u32, i: u32, j: u32) -> bool {
  ${packed ? "if (HAS_MASK) { if (mask[b * p.rows + j] == 0u) { return true; } }" : ""}
  return CAUSAL && j > i;
}
fn store(i: u32, at: u32, c: u32, y: vec4f, dy: vec4f) {
  if (i >= p.queries) { return; }
  for (var e = 0u; e < 4u; e++) {
    if (c + e < p.dim) {
      out[at + c + e] = y[e];
      dOut[at + c + e] = dy[e];
    }
  }
}`;
  },
  main: ({ packed, per, quads, wide }) => {
    const queries = (line: (r: number) => string): string => each(per, line);
    const all = (n: number, line: (r: number, c: number) => string): string =>
      queries((r) => each(n, (c) => line(r, c)));
    return /* wgsl */ `
  let work = p.first + index;
  if (work >= p.end) { return; }
  let tiles = (p.queries + ${per - 1}u) / ${per}u;
  let i = work % tiles * ${per}u;
  let chunk = work / tiles % p.chunks;
  let h = work / tiles / p.chunks % p.heads;
  let b = work / tiles / p.chunks / p.heads;
  let g = h % p.kvHeads;
  let first = chunk * ${wide}u;
${queries(
  (r) => `  let i${r} = min(i + ${r}u, p.queries - 1u);
  let row${r} = (b * p.queries + i${r}) * p.qWidth;
  let query${r} = row${r} + p.qAt + h * p.dim;
  var highest${r} = LOWEST; var sum${r} = 0.0; var moves${r} = 0.0;`,
)}
${all(quads, (r, n) => `  let q${r}_${n} = query4(query${r}, ${n}u) * p.scale; var dq${r}_${n} = vec4f(); if (HAS_DQ) { dq${r}_${n} = dQuery4(query${r}, ${n}u) * p.scale; }`)}
${all(wide, (r, n) => `  var a${r}_${n} = vec4f(); var e${r}_${n} = vec4f();`)}
  for (var j = 0u; j < p.keys; j++) {
    let key = (b * p.rows + j) * p.kWidth + p.kAt + g * p.dim;
    let value = (b * p.rows + j) * p.vWidth + p.vAt + g * p.dim;
${queries((r) => `    var s${r} = 0.0; var ds${r} = 0.0;`)}
${each(
  quads,
  (n) => `    {
      let k4 = key4(key, ${n}u);
${queries((r) => `      s${r} += dot(q${r}_${n}, k4); if (HAS_DQ) { ds${r} += dot(dq${r}_${n}, k4); }`)}
      if (HAS_DK) {
        let dk4 = dKey4(key, ${n}u);
${queries((r) => `        ds${r} += dot(q${r}_${n}, dk4);`)}
      }
    }`,
)}
${queries(
  (r) => `    ${packed ? `if (HAS_BIAS) { s${r} += bias[(j + p.queries - 1u - i${r}) * p.heads + h]; }` : ""}
    if (hidden(b, i${r}, j)) { s${r} = LOWEST; ds${r} = 0.0; }
    let raised${r} = max(highest${r}, s${r});
    if (raised${r} > highest${r}) {
      let shrink = expTo88(highest${r} - raised${r});
      highest${r} = raised${r};
      sum${r} *= shrink;
      moves${r} *= shrink;
${each(wide, (n) => `      a${r}_${n} *= shrink; e${r}_${n} *= shrink;`)}
    }
    let weight${r} = expTo88(s${r} - highest${r});
    sum${r} += weight${r};
    moves${r} += weight${r} * ds${r};`,
)}
${each(
  wide,
  (n) => `    {
      let v4 = value4(value, first + ${n}u);
${queries((r) => `      a${r}_${n} += weight${r} * v4; e${r}_${n} += (weight${r} * ds${r}) * v4;`)}
      if (${packed ? "HAS_DK" : "HAS_DV"}) {
        let dv4 = dValue4(value, first + ${n}u);
${queries((r) => `        e${r}_${n} += weight${r} * dv4;`)}
      }
    }`,
)}
  }
${queries(
  (r) => `  {
    var open = 1.0; var opens = 0.0;
    if (GATED) {
      open = sigmoid(gate1(row${r} + p.gateAt + h));
      if (HAS_DQ) { opens = open * (1.0 - open) * dGate1(row${r} + p.gateAt + h); }
    }
    let at = ((b * p.queries + i${r}) * p.heads + h) * p.dim;
    let mean = moves${r} / sum${r};
${each(
  wide,
  (n) => `    { let y = a${r}_${n} / sum${r};
      store(i + ${r}u, at, (first + ${n}u) * 4u, y * open, (e${r}_${n} / sum${r} - y * mean) * open + y * opens); }`,
)}
  }`,
)}`;
  },
});

/** Fours that an invocation keeps of queries and of outputs, with their tangents; more would be slow to build and spill on every device. */
const KEPT = 32;

/**
 * A call and its tangent; those of queries, keys and values where they have any, at least one.
 * @throws UsageError for a memory, halves, or mask and bias where keys and values are not columns of one tensor
 */
export function attendWithTangent(
  call: Omit<AttentionCall, "out">,
  [dq, dk, dv]: readonly (Tensor | undefined)[],
): { readonly y: Tensor; readonly dy: Tensor } {
  const {
    q,
    k,
    v,
    keys,
    heads,
    keyValueHeads,
    headDim: dim,
    scale,
    mask,
    bias,
    causal,
    gateAt,
    memory,
  } = call;
  const packed = k.tensor.storage === v.tensor.storage && k.tensor.offset === v.tensor.offset;
  if (memory || k.tensor.dtype !== "f32" || (!packed && (mask ?? bias)))
    throw new UsageError(
      "attention: there is no rule for the tangent of a call with a memory, keys in half precision, or a mask or bias beside keys and values that are not columns of one tensor",
    );
  const { gpu } = recording();
  const [batch, queries] = q.tensor.shape;
  const places = [q, k, v].flatMap(({ tensor, offset = 0 }) => [tensor.dim(-1), offset]);
  const element = [dim, ...places].every((n) => n % 4 === 0) ? "vec4f" : "f32";
  const naive = gpu.variants.attention === "naive";
  const quads = Math.ceil(dim / 4);
  const wide = naive ? 1 : Math.min(quads, 16);
  const per = naive ? 1 : Math.max(1, Math.min(4, Math.floor(KEPT / (quads + wide)), queries));
  const chunks = Math.ceil(quads / wide);
  const work = batch * heads * chunks * Math.ceil(queries / per);
  const made = (name: string): Tensor => result([batch, queries, heads * dim], name);
  const [y, dy] = [made("attention"), made("tangent of attention")];
  recording().flops += 12 * batch * queries * keys * heads * dim;
  const most = Math.floor(gpu.dispatchFlops / (12 * per * keys * dim));
  for (const { from, to } of ranges(work, Math.max(1, most))) {
    attendBoth({
      form: { element, packed, per, quads, wide },
      constants: { CAUSAL: causal, GATED: gateAt !== undefined },
      params: {
        ...{ batch, queries, rows: k.tensor.dim(1), keys, heads, kvHeads: keyValueHeads, dim },
        ...{ qWidth: q.tensor.dim(-1), qAt: q.offset ?? 0, kWidth: k.tensor.dim(-1), kAt: k.offset ?? 0 },
        ...{ vWidth: v.tensor.dim(-1), vAt: v.offset ?? 0, chunks },
        ...{ gateAt: gateAt ?? 0, first: from, end: to, scale },
      },
      read: { q: q.tensor, k: k.tensor, dq, dk, ...(packed ? { mask, bias } : { v: v.tensor, dv }) },
      write: { out: y, dOut: dy },
      invocations: to - from,
    });
  }
  return { y, dy };
}
