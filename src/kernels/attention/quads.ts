/**
 * For adapters with subgroups. The four invocations of a quad own 16 queries; each reads one of four keys and swaps it with the
 * others, so a key costs a quarter of the reads of tile.ts, and the largest logit is looked for once in four keys. Outputs wider
 * than 64 are split over invocations.
 */
import { SUBGROUPS } from "../variants.ts";
import { type AttentionVariant, FOUR_QUERIES, HEADER, inQuads, type Reading } from "./program.ts";
import { each } from "../text.ts";

const QUADS = (quads: number, wide: number, reading: Reading): string => /* wgsl */ `
${HEADER(reading)}
${FOUR_QUERIES}
// What all four lanes hold, one column each: this one, its neighbour in x, in y, and across.
fn lanes4(v: vec4f) -> mat4x4f { return mat4x4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }
fn biased4(logits: vec4f, b: u32, h: u32, i: vec4u, j: u32) -> vec4f {
  return vec4f(biased(logits.x, b, h, i.x, j), biased(logits.y, b, h, i.y, j), biased(logits.z, b, h, i.z, j), biased(logits.w, b, h, i.w, j));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let across = (p.queries + 15u) / 16u;
  let quad = (wg.x + wg.y * grid.x) * (WORKGROUP / 4u) + index / 4u;
  let total = across * p.chunks * p.heads * p.batch;
  // Quads beyond the end repeat the last one, as all must take part in the swaps; they store nothing.
  let tile = min(quad, total - 1u);
  let i = tile % across * 16u + lane * 4u;
  let chunk = tile / across % p.chunks;
  let h = tile / across / p.chunks % p.heads;
  let b = tile / across / p.chunks / p.heads;
  let first = chunk * ${wide * 4}u;
  let g = h % p.kvHeads;
  let i4 = min(vec4u(i) + vec4u(0u, 1u, 2u, 3u), vec4u(p.queries - 1u));
  let keys = p.memory + p.keys;
${each(quads, (n) => `  let q${n} = queries4(b, i, h, ${4 * n}u);`)}
${each(wide, (n) => `  var o${n} = mat4x4f();`)}
  var highest = vec4f(LOWEST);
  var sum = vec4f();
  for (var j = 0u; j < keys; j += 4u) {
    // Each lane reads the key and the value of its own position; those beyond the end weigh nothing.
    let own = min(j + lane, keys - 1u);
    let key = rowAt(b, own, p.kWidth) + p.kAt + g * p.dim;
    let value = rowAt(b, own, p.vWidth) + p.vAt + g * p.dim;
    let position = vec4u(j) + (vec4u(lane) ^ vec4u(0u, 1u, 2u, 3u));
    var logits = mat4x4f();
${each(quads, (n) => `    logits += q${n} * lanes4(key4(own, key, ${4 * n}u));`)}
    if (hasMask() || hasBias() || isCausal()) {
      let at = min(position, vec4u(keys - 1u));
      logits = mat4x4f(biased4(logits[0], b, h, i4, at.x), biased4(logits[1], b, h, i4, at.y),
                       biased4(logits[2], b, h, i4, at.z), biased4(logits[3], b, h, i4, at.w));
    }
    let inside = select(vec4f(), vec4f(1.0), position < vec4u(keys));
    let raised = max(highest, max(max(logits[0], logits[1]), max(logits[2], logits[3])));
    if (any(raised > highest)) {
      let shrink = exp4(highest - raised);
      highest = raised;
      sum *= shrink;
${each(wide, (n) => `      o${n} = mat4x4f(o${n}[0] * shrink, o${n}[1] * shrink, o${n}[2] * shrink, o${n}[3] * shrink);`)}
    }
    let weight = mat4x4f(exp4(logits[0] - highest) * inside.x, exp4(logits[1] - highest) * inside.y,
                         exp4(logits[2] - highest) * inside.z, exp4(logits[3] - highest) * inside.w);
    sum += (weight[0] + weight[1]) + (weight[2] + weight[3]);
${each(wide, (n) => `    o${n} += weight * transpose(lanes4(value4(own, value, first + ${4 * n}u)));`)}
  }
  if (quad >= total) { return; }
  let open = gates4(b, i, h);
${each(wide, (n) => `  storeRows(b, i, h, first + ${4 * n}u, transpose(o${n}), sum, open);`)}
}
`;

export const quads: AttentionVariant = {
  needs: SUBGROUPS,
  program: ({ batch, queries, heads, headDim, source, quadAligned }) => {
    const { quads, wide, chunks, guarded } = inQuads(headDim);
    const element = quadAligned ? "vec4f" : "f32";
    return {
      key: `quads ${quads} ${wide} ${guarded} ${source} ${element}`,
      wgsl: () => QUADS(quads, wide, { source, element, guarded, options: "override" }),
      chunks,
      options: "override",
      invocations: batch * heads * chunks * Math.ceil(queries / 16) * 4,
    };
  },
};
