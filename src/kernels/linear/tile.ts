/**
 * For adapters without subgroups: one invocation owns 8 rows × 8 columns as four 4×4 matrices, which matrix products of four
 * terms fill. Sums of 64 terms go to a second accumulator, as in quads.ts.
 */
import type { WeightDtype } from "../../tensor/packed-weight.ts";
import { bindX, FOUR_OF_W, READ_WEIGHT } from "../terms.ts";
import type { LinearVariant } from "./program.ts";

const TILE = (dtype: WeightDtype): string => /* wgsl */ `
${READ_WEIGHT[dtype]}
${FOUR_OF_W}

// Four terms of four rows of x, one row a column.
fn rows4(at: vec4u, k: u32) -> mat4x4f { return mat4x4f(xEnd(at.x, k), xEnd(at.y, k), xEnd(at.z, k), xEnd(at.w, k)); }
fn fourOfX(m: u32) -> vec4u { return vec4u(rowOfX(m), rowOfX(m + 1u), rowOfX(m + 2u), rowOfX(m + 3u)); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let groups = (p.columns + 7u) / 8u;
  let tile = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let m = tile / groups * 8u;
  let n = tile % groups * 8u;
  if (m >= p.rows) { return; }
  let upper = fourOfX(m); let lower = fourOfX(m + 4u);
  let left = fourOfW(n); let right = fourOfW(n + 4u);
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var k0 = 0u; k0 < p.inner; k0 += 64u) {
    var part00 = mat4x4f(); var part01 = mat4x4f();
    var part10 = mat4x4f(); var part11 = mat4x4f();
    for (var k = k0; k < min(k0 + 64u, p.inner); k += 4u) {
      let a0 = rows4(upper, k); let a1 = rows4(lower, k);
      let b0 = terms4(left, k); let b1 = terms4(right, k);
      part00 += b0 * a0; part01 += b1 * a0;
      part10 += b0 * a1; part11 += b1 * a1;
    }
    sum00 += part00; sum01 += part01;
    sum10 += part10; sum11 += part11;
  }
  storeTile(m, n, sum00); storeTile(m, n + 4u, sum01);
  storeTile(m + 4u, n, sum10); storeTile(m + 4u, n + 4u, sum11);
}
`;

export const tile: LinearVariant = {
  program: ({ rows, inner, columns }) => ({
    key: `tile ${inner % 4 === 0}`,
    body: TILE,
    x: bindX(inner),
    invocations: Math.ceil(rows / 8) * Math.ceil(columns / 8),
  }),
};
