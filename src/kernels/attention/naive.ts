/** One invocation an output channel; it repeats the logits for each: the second reference. */
import { attentionVariant } from "./program.ts";

export const naive = attentionVariant({
  name: "naive",
  plan: ({ batch, queries, heads, headDim, reading }) => ({
    form: { ...reading, element: "f32", guarded: false, options: "override" },
    chunks: 1,
    invocations: batch * queries * heads * headDim,
  }),
  main: () => /* wgsl */ `
  let c = index % p.dim;
  let h = index / p.dim % p.heads;
  let i = index / p.dim / p.heads % p.queries;
  let outer = index / p.dim / p.heads / p.queries;
  if (outer >= p.batch * p.parts) { return; }
  let b = itemOf(outer);
  let g = h % p.kvHeads;
  let queryAt = (b * p.queries + i) * p.qWidth + p.qAt + h * p.dim;
  var highest = LOWEST;
  var sum = 0.0;
  var value = 0.0;
  for (var j = keysBegin(outer); j < keysEnd(outer); j++) {
    let key = rowAt(b, j, p.kWidth) + p.kAt + g * p.dim;
    var product = 0.0;
    for (var e = 0u; e < p.dim; e++) { product += q[queryAt + e] * keyOf(j, key + e); }
    let logit = biased(product * p.scale, b, h, i, j);
    let raised = max(highest, logit);
    let shrink = exp_(highest - raised);
    let weight = exp_(logit - raised);
    highest = raised;
    sum = sum * shrink + weight;
    value = value * shrink + weight * valueOf(j, rowAt(b, j, p.vWidth) + p.vAt + g * p.dim + c);
  }
  put(outer, i, h, c, value, highest, sum, gate(b, i, h));`,
});
