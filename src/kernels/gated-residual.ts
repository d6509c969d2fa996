/**
 * y[n, i] = x[n, i] + M[rowOf[n], gateAt + i] · branch[n, i]
 *
 * The residual step of a modulated block; M is the modulation table of the distinct times. One invocation four channels, where
 * rows can be counted in fours, else one.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { type Dots, withTangent, writeWithTangent } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import type { Modulation } from "./norm.ts";
import { asColumn, inRows } from "./rows.ts";

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

/** ẏ = ẋ + gate˙ ⊙ branch + gate ⊙ branch˙ */
const tangentOfGated = kernel({
  name: "gatedResidual, tangent",
  params: { size: "u32", dim: "u32", tableWidth: "u32", gateAt: "u32" },
  read: ({ element }: { readonly element: "f32" | "vec4f" }) => ({
    ...{ branch: element, table: element, "dx?": element, "dBranch?": element, "dTable?": element },
    rowOf: "u32",
  }),
  write: ({ element }) => ({ dy: element }),
  over: "size",
  main: ({ element }) => /* wgsl */ `
  let row = index / p.dim;
  let at = rowOf[row] * p.tableWidth + p.gateAt + (index - row * p.dim);
  var moved = ${element}();
  if (HAS_DX) { moved = dx[index]; }
  if (HAS_D_BRANCH) { moved += table[at] * dBranch[index]; }
  if (HAS_D_TABLE) { moved += dTable[at] * branch[index]; }
  dy[index] = moved;`,
});

/**
 * x + gate ⊙ branch, with the gate's column offset in the modulation table; written to `into` where that is given, of as many elements as x.
 * @throws UsageError on unequal shapes
 */
export function gatedResidual(
  x: Tensor,
  branch: Tensor,
  { table, rowOf }: Modulation,
  gateAt: number,
  into?: Tensor,
): Tensor {
  if (x.size !== branch.size || rowOf.size !== x.rows || (into && into.size !== x.size)) {
    throw new UsageError(
      `gatedResidual: ${showShape(x.shape)}, ${showShape(branch.shape)}, ${rowOf.size} row numbers`,
    );
  }
  const counts = [x.dim(-1), table.dim(-1), gateAt];
  const per = counts.every((n) => n % 4 === 0) ? 4 : 1;
  const [dim, tableWidth, at] = counts.map((n) => n / per);
  const [rows, added] = [asColumn(rowOf), branch.reshape(...x.shape)];
  const form = { element: per === 4 ? "vec4f" : "f32" } as const;
  const value = (y: Tensor): void => {
    inRows(x.rows, { tensors: [x, added, y, rows] }, (part) => {
      const some = part(x);
      addGated({
        form,
        params: { size: some.size / per, dim, tableWidth, gateAt: at },
        read: { x: some, branch: part(added), table, rowOf: part(rows) },
        write: { y: part(y) },
      });
    });
  };
  const operands = [x, branch, table] as const;
  const tangent = ([dx, dBranch, dTable]: Dots<typeof operands>, dy: Tensor): void => {
    const moved = dBranch?.reshape(...x.shape);
    inRows(x.rows, { tensors: [added, dx, moved, dy, rows] }, (part) => {
      tangentOfGated({
        form,
        params: { size: part(dy).size / per, dim, tableWidth, gateAt: at },
        read: { branch: part(added), table, dx: part(dx), dBranch: part(moved), dTable, rowOf: part(rows) },
        write: { dy: part(dy) },
      });
    });
  };
  if (into) {
    writeWithTangent(operands, into, () => value(into), tangent);
    return into;
  }
  const made = (write: (y: Tensor) => void): Tensor => {
    const y = result(x.shape, "gatedResidual");
    write(y);
    return y;
  };
  return withTangent(
    operands,
    () => made(value),
    (dots) => made((dy) => tangent(dots, dy)),
  );
}
