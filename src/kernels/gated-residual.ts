/**
 * y[n, i] = x[n, i] + M[rowOf[n], gateAt + i] · branch[n, i]
 *
 * The residual step of a modulated block; M is the modulation table of the distinct times. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Modulation } from "./norm.ts";
import { invocations } from "./variants.ts";

const WGSL = /* wgsl */ `
struct Params { size: u32, dim: u32, tableWidth: u32, gateAt: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> branch: array<f32>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> rowOf: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let gate = table[rowOf[i / p.dim] * p.tableWidth + p.gateAt + i % p.dim];
  y[i] = x[i] + gate * branch[i];
}
`;

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
  const list = recording();
  const y = result(x.shape, "gatedResidual");
  const workgroup = invocations(list.gpu);
  list.dispatch({
    kernel: {
      name: "gatedResidual",
      key: "",
      wgsl: () => WGSL,
      inputs: 4,
      outputs: 1,
      constants: { WORKGROUP: workgroup },
    },
    params: { u32: [x.size, x.dim(-1), table.dim(-1), gateAt] },
    inputs: [x.storage, branch.storage, table.storage, rowOf.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(x.size / workgroup),
  });
  return y;
}
