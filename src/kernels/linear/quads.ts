/**
 * For adapters with subgroups. The four invocations of a quad own 4·blocks rows × 16 columns: each reads its own row of every
 * group of four and its own four columns, and quad swaps hand the rows round, so that for 16·blocks multiply-adds an
 * invocation reads `blocks` values of x and four of W. No workgroup memory: on a CPU adapter it only costs.
 *
 * Sums of 128 terms go to a second accumulator, which keeps the rounding error of long sums near that of a pairwise sum. That
 * costs about as much as a term, and parts of 128 are 1.1 times faster than parts of 32 (SwiftShader 5.0.0, 2026-11-22).
 *
 * A tile that lies inside is stored without asking at every element, where that is not too much text (with a gate it took 1.4 s to
 * build). That, and leaving out what a shape does not need (a second accumulator, a ragged end), halved what a tile costs besides its
 * terms, which had been a third of a product of 128 terms (SwiftShader 5.0.0, 2026-11-22).
 *
 * What decides on SwiftShader 5.0.0 (2026-11-22): a float read from storage costs a subgroup of four 10 ns (25 with bounds checks,
 * see open.node.ts), a multiply-add or a swap 1 ns, an accumulator carried round a loop 1 ns, and text beyond the
 * instruction cache slows everything.
 */
import { ADD_OUTER, ADD_OUTER_F16, addQuads, bindX, QUAD, quadBlocks } from "../terms.ts";
import { each, list } from "../text.ts";
import { SUBGROUPS } from "../variants.ts";
import type { Arithmetic } from "../../gpu/gpu.ts";
import type { Form } from "../kernel.ts";
import { type LinearForm, linearVariant } from "./program.ts";

/** Terms of a part. */
const PART = 128;

export interface QuadsForm extends Form {
  /** groups of four rows that a quad owns */
  readonly blocks: number;
  /** K is no multiple of four: fewer terms are left at the end of a row */
  readonly ragged: boolean;
  /** K is more than one part */
  readonly parts: boolean;
}

const MAIN = ({ blocks, ragged, parts, activation, gated }: LinearForm & QuadsForm): string => {
  // What becomes of a sum is little text: no gate, no activation longer than a comparison.
  const light = !gated && (activation === "identity" || activation === "relu");
  const block = (line: (i: number) => string): string => each(blocks, line);
  const terms = (read: "x4" | "xEnd", sums: string): string => /* wgsl */ `
      let b0 = w4(w0 + i); let b1 = w4(w1 + i); let b2 = w4(w2 + i); let b3 = w4(w3 + i);
${block((n) => `      let a${n} = ${read}(row${n}, i);`)}
${addQuads(blocks, sums)}`;
  const wholeTerms = parts
    ? /* wgsl */ `
  for (var i0 = 0u; i0 < whole; i0 += ${PART / 4}u) {
    let end = min(i0 + ${PART / 4}u, whole);
${block((n) => `    var part${n} = mat4x4f();`)}
    for (var i = i0; i < end; i++) {${terms("x4", "part")}
    }
${block((n) => `    sum${n} += part${n};`)}
  }`
    : /* wgsl */ `
  for (var i = 0u; i < whole; i++) {${terms("x4", "sum")}
  }`;
  const lastTerms = ragged
    ? /* wgsl */ `
  {
    let i = whole;${terms("xEnd", "sum")}
  }`
    : "";
  return /* wgsl */ `
  let corner = index % 4u; // of the quad
  let tile = index / 4u;
  let groups = (p.columns + 15u) / 16u;
  let m = tile / groups * ${4 * blocks}u;
  let n = tile % groups * 16u + corner * 4u;
  let w0 = rowOfW(n); let w1 = rowOfW(n + 1u); let w2 = rowOfW(n + 2u); let w3 = rowOfW(n + 3u);
${block((i) => `  let row${i} = rowOfX(m + ${4 * i}u + corner);`)}
${block((i) => `  var sum${i} = mat4x4f();`)}
  let whole = p.inner / 4u;
${wholeTerms}
${lastTerms}
  let added = bias4(n);
${
  light
    ? /* wgsl */ `  if (m + ${4 * blocks}u <= p.rows && n + 4u <= p.columns) {
${each(4 * blocks, (r) => `    put4(m + ${r & ~3}u + (corner ^ ${r % 4}u), n, sum${r >> 2}[${r % 4}], added);`)}
    return;
  }`
    : ""
}
  // In memory, so that one piece of text stores every row.
  var tiles = array(${list(blocks, (i) => `sum${i}`)});
  for (var r = 0u; r < ${4 * blocks}u; r++) {
    store4(m + r / 4u * 4u + (corner ^ (r % 4u)), n, tiles[r / 4u][r % 4u], added);
  }`;
};

const variant = (name: string, arithmetic: Arithmetic) =>
  linearVariant<QuadsForm>({
    ...{ name, arithmetic, needs: SUBGROUPS },
    plan: ({ rows, inner, columns }) => {
      const blocks = quadBlocks(rows);
      return {
        form: { blocks, ragged: inner % 4 !== 0, parts: inner > PART },
        element: bindX(inner),
        invocations: Math.ceil(rows / (4 * blocks)) * Math.ceil(columns / 16) * 4,
      };
    },
    functions: ({ arithmetic }) => (arithmetic === "f16" ? ADD_OUTER_F16 : ADD_OUTER) + QUAD,
    main: MAIN,
  });

export const quads = variant("quads", "f32");
export const quadsF16 = variant("quadsF16", "f16");
