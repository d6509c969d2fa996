/**
 * One invocation owns four queries of one head, as the four rows of 4×4 matrices: Q and the accumulated output are d/4 matrices each,
 * a key costs d/4 vec4 reads of k and of v for 8·d multiply-adds. Outputs wider than 64 are split over invocations.
 */
import type { Form } from "../kernel.ts";
import { each } from "../text.ts";
import { type AttentionText, attentionVariant, FOUR_QUERIES, fillingParts } from "./program.ts";

interface TileForm extends Form {
  /** vec4s of a row */
  readonly quads: number;
  /** vec4s of the output that one invocation owns */
  readonly wide: number;
}

const TILE: AttentionText<TileForm> = {
  plan: ({ batch, queries, heads, headDim, reading }) => {
    const quads = Math.ceil(headDim / 4);
    const wide = Math.min(quads, 16);
    const chunks = Math.ceil(quads / wide);
    return {
      form: { ...reading, options: "override", guarded: headDim % (4 * wide) !== 0, quads, wide },
      chunks,
      invocations: batch * heads * chunks * Math.ceil(queries / 4),
    };
  },
  functions: () => FOUR_QUERIES,
  main: ({ quads, wide }) => /* wgsl */ `
  let tiles = (p.queries + 3u) / 4u;
  let i = index % tiles * 4u;
  let chunk = index / tiles % p.chunks;
  let h = index / tiles / p.chunks % p.heads;
  let outer = index / tiles / p.chunks / p.heads;
  if (outer >= p.batch * p.parts) { return; }
  let b = itemOf(outer);
  let first = chunk * ${wide}u;
  let g = h % p.kvHeads;
${each(quads, (n) => `  let q${n} = queries4(b, i, h, ${n}u);`)}
${each(wide, (n) => `  var o${n} = mat4x4f();`)}
  var highest = vec4f(LOWEST);
  var sum = vec4f();
  for (var j = keysBegin(outer); j < keysEnd(outer); j++) {
    let key = elements(rowAt(b, j, p.kWidth) + p.kAt + g * p.dim);
    let value = elements(rowAt(b, j, p.vWidth) + p.vAt + g * p.dim);
    var logits = vec4f();
${each(quads, (n) => `    logits += q${n} * key4(j, key, ${n}u);`)}
    if (hasMask() || hasBias() || isCausal()) {
      logits = vec4f(biased(logits.x, b, h, i, j), biased(logits.y, b, h, min(i + 1u, p.queries - 1u), j),
                     biased(logits.z, b, h, min(i + 2u, p.queries - 1u), j), biased(logits.w, b, h, min(i + 3u, p.queries - 1u), j));
    }
    let raised = max(highest, logits);
    if (any(raised > highest)) {
      let shrink = exp4(highest - raised);
      highest = raised;
      sum *= shrink;
${each(wide, (n) => `      o${n} = mat4x4f(o${n}[0] * shrink, o${n}[1] * shrink, o${n}[2] * shrink, o${n}[3] * shrink);`)}
    }
    let weight = exp4(logits - highest);
    sum += weight;
${each(wide, (n) => `    { let v4 = value4(j, value, first + ${n}u); o${n} += mat4x4f(weight * v4.x, weight * v4.y, weight * v4.z, weight * v4.w); }`)}
  }
  let open = gates4(b, i, h);
${each(wide, (n) => `  storeRows(outer, i, h, first + ${n}u, transpose(o${n}), highest, sum, open);`)}`,
};

export const tile = attentionVariant({ name: "tile", ...TILE });

/** The same for few queries of many keys, on devices whose workgroup memory is too small for `split`. */
export const splitTile = attentionVariant({
  name: "splitTile",
  ...TILE,
  keysPerPart: fillingParts(({ batch, queries, heads }) => (batch * heads * Math.ceil(queries / 4)) / 64),
});
