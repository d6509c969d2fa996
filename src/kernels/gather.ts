/**
 * y[i, :] = table[ids[i], :]
 *
 * One invocation an element. Ids beyond the table are clamped to its last row: check them on the CPU, where the
 * message can name them.
 */
import { result, type Tensor } from "../tensor/tensor.ts";
import { likewise } from "./jvp.ts";
import { kernel } from "./kernel.ts";

const pick = kernel({
  name: "gather",
  params: { size: "u32", dim: "u32", rows: "u32" },
  read: { table: "f32", ids: "u32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  let row = index / p.dim;
  y[index] = table[min(ids[row], p.rows - 1u) * p.dim + (index - row * p.dim)];`,
});

/** Rows of `table` (R, D) picked by `ids` (…) u32 → (…, D). */
export const gather = (table: Tensor, ids: Tensor): Tensor =>
  likewise(table, (table) => {
    const dim = table.dim(-1);
    const y = result([...ids.shape, dim], "gather");
    pick({ params: { size: y.size, dim, rows: table.rows }, read: { table, ids }, write: { y } });
    return y;
  });
