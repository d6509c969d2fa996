/**
 * y[b, j, d] = x[b, j − 1, d]   for d ≥ ⌈D/2⌉ and j > first; 0 for j = first
 * y[b, j, d] = x[b, j, d]       elsewhere: in the first half of the channels, and in the tokens before `first`
 *
 * Half of every token's channels comes from the token before it. One invocation an element.
 */
import { result, type Tensor } from "../tensor/tensor.ts";
import { likewise } from "./jvp.ts";
import { kernel } from "./kernel.ts";

const shift = kernel({
  name: "token shift",
  params: { size: "u32", tokens: "u32", dim: "u32", first: "u32" },
  read: { x: "f32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  let row = index / p.dim;
  let d = index - row * p.dim;
  let token = row % p.tokens;
  let shifted = d >= (p.dim + 1u) / 2u && token >= p.first;
  let first = token == p.first;
  y[index] = select(x[index - select(0u, p.dim, shifted && !first)], 0.0, shifted && first);`,
});

/** x (B, N, D) with the second half of the channels moved one token on, from token `first`. */
export const tokenShift = (x: Tensor, first: number): Tensor =>
  likewise(x, (x) => {
    const y = result(x.shape, "token shift");
    shift({ params: { size: x.size, tokens: x.dim(-2), dim: x.dim(-1), first }, read: { x }, write: { y } });
    return y;
  });
