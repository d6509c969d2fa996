/**
 * y[b, d] = (1/S) Σ_s x[b, s, d]
 *
 * One invocation an output; runs of 64 are added up first, for accuracy.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { invocations } from "./variants.ts";

const WGSL = /* wgsl */ `
struct Params { size: u32, tokens: u32, dim: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  var sum = 0.0;
  for (var first = 0u; first < p.tokens; first += 64u) {
    var part = 0.0;
    for (var s = first; s < min(p.tokens, first + 64u); s++) { part += x[(i / p.dim * p.tokens + s) * p.dim + i % p.dim]; }
    sum += part;
  }
  y[i] = sum / f32(p.tokens);
}
`;

/** (B, S, D) → (B, D). @throws UsageError for another number of axes */
export function meanTokens(x: Tensor): Tensor {
  if (x.shape.length !== 3)
    throw new UsageError(`meanTokens: ${showShape(x.shape)} is not (batch, tokens, width)`);
  const [batch, tokens, dim] = x.shape;
  const list = recording();
  const y = result([batch, dim], "mean");
  const workgroup = invocations(list.gpu);
  list.dispatch({
    kernel: {
      name: "mean tokens",
      key: "",
      wgsl: () => WGSL,
      inputs: 1,
      outputs: 1,
      constants: { WORKGROUP: workgroup },
    },
    params: { u32: [y.size, tokens, dim] },
    inputs: [x.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(y.size / workgroup),
  });
  return y;
}
