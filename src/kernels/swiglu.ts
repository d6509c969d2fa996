/**
 * y[m, f] = u[m, f] · gelu(u[m, F + f])
 *
 * The product of a gated feed-forward: the first half of a row is the value, the second the gate. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { dual } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { EXP, GELU, GELU_SLOPE } from "./math.ts";

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

/** ẏ = u̇₁ ⊙ gelu(u₂) + u₁ ⊙ gelu′(u₂) ⊙ u̇₂ of the halves, in the same pass. */
const gatedBoth = kernel({
  name: "swiglu and tangent",
  params: { size: "u32", half: "u32" },
  read: { u: "f32", du: "f32" },
  write: { y: "f32", dy: "f32" },
  over: "size",
  functions: EXP + GELU + GELU_SLOPE,
  main: /* wgsl */ `
  let at = index + index / p.half * p.half;
  let open = gelu(u[at + p.half]);
  y[index] = u[at] * open;
  dy[index] = du[at] * open + u[at] * geluSlope(u[at + p.half]) * du[at + p.half];`,
});

/** (…, 2F) → (…, F). @throws UsageError when the last axis is odd */
export function swiglu(u: Tensor): Tensor {
  const half = u.dim(-1) / 2;
  if (!Number.isInteger(half)) throw new UsageError(`swiglu: the last axis of ${showShape(u.shape)} is odd`);
  const place = (name: string): Tensor => result([...u.shape.slice(0, -1), half], name);
  const params = { size: u.size / 2, half };
  return dual(
    [u],
    () => {
      const y = place("swiglu");
      gated({ params, read: { u }, write: { y } });
      return y;
    },
    ([du]) => {
      const [y, dy] = [place("swiglu"), place("tangent of swiglu")];
      gatedBoth({ params, read: { u, du: du! }, write: { y, dy } });
      return { y, dy };
    },
  );
}
