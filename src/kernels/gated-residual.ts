/**
 * y[n, i] = x[n, i] + M[rowOf[n], gateAt + i] · branch[n, i]
 *
 * The residual step of a modulated block; M is the modulation table of the distinct times. One invocation four channels, where
 * rows can be counted in fours, else one.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { Modulation } from "./norm.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

/** Sizes and places are counted in elements. */
const WGSL = (element: "f32" | "vec4f"): string => /* wgsl */ `
struct Params { size: u32, dim: u32, tableWidth: u32, gateAt: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<${element}>;
@group(0) @binding(2) var<storage, read> branch: array<${element}>;
@group(0) @binding(3) var<storage, read> table: array<${element}>;
@group(0) @binding(4) var<storage, read> rowOf: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<${element}>;
override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let row = i / p.dim;
  let gate = table[rowOf[row] * p.tableWidth + p.gateAt + (i - row * p.dim)];
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
  const counts = [x.size, x.dim(-1), table.dim(-1), gateAt];
  const per = counts.every((n) => n % 4 === 0) ? 4 : 1;
  list.dispatch({
    kernel: {
      name: "gatedResidual",
      key: `by ${per}`,
      wgsl: () => WGSL(per === 4 ? "vec4f" : "f32"),
      inputs: 4,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: counts.map((n) => n / per) },
    inputs: [x.storage, branch.storage, table.storage, rowOf.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(x.size / per / LIGHT_INVOCATIONS),
  });
  return y;
}
