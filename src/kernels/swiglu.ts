/**
 * y[m, f] = u[m, f] · gelu(u[m, F + f])
 *
 * The product of a gated feed-forward: the first half of a row is the value, the second the gate. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { GELU } from "./math.ts";

const gated = kernel({
  name: "swiglu",
  params: { size: "u32", half: "u32" },
  read: { u: "f32" },
  write: { y: "f32" },
  over: "size",
  functions: GELU,
  main: /* wgsl */ `
  let at = index + index / p.half * p.half;
  y[index] = u[at] * gelu(u[at + p.half]);`,
});

/** (…, 2F) → (…, F). @throws UsageError when the last axis is odd */
export function swiglu(u: Tensor): Tensor {
  const half = u.dim(-1) / 2;
  if (!Number.isInteger(half)) throw new UsageError(`swiglu: the last axis of ${showShape(u.shape)} is odd`);
  const y = result([...u.shape.slice(0, -1), half], "swiglu");
  gated({ params: { size: y.size, half }, read: { u }, write: { y } });
  return y;
}
