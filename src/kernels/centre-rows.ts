/**
 * x[b, p, c] ← x[b, p, c] − (1/P) Σ_p x[b, p, c]
 *
 * In place, one invocation a column. Distances from the first row are added up, in runs of 64, so that a column far from zero loses no digits.
 */
import { UsageError } from "../errors.ts";
import { showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { invocations } from "./variants.ts";

const centre = kernel({
  name: "centre rows",
  params: { size: "u32", rows: "u32", dim: "u32" },
  read: {},
  write: { x: "f32" },
  over: "size",
  workgroup: invocations,
  main: /* wgsl */ `
  let first = index / p.dim * p.rows * p.dim + index % p.dim;
  let near = x[first];
  var sum = 0.0;
  for (var r0 = 0u; r0 < p.rows; r0 += 64u) {
    var run = 0.0;
    for (var r = r0; r < min(p.rows, r0 + 64u); r++) { run += x[first + r * p.dim] - near; }
    sum += run;
  }
  let rest = sum / f32(p.rows);
  for (var r = 0u; r < p.rows; r++) { x[first + r * p.dim] = (x[first + r * p.dim] - near) - rest; }`,
});

/** x (B, P, C), changed in place: every column's mean over the rows becomes 0. @throws UsageError for another number of axes */
export function centreRows(x: Tensor): void {
  if (x.shape.length !== 3)
    throw new UsageError(`centreRows: ${showShape(x.shape)} is not (batch, rows, columns)`);
  const [batch, rows, dim] = x.shape;
  centre({ params: { size: batch * dim, rows, dim }, read: {}, write: { x } });
}
