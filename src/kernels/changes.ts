/**
 * y[k, v] = (Σ_i (x[k, v, i] − x[k−1, v, i])², Σ_i x[k, v, i]²)              nothing stands before the first: its difference counts as 0
 *
 * What changes along a stack, and what it is to be compared with. One workgroup an output, as in pair-products.ts.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { sumOfWorkgroup } from "./workgroup.ts";
import { invocations } from "./variants.ts";

const squares = kernel({
  name: "changes",
  params: { size: "u32", batch: "u32", length: "u32" },
  read: { x: "f32" },
  write: { y: "f32" },
  functions: sumOfWorkgroup("f32"),
  main: /* wgsl */ `
  let at = min(group, p.size - 1u);
  let here = at * p.length;
  // Of the first its own place, whose difference is 0.
  let before = select(here - p.batch * p.length, here, at < p.batch);
  var sums = vec2f();
  for (var t0 = lane; t0 < p.length; t0 += 64u * WORKGROUP) {
    var run = vec2f();
    for (var t = t0; t < min(p.length, t0 + 64u * WORKGROUP); t += WORKGROUP) {
      let value = x[here + t];
      let change = value - x[before + t];
      run += vec2f(change * change, value * value);
    }
    sums += run;
  }
  let change = sumOfWorkgroup(lane, sums.x);
  let own = sumOfWorkgroup(lane, sums.y);
  if (lane == 0u && group < p.size) { y[2u * group] = change; y[2u * group + 1u] = own; }`,
});

/** x (K, V, n) → (K, V, 2). @throws UsageError for another number of axes */
export function changes(x: Tensor): Tensor {
  if (x.shape.length !== 3)
    throw new UsageError(`changes: ${showShape(x.shape)} is not (steps, batch, length)`);
  const [steps, batch, length] = x.shape;
  const y = result([steps, batch, 2], "changes");
  squares({
    params: { size: steps * batch, batch, length },
    read: { x },
    write: { y },
    workgroup: invocations(recording().gpu),
    workgroups: steps * batch,
  });
  return y;
}
