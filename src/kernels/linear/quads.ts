/**
 * For adapters with subgroups. The four invocations of a quad own 4·blocks rows × 16 columns: each reads its own row of every
 * group of four and its own four columns, and quad swaps hand the rows round, so that for 16·blocks multiply-adds an
 * invocation reads `blocks` values of x and four of W. No workgroup memory: on a CPU adapter it only costs.
 *
 * Sums of 128 terms go to a second accumulator, which keeps the rounding error of long sums near that of a pairwise sum. That
 * costs about as much as a term, and parts of 128 are 1.1 times faster than parts of 32 (SwiftShader 5.0.0, 2026-11-22).
 *
 * What decides on SwiftShader 5.0.0 (2026-11-22): a float read from storage costs a subgroup of four 10 ns (25 with bounds checks,
 * see open.node.ts), a multiply-add or a swap 1 ns, an accumulator carried round a loop 1 ns, and text beyond the
 * instruction cache slows everything.
 */
import type { WeightDtype } from "../../tensor/packed-weight.ts";
import { SUBGROUPS } from "../variants.ts";
import { ADD_OUTER, addQuads, bindX, QUAD, quadBlocks, READ_WEIGHT } from "../terms.ts";
import { each } from "../text.ts";
import type { LinearVariant } from "./program.ts";

const QUADS = (dtype: WeightDtype, blocks: number): string => {
  const terms = (read: "x4" | "xEnd"): string => /* wgsl */ `
      let b0 = w4(w0 + i); let b1 = w4(w1 + i); let b2 = w4(w2 + i); let b3 = w4(w3 + i);
${each(blocks, (n) => `      let a${n} = ${read}(row${n}, i);`)}
${addQuads(blocks)}`;
  return /* wgsl */ `
${READ_WEIGHT[dtype]}
${ADD_OUTER}
${QUAD}
const PART = 32u; // groups of four terms

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let tile = (wg.x + wg.y * grid.x) * (WORKGROUP / 4u) + index / 4u;
  let groups = (p.columns + 15u) / 16u;
  let m = tile / groups * ${4 * blocks}u;
  let n = tile % groups * 16u + lane * 4u;
  let w0 = rowOfW(n); let w1 = rowOfW(n + 1u); let w2 = rowOfW(n + 2u); let w3 = rowOfW(n + 3u);
${each(blocks, (i) => `  let row${i} = rowOfX(m + ${4 * i}u + lane);`)}
${each(blocks, (i) => `  var sum${i} = mat4x4f();`)}
  let whole = p.inner / 4u;
  for (var i0 = 0u; i0 < whole; i0 += PART) {
    let end = min(i0 + PART, whole);
${each(blocks, (i) => `    var part${i} = mat4x4f();`)}
    for (var i = i0; i < end; i++) {${terms("x4")}
    }
${each(blocks, (i) => `    sum${i} += part${i};`)}
  }
  if (4u * whole < p.inner) {
    let i = whole;
${each(blocks, (i) => `    var part${i} = sum${i};`)}${terms("xEnd")}
${each(blocks, (i) => `    sum${i} = part${i};`)}
  }
  // In memory, so that one piece of text stores every row.
  var tiles = array(${Array.from({ length: blocks }, (_, i) => `sum${i}`).join(", ")});
  for (var r = 0u; r < ${4 * blocks}u; r++) {
    store4(m + r / 4u * 4u + (lane ^ (r % 4u)), n, tiles[r / 4u][r % 4u]);
  }
}
`;
};

export const quads: LinearVariant = {
  needs: SUBGROUPS,
  program: ({ rows, inner, columns }) => {
    const blocks = quadBlocks(rows);
    return {
      key: `quads ${blocks} ${inner % 4 === 0}`,
      body: (dtype) => QUADS(dtype, blocks),
      x: bindX(inner),
      invocations: Math.ceil(rows / (4 * blocks)) * Math.ceil(columns / 16) * 4,
    };
  },
};
