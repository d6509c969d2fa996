/**
 * The pool in steps, on the weights that `foldPool` prepared for the fused variant: what is recorded in its place where the history moves
 * (jvp.ts), since every step here has a rule. The mixed variant's steps, with plain products in the place of linear maps.
 */
import { result, Tensor } from "../../tensor/tensor.ts";
import { add } from "../elementwise.ts";
import { mixHistory } from "../history-mix.ts";
import { likewise } from "../jvp.ts";
import { kernel } from "../kernel.ts";
import { invocations } from "../variants.ts";
import { FLOAT32_EPSILON, POOL_KV_HEADS, type PoolShape, type PoolWeights, up4 } from "./pool.ts";

/** y[n, o] = Σ_k x[n, k] · w[at + ⌊k / block⌋ · apart + (k mod block) · stride + o]; one invocation an output. */
const product = kernel({
  name: "history pool product",
  params: {
    ...{ size: "u32", inner: "u32", columns: "u32" },
    ...{ at: "u32", block: "u32", apart: "u32", stride: "u32" },
  },
  read: { x: "f32", w: "f32" },
  write: { y: "f32" },
  over: "size",
  workgroup: invocations,
  main: /* wgsl */ `
  let row = index / p.columns * p.inner;
  let first = p.at + index % p.columns;
  var sum = 0.0;
  for (var k0 = 0u; k0 < p.inner; k0 += 64u) {
    var part = 0.0;
    for (var k = k0; k < min(k0 + 64u, p.inner); k++) { part += x[row + k] * w[first + k / p.block * p.apart + k % p.block * p.stride]; }
    sum += part;
  }
  y[index] = sum;`,
});

interface Rows {
  readonly inner: number;
  readonly columns: number;
  readonly at: number;
  readonly block: number;
  readonly apart: number;
  readonly stride: number;
}

const times = (x: Tensor, w: Tensor, rows: Rows): Tensor =>
  likewise(x, (x) => {
    const y = result([x.size / rows.inner, rows.columns], "pool product");
    product({ params: { size: y.size, ...rows }, read: { x, w }, write: { y } });
    return y;
  });

/** The history (M, B, N, D) pooled: (tokens, D). */
export function poolFolded(
  history: Tensor,
  { folded }: Extract<PoolWeights, { kind: "fused" }>,
  { dim: D, heads: R, headDim: r }: PoolShape,
): Tensor {
  const entries = history.dim(0);
  const tokens = history.rows / entries;
  const u = new Tensor([D, up4(R), 4], "f32", folded.storage, folded.offset);
  const mixes = mixHistory(history.reshape(entries, tokens, D), u, R, FLOAT32_EPSILON);
  const [vWidth, oWidth] = [4 * up4(r), 4 * up4(D)];
  const valuesAt = 4 * D * up4(R);
  const outAt = valuesAt + D * POOL_KV_HEADS * vWidth;
  const [even, odd] = mixes.map((mix, g) => {
    const step = POOL_KV_HEADS * vWidth;
    const from = { at: valuesAt + g * vWidth, block: D, apart: 0, stride: step };
    const values = times(mix, folded, { inner: D, columns: r, ...from }).reshape(tokens, -1);
    const place = { at: outAt + g * r * oWidth, block: r, apart: POOL_KV_HEADS * r * oWidth, stride: oWidth };
    return times(values, folded, { inner: values.dim(-1), columns: D, ...place });
  });
  return add(even, odd);
}
