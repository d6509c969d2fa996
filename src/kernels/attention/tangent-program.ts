/**
 * What the programs behind tangent.ts share: their declaration, how they read rows of a head, and how a result is stored. Letters as in program.ts.
 */
import { type Form, kernel } from "../kernel.ts";
import { SIGMOID } from "../math.ts";
import { list } from "../text.ts";
import { invocations, type Needs } from "../variants.ts";

export interface TangentForm extends Form {
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

/**
 * `name4(at, n)`: channels 4n to 4n + 3 of the row that begins at \`elements(at)\`; of scalars those past the head are zero, of fours they repeat the last
 * ones where more are asked for than there are.
 */
const four = (name: string, buffer: string, element: "f32" | "vec4f", guarded = false): string =>
  element === "vec4f"
    ? `fn ${name}4(at: u32, n: u32) -> vec4f { return ${buffer}[at + ${guarded ? "min(n, p.dim / 4u - 1u)" : "n"}]; }`
    : `fn ${name}4(at: u32, n: u32) -> vec4f {
  let c = vec4u(4u * n) + vec4u(0u, 1u, 2u, 3u);
  let i = vec4u(at) + min(c, vec4u(p.dim - 1u));
  return select(vec4f(), vec4f(${list(4, (e) => `${buffer}[i[${e}]]`)}), c < vec4u(p.dim));
}`;

const one = (name: string, buffer: string, element: "f32" | "vec4f"): string =>
  `fn ${name}1(at: u32) -> f32 { return ${element === "vec4f" ? `${buffer}[at / 4u][at % 4u]` : `${buffer}[at]`}; }`;

/** A program for a call and its tangent; `main` sees the functions below. */
export const tangentProgram = (own: {
  readonly name: string;
  readonly needs?: Needs;
  readonly functions?: string;
  readonly main: (form: TangentForm) => string;
}) =>
  kernel({
    name: `attention and tangent, ${own.name}`,
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
    enable: own.needs?.enable,
    functions: ({ element, packed, quads, wide }) => {
      const [v, dv] = packed ? ["k", "dk"] : ["v", "dv"];
      return /* wgsl */ `${own.functions ?? ""}
const LOWEST = -0x1.fffffep+127f;
${SIGMOID}
${four("query", "q", element)}
${four("dQuery", "dq", element)}
${four("key", "k", element)}
${four("dKey", "dk", element)}
${four("value", v, element, quads % wide !== 0)}
${four("dValue", dv, element, quads % wide !== 0)}
${one("gate", "q", element)}
${one("dGate", "dq", element)}
fn elements(at: u32) -> u32 { return at / ${element === "vec4f" ? 4 : 1}u; }
fn hidden(b: u32, i: u32, j: u32) -> bool {
  ${packed ? "if (HAS_MASK) { if (mask[b * p.rows + j] == 0u) { return true; } }" : ""}
  return CAUSAL && j > i;
}
// The gate of one head's output, and its tangent.
fn gates(b: u32, i: u32, h: u32) -> vec2f {
  if (!GATED) { return vec2f(1.0, 0.0); }
  let at = (b * p.queries + i) * p.qWidth + p.gateAt + h;
  let open = sigmoid(gate1(at));
  if (!HAS_DQ) { return vec2f(open, 0.0); }
  return vec2f(open, open * (1.0 - open) * dGate1(at));
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
    main: own.main,
  });
