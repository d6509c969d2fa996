/**
 * y[n, v, s] = Σ_p Σ_q x[i, v, p, q] · x[j, v, π_s(p), q]              (i, j) the n-th pair, π_s the s-th order of the rows
 *
 * Inner products of matrices of one stack, the second one's rows in given orders. With `both`, q is permuted like p: x then holds the products of
 * rows with rows (gram.ts), whose rows and columns move together.
 *
 * One workgroup an output: its invocations take terms in turn, in runs of 64, and add up what they have in workgroup memory.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { invocations } from "./variants.ts";
import { sumOfWorkgroup } from "./workgroup.ts";

const inner = kernel({
  name: "pair products",
  params: { size: "u32", batch: "u32", rows: "u32", columns: "u32", orders: "u32" },
  constants: { BOTH: "bool" },
  read: { x: "f32", pairs: "vec2u", order: "u32" },
  write: { y: "f32" },
  functions: sumOfWorkgroup("f32"),
  main: /* wgsl */ `
  // A workgroup beyond the end repeats the last output, so that every invocation meets every barrier.
  let at = min(group, p.size - 1u);
  let s = at % p.orders * p.rows;
  let v = at / p.orders % p.batch;
  let pair = pairs[at / p.orders / p.batch];
  let terms = p.rows * p.columns;
  let left = (pair.x * p.batch + v) * terms;
  let right = (pair.y * p.batch + v) * terms;
  var sum = 0.0;
  for (var t0 = lane; t0 < terms; t0 += 64u * WORKGROUP) {
    var run = 0.0;
    for (var t = t0; t < min(terms, t0 + 64u * WORKGROUP); t += WORKGROUP) {
      let row = t / p.columns;
      var column = t - row * p.columns;
      let own = x[left + t];
      if (BOTH) { column = order[s + column]; }
      run += own * x[right + order[s + row] * p.columns + column];
    }
    sum += run;
  }
  let total = sumOfWorkgroup(lane, sum);
  if (lane == 0u && group < p.size) { y[group] = total; }`,
});

/**
 * @param x (K, V, P, Q)
 * @param pairs (n, 2) u32, each below K
 * @param order (S, P) u32 permutations of the P rows
 * @param both whether the columns are permuted like the rows; Q = P then
 * @returns (n, V, S)
 * @throws UsageError when the shapes do not fit together
 */
export function pairProducts(x: Tensor, pairs: Tensor, order: Tensor, both = false): Tensor {
  const [, batch, rows, columns] = x.shape;
  if (x.shape.length !== 4 || order.dim(-1) !== rows || pairs.dim(-1) !== 2 || (both && columns !== rows))
    throw new UsageError(
      `pairProducts: ${showShape(x.shape)} with pairs ${showShape(pairs.shape)} and orders ${showShape(order.shape)}`,
    );
  const orders = order.rows;
  const y = result([pairs.rows, batch, orders], "pair products");
  recording().flops += 2 * y.size * rows * columns;
  inner({
    constants: { BOTH: both },
    params: { size: y.size, batch, rows, columns, orders },
    read: { x, pairs, order },
    write: { y },
    workgroup: invocations(recording().gpu),
    workgroups: y.size,
  });
  return y;
}
