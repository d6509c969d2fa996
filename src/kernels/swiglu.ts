/**
 * y[m, f] = u[m, f] · gelu(u[m, F + f])
 *
 * The product of a gated feed-forward: the first half of a row is the value, the second the gate. One invocation an element.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { GELU } from "./math.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

const WGSL = /* wgsl */ `
struct Params { size: u32, half: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
${GELU}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let at = i + i / p.half * p.half;
  y[i] = u[at] * gelu(u[at + p.half]);
}
`;

/** (…, 2F) → (…, F). @throws UsageError when the last axis is odd */
export function swiglu(u: Tensor): Tensor {
  const half = u.dim(-1) / 2;
  if (!Number.isInteger(half)) throw new UsageError(`swiglu: the last axis of ${showShape(u.shape)} is odd`);
  const list = recording();
  const y = result([...u.shape.slice(0, -1), half], "swiglu");
  list.dispatch({
    kernel: {
      name: "swiglu",
      key: "",
      wgsl: () => WGSL,
      inputs: 1,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: [y.size, half] },
    inputs: [u.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(y.size / LIGHT_INVOCATIONS),
  });
  return y;
}
