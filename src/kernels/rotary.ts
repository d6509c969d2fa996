/**
 * y[b, n, h, 2j]     = x[b, n, h, 2j]·cos[n, j] − x[b, n, h, 2j + 1]·sin[n, j]
 * y[b, n, h, 2j + 1] = x[b, n, h, 2j + 1]·cos[n, j] + x[b, n, h, 2j]·sin[n, j]
 *
 * The rotary embedding of neighbouring channels, for models that normalise queries and keys over all heads at once (qk-norm.ts has
 * the one that pairs the halves of a head, behind a norm of each head).
 *
 * Layout: x (B, N, H·d), cos and sin (N, d/2), the same for all heads and items. One invocation a pair of channels.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { likewise } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import type { Rotary } from "./qk-norm.ts";
import { inRows } from "./rows.ts";

const rotate = kernel({
  name: "rotatePairs",
  params: { pairs: "u32", width: "u32", half: "u32", tokens: "u32", first: "u32" },
  read: { x: "f32", cosine: "f32", sine: "f32" },
  write: { y: "f32" },
  over: "pairs",
  main: /* wgsl */ `
  let row = index / p.width;
  let j = (index - row * p.width) % p.half;
  let angle = (p.first + row) % p.tokens * p.half + j;
  let a = x[2u * index];
  let b = x[2u * index + 1u];
  y[2u * index] = a * cosine[angle] - b * sine[angle];
  y[2u * index + 1u] = b * cosine[angle] + a * sine[angle];`,
});

/**
 * Neighbouring channels of every head turned by the token's angles; x (B, N, H·d) → same shape.
 * @throws UsageError when the tables are not (N, d/2) for a d that divides the width
 */
export function rotatePairs(x: Tensor, { cos, sin }: Rotary): Tensor {
  const [batch, tokens, width] = x.shape;
  const half = cos.dim(-1);
  if (cos.rows !== tokens || sin.size !== cos.size || width % (2 * half) !== 0)
    throw new UsageError(
      `rotatePairs: rotary tables ${showShape(cos.shape)} and ${showShape(sin.shape)} for ${showShape(x.shape)}`,
    );
  return likewise(x, (x) => {
    const y = result(x.shape, "rotatePairs");
    inRows(batch * tokens, { tensors: [x, y] }, (part, { from, to }) => {
      rotate({
        params: { pairs: ((to - from) * width) / 2, width: width / 2, half, tokens, first: from },
        read: { x: part(x), cosine: cos, sine: sin },
        write: { y: part(y) },
      });
    });
    return y;
  });
}
