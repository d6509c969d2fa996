/**
 * For adapters without subgroups: one invocation owns 8 rows × 8 columns as four 4×4 matrices, which matrix products of four
 * terms fill. Sums of 64 terms go to a second accumulator, as in quads.ts.
 */
import { bindX, FOUR_OF_W } from "../terms.ts";
import type { Arithmetic } from "../../gpu/gpu.ts";
import { linearVariant } from "./program.ts";

/** Four terms of four columns (b) times those of four rows (a), a row a column of each, are added. */
const ADD_TERMS = {
  f32: /* wgsl */ `
fn addTerms(sums: mat4x4f, b: mat4x4f, a: mat4x4f) -> mat4x4f { return sums + b * a; }`,
  f16: /* wgsl */ `
fn addTerms(sums: mat4x4f, b: mat4x4f, a: mat4x4f) -> mat4x4f {
  let columns = mat4x4<f16>(vec4<f16>(b[0]), vec4<f16>(b[1]), vec4<f16>(b[2]), vec4<f16>(b[3]));
  var added = sums;
  for (var r = 0u; r < 4u; r++) {
    let row = vec4<f16>(a[r]);
    added[r] += (vec4f(columns[0] * row.x) + vec4f(columns[1] * row.y)) + (vec4f(columns[2] * row.z) + vec4f(columns[3] * row.w));
  }
  return added;
}`,
} as const satisfies Record<Arithmetic, string>;

const variant = (name: string, arithmetic: Arithmetic) =>
  linearVariant({
    ...{ name, arithmetic },
    plan: ({ rows, inner, columns }) => ({
      form: {},
      element: bindX(inner),
      invocations: Math.ceil(rows / 8) * Math.ceil(columns / 8),
    }),
    functions: ({ arithmetic }) => /* wgsl */ `
${FOUR_OF_W}
${ADD_TERMS[arithmetic]}

// Four terms of four rows of x, one row a column.
fn rows4(at: vec4u, i: u32) -> mat4x4f { return mat4x4f(xEnd(at.x, i), xEnd(at.y, i), xEnd(at.z, i), xEnd(at.w, i)); }
fn fourOfX(m: u32) -> vec4u { return vec4u(rowOfX(m), rowOfX(m + 1u), rowOfX(m + 2u), rowOfX(m + 3u)); }`,
    main: () => /* wgsl */ `
  let groups = (p.columns + 7u) / 8u;
  let m = index / groups * 8u;
  let n = index % groups * 8u;
  if (m >= p.rows) { return; }
  let upper = fourOfX(m); let lower = fourOfX(m + 4u);
  let left = fourOfW(n); let right = fourOfW(n + 4u);
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  let all = (p.inner + 3u) / 4u;
  for (var i0 = 0u; i0 < all; i0 += 16u) {
    let end = min(i0 + 16u, all);
    var part00 = mat4x4f(); var part01 = mat4x4f();
    var part10 = mat4x4f(); var part11 = mat4x4f();
    for (var i = i0; i < end; i++) {
      let a0 = rows4(upper, i); let a1 = rows4(lower, i);
      let b0 = terms4(left, i); let b1 = terms4(right, i);
      part00 = addTerms(part00, b0, a0); part01 = addTerms(part01, b1, a0);
      part10 = addTerms(part10, b0, a1); part11 = addTerms(part11, b1, a1);
    }
    sum00 += part00; sum01 += part01;
    sum10 += part10; sum11 += part11;
  }
  storeTile(m, n, sum00); storeTile(m, n + 4u, sum01);
  storeTile(m + 4u, n, sum10); storeTile(m + 4u, n + 4u, sum11);`,
  });

export const tile = variant("tile", "f32");
export const tileF16 = variant("tileF16", "f16");
