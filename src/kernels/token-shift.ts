/**
 * y[b, j, d] = x[b, j − 1, d]   for d ≥ ⌈D/2⌉ and j > first; 0 for j = first
 * y[b, j, d] = x[b, j, d]       elsewhere: in the first half of the channels, and in the tokens before `first`
 *
 * Half of every token's channels comes from the token before it. One invocation an element.
 */
import { recording } from "../gpu/recording.ts";
import { result, type Tensor } from "../tensor/tensor.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

const WGSL = /* wgsl */ `
struct Params { size: u32, tokens: u32, dim: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let row = i / p.dim;
  let d = i - row * p.dim;
  let token = row % p.tokens;
  let shifted = d >= (p.dim + 1u) / 2u && token >= p.first;
  let first = token == p.first;
  y[i] = select(x[i - select(0u, p.dim, shifted && !first)], 0.0, shifted && first);
}
`;

/** x (B, N, D) with the second half of the channels moved one token on, from token `first`. */
export function tokenShift(x: Tensor, first: number): Tensor {
  const list = recording();
  const y = result(x.shape, "token shift");
  list.dispatch({
    kernel: {
      name: "token shift",
      key: "",
      wgsl: () => WGSL,
      inputs: 1,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: [x.size, x.dim(-2), x.dim(-1), first] },
    inputs: [x.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(x.size / LIGHT_INVOCATIONS),
  });
  return y;
}
