/**
 * y[n, i] = x[n, i] + M[rowOf[n], gateAt + i] · branch[n, i]
 *
 * The residual step of a modulated block; M is the modulation table of the distinct times. One invocation four channels, where
 * rows can be counted in fours, else one.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import type { Modulation } from "./norm.ts";

/** Sizes and places are counted in elements. */
const addGated = kernel({
  name: "gatedResidual",
  params: { size: "u32", dim: "u32", tableWidth: "u32", gateAt: "u32" },
  read: ({ element }: { readonly element: "f32" | "vec4f" }) => ({
    ...{ x: element, branch: element, table: element },
    rowOf: "u32",
  }),
  write: ({ element }) => ({ y: element }),
  over: "size",
  main: /* wgsl */ `
  let row = index / p.dim;
  let gate = table[rowOf[row] * p.tableWidth + p.gateAt + (index - row * p.dim)];
  y[index] = x[index] + gate * branch[index];`,
});

/** x + gate ⊙ branch, with the gate's column offset in the modulation table. @throws UsageError on unequal shapes */
export function gatedResidual(
  x: Tensor,
  branch: Tensor,
  { table, rowOf }: Modulation,
  gateAt: number,
): Tensor {
  if (x.size !== branch.size || rowOf.size !== x.rows) {
    throw new UsageError(
      `gatedResidual: ${showShape(x.shape)}, ${showShape(branch.shape)}, ${rowOf.size} row numbers`,
    );
  }
  const y = result(x.shape, "gatedResidual");
  const counts = [x.size, x.dim(-1), table.dim(-1), gateAt];
  const per = counts.every((n) => n % 4 === 0) ? 4 : 1;
  const [size, dim, tableWidth, at] = counts.map((n) => n / per);
  addGated({
    form: { element: per === 4 ? "vec4f" : "f32" },
    params: { size, dim, tableWidth, gateAt: at },
    read: { x, branch, table, rowOf },
    write: { y },
  });
  return y;
}
