/**
 * y[b, n, c] = x[b, n, c] · (1 + M[b, scaleAt + c]) + M[b, shiftAt + c]
 *
 * What a condition says of an item's channels, at every position of it. Layout: x (B, N, C), channels last; M a table with a row a batch
 * item. The scale may be left out. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Film } from "./channel-group-norm.ts";
import { kernel } from "./kernel.ts";

const told = kernel({
  name: "modulate",
  params: {
    ...{ size: "u32", item: "u32", channels: "u32" },
    ...{ tableWidth: "u32", scaleAt: "u32", shiftAt: "u32" },
  },
  constants: { SCALED: "bool" },
  read: { x: "f32", table: "f32" },
  write: { y: "f32" },
  over: "size",
  main: /* wgsl */ `
  let row = index / p.item * p.tableWidth;
  let c = index % p.channels;
  var value = x[index];
  if (SCALED) { value *= 1.0 + table[row + p.scaleAt + c]; }
  y[index] = value + table[row + p.shiftAt + c];`,
});

/**
 * x (B, N, C) scaled by 1 + what the table says, and shifted.
 * @throws UsageError when x has other axes, or the table other rows or too few columns
 */
export function modulate(x: Tensor, { table, scale, shift }: Film): Tensor {
  const [batch, positions, channels] = x.shape;
  const reach = Math.max(scale ?? 0, shift) + channels;
  if (x.shape.length !== 3 || table.rows !== batch || reach > table.dim(-1))
    throw new UsageError(
      `modulate: columns up to ${reach} of a table ${showShape(table.shape)} for ${showShape(x.shape)}`,
    );
  const y = result(x.shape, "modulate");
  told({
    constants: { SCALED: scale !== undefined },
    params: {
      ...{ size: x.size, item: positions * channels, channels },
      ...{ tableWidth: table.dim(-1), scaleAt: scale ?? 0, shiftAt: shift },
    },
    read: { x, table },
    write: { y },
  });
  return y;
}
