/**
 * y[b, d] = (1/S) Σ_s x[b, s, d]
 *
 * One invocation an output; runs of 64 are added up first, for accuracy.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { likewise } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { invocations } from "./variants.ts";

const mean = kernel({
  name: "mean tokens",
  params: { size: "u32", tokens: "u32", dim: "u32" },
  read: { x: "f32" },
  write: { y: "f32" },
  over: "size",
  workgroup: invocations,
  main: /* wgsl */ `
  var sum = 0.0;
  for (var first = 0u; first < p.tokens; first += 64u) {
    var part = 0.0;
    for (var s = first; s < min(p.tokens, first + 64u); s++) { part += x[(index / p.dim * p.tokens + s) * p.dim + index % p.dim]; }
    sum += part;
  }
  y[index] = sum / f32(p.tokens);`,
});

/** (B, S, D) → (B, D). @throws UsageError for another number of axes */
export function meanTokens(x: Tensor): Tensor {
  if (x.shape.length !== 3)
    throw new UsageError(`meanTokens: ${showShape(x.shape)} is not (batch, tokens, width)`);
  return likewise(x, (x) => {
    const [batch, tokens, dim] = x.shape;
    const y = result([batch, dim], "mean");
    mean({ params: { size: y.size, tokens, dim }, read: { x }, write: { y } });
    return y;
  });
}
