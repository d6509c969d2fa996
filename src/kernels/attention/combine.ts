/**
 * out[i, h] = Σ_k e^(m_k − m) · o_k / Σ_k e^(m_k − m) · s_k · σ(gate[i, h]),   m = max_k m_k
 *
 * k parts of the keys, i row (item and query), h head: the second pass where keys are gone through in parts. Part k left the
 * weighted sum o_k of its values, its highest logit m_k and its sum of weights s_k: rows of d + 2 floats. One invocation an output channel.
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { kernel } from "../kernel.ts";
import { SIGMOID } from "../math.ts";

const combine = kernel({
  name: "attention combine",
  params: {
    ...{ size: "u32", rows: "u32", parts: "u32", heads: "u32", dim: "u32", outAt: "u32" },
    ...{ qWidth: "u32", gateAt: "u32" },
  },
  read: { partial: "f32", "q?": "f32" },
  write: { out: "f32" },
  over: "size",
  functions: SIGMOID,
  main: /* wgsl */ `
  let c = index % p.dim;
  let row = index / p.dim; // and head
  let pitch = p.dim + 2u;
  let step = p.rows * p.heads * pitch;
  var at = row * pitch;
  var highest = partial[at + p.dim];
  for (var k = 1u; k < p.parts; k++) { highest = max(highest, partial[at + k * step + p.dim]); }
  var sum = 0.0;
  var value = 0.0;
  for (var k = 0u; k < p.parts; k++) {
    let weight = exp_(partial[at + p.dim] - highest);
    sum += weight * partial[at + p.dim + 1u];
    value += weight * partial[at + c];
    at += step;
  }
  var open = 1.0;
  if (HAS_Q) { open = sigmoid(q[row / p.heads * p.qWidth + p.gateAt + row % p.heads]); }
  out[p.outAt + index] = value / sum * open;`,
});

/** What the parts of some rows come to: `partial` (parts, rows, H·(d + 2)) → `out.tensor` from element `out.at` on. */
export function combineParts(
  partial: Tensor,
  { heads, headDim: dim }: { readonly heads: number; readonly headDim: number },
  out: { readonly tensor: Tensor; readonly at: number },
  gate?: { readonly tensor: Tensor; readonly at: number },
): void {
  const [parts, rows] = partial.shape;
  combine({
    params: {
      ...{ size: rows * heads * dim, rows, parts, heads, dim, outAt: out.at },
      ...{ qWidth: gate?.tensor.dim(-1) ?? 0, gateAt: gate?.at ?? 0 },
    },
    read: { partial, q: gate?.tensor },
    write: { out: out.tensor },
  });
}
