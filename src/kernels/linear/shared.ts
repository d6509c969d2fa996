/**
 * For real GPUs: a workgroup of side² owns 8·side rows and columns, an invocation 8 × 8 of them in registers; 16 terms of x and W
 * at a time pass through workgroup memory, 8 KB at side 8 and 16 KB at side 16. An item is four terms of four rows,
 * read as they lie and turned in registers, so that what is multiplied lies side by side; the next items are read while
 * these are multiplied. Written after the shapes that win in public measurements; not timed on a real GPU yet.
 */
import { ADD_OUTER, bindX } from "../terms.ts";
import type { Arithmetic } from "../../gpu/gpu.ts";
import { linearVariant } from "./program.ts";

const shared = (side: 8 | 16, arithmetic: Arithmetic = "f32") =>
  linearVariant({
    name: `shared${8 * side}${arithmetic === "f16" ? "F16" : ""}`,
    arithmetic,
    plan: ({ rows, inner, columns }) => ({
      form: {},
      element: bindX(inner),
      invocations: Math.ceil(rows / (8 * side)) * Math.ceil(columns / (8 * side)) * side * side,
      workgroup: side * side,
    }),
    functions: () => /* wgsl */ `
${ADD_OUTER}
const SIDE = ${side}u;
const QUADS = 2u * SIDE; // groups of four rows, or columns, across the tile
const DEPTH = 16u;
const ITEMS = 2u * QUADS * (DEPTH / 4u); // of x, then of W
const EACH = ITEMS / (SIDE * SIDE);
var<workgroup> xs: array<Operand, DEPTH * QUADS>; // [k][four rows]
var<workgroup> ws: array<Operand, DEPTH * QUADS>; // [k][four columns]

// An item, one term a column. Beyond K x is zero, whatever W holds there; rows beyond the end are not stored.
fn item(i: u32, m0: u32, n0: u32, k0: u32) -> mat4x4f {
  let four = k0 / 4u + i % 4u;
  if (4u * four >= p.inner) { return mat4x4f(); }
  let begin = i / 4u % QUADS * 4u;
  if (i < ITEMS / 2u) {
    let m = m0 + begin;
    return transpose(mat4x4f(xEnd(rowOfX(m), four), xEnd(rowOfX(m + 1u), four), xEnd(rowOfX(m + 2u), four), xEnd(rowOfX(m + 3u), four)));
  }
  let n = n0 + begin;
  return transpose(mat4x4f(w4(rowOfW(n) + four), w4(rowOfW(n + 1u) + four), w4(rowOfW(n + 2u) + four), w4(rowOfW(n + 3u) + four)));
}`,
    main: () => /* wgsl */ `
  let across = (p.columns + 4u * QUADS - 1u) / (4u * QUADS);
  let m0 = group / across * 4u * QUADS;
  let n0 = group % across * 4u * QUADS;
  if (m0 >= p.rows) { return; }
  let row = lane / SIDE;
  let column = lane % SIDE;
  var next: array<mat4x4f, EACH>;
  for (var e = 0u; e < EACH; e++) { next[e] = item(lane + e * WORKGROUP, m0, n0, 0u); }
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var k0 = 0u; k0 < p.inner; k0 += DEPTH) {
    for (var e = 0u; e < EACH; e++) {
      let i = lane + e * WORKGROUP;
      let at = i % 4u * 4u * QUADS + i / 4u % QUADS;
      for (var k = 0u; k < 4u; k++) {
        if (i < ITEMS / 2u) { xs[at + k * QUADS] = Operand(next[e][k]); } else { ws[at + k * QUADS] = Operand(next[e][k]); }
      }
    }
    workgroupBarrier();
    for (var e = 0u; e < EACH; e++) { next[e] = item(lane + e * WORKGROUP, m0, n0, k0 + DEPTH); }
    for (var k = 0u; k < DEPTH; k++) {
      let a0 = vec4f(xs[k * QUADS + row]); let a1 = vec4f(xs[k * QUADS + SIDE + row]);
      let b0 = vec4f(ws[k * QUADS + column]); let b1 = vec4f(ws[k * QUADS + SIDE + column]);
      sum00 = addOuter(sum00, a0, b0); sum01 = addOuter(sum01, a0, b1);
      sum10 = addOuter(sum10, a1, b0); sum11 = addOuter(sum11, a1, b1);
    }
    workgroupBarrier();
  }
  let m = m0 + row * 4u;
  let n = n0 + column * 4u;
  let far = 4u * SIDE;
  storeTile(m, n, sum00); storeTile(m, n + far, sum01);
  storeTile(m + far, n, sum10); storeTile(m + far, n + far, sum11);`,
  });

export const shared64 = shared(8);
export const shared128 = shared(16);
/** Operands in half precision: half the traffic of workgroup memory. */
export const shared64F16 = shared(8, "f16");
export const shared128F16 = shared(16, "f16");
