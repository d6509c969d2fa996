/**
 * y[i, :] = table[ids[i], :]
 *
 * One invocation an element. Ids beyond the table are clamped to its last row: check them on the CPU, where the
 * message can name them.
 */
import { recording } from "../gpu/recording.ts";
import { result, type Tensor } from "../tensor/tensor.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

const WGSL = /* wgsl */ `
struct Params { size: u32, dim: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let row = i / p.dim;
  y[i] = table[min(ids[row], p.rows - 1u) * p.dim + (i - row * p.dim)];
}
`;

/** Rows of `table` (R, D) picked by `ids` (…) u32 → (…, D). */
export function gather(table: Tensor, ids: Tensor): Tensor {
  const list = recording();
  const dim = table.dim(-1);
  const y = result([...ids.shape, dim], "gather");
  list.dispatch({
    kernel: {
      name: "gather",
      key: "",
      wgsl: () => WGSL,
      inputs: 2,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: [y.size, dim, table.rows] },
    inputs: [table.storage, ids.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(y.size / LIGHT_INVOCATIONS),
  });
  return y;
}
