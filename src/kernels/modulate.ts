/**
 * y[b, n, c] = x[b, n, c] · (1 + M[b, scaleAt + c]) + M[b, shiftAt + c]
 *
 * What a condition says of an item's channels, at every position of it. Layout: x (B, N, C), channels last; M a table with a row a batch
 * item. The scale may be left out. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Film } from "./channel-group-norm.ts";
import { dual } from "./jvp.ts";
import { kernel } from "./kernel.ts";

const PARAMS = {
  size: "u32",
  item: "u32",
  channels: "u32",
  tableWidth: "u32",
  scaleAt: "u32",
  shiftAt: "u32",
} as const;

const told = kernel({
  name: "modulate",
  params: PARAMS,
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

/** ẏ = ẋ · (1 + scale) + x · scale˙ + shift˙, in the same pass. */
const toldBoth = kernel({
  name: "modulate and tangent",
  params: PARAMS,
  constants: { SCALED: "bool" },
  read: { x: "f32", table: "f32", "dx?": "f32", "dTable?": "f32" },
  write: { y: "f32", dy: "f32" },
  over: "size",
  main: /* wgsl */ `
  let row = index / p.item * p.tableWidth;
  let c = index % p.channels;
  var value = x[index];
  var moved = 0.0;
  if (HAS_DX) { moved = dx[index]; }
  if (SCALED) {
    let scale = 1.0 + table[row + p.scaleAt + c];
    moved *= scale;
    if (HAS_D_TABLE) { moved += value * dTable[row + p.scaleAt + c]; }
    value *= scale;
  }
  if (HAS_D_TABLE) { moved += dTable[row + p.shiftAt + c]; }
  y[index] = value + table[row + p.shiftAt + c];
  dy[index] = moved;`,
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
  const call = {
    constants: { SCALED: scale !== undefined },
    params: {
      ...{ size: x.size, item: positions * channels, channels },
      ...{ tableWidth: table.dim(-1), scaleAt: scale ?? 0, shiftAt: shift },
    },
  };
  return dual(
    [x, table],
    () => {
      const y = result(x.shape, "modulate");
      told({ ...call, read: { x, table }, write: { y } });
      return y;
    },
    ([dx, dTable]) => {
      const [y, dy] = [result(x.shape, "modulate"), result(x.shape, "tangent of modulate")];
      toldBoth({ ...call, read: { x, table, dx, dTable }, write: { y, dy } });
      return { y, dy };
    },
  );
}
