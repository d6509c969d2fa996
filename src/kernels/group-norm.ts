/**
 * y[r, i] = act((x[r, i] − mean_r) / √(var_r + ε) · weight[i mod C] + bias[i mod C])      biased variance
 *
 * Group normalisation with one group over few, very long rows: a channels-last frame (H·W·C) is a row. norm.ts gives a row to one
 * workgroup, which leaves a GPU idle when five rows have five million elements each. Here a row is cut into parts:
 *
 *   1. every part's mean and sum of squared deviations from it, one invocation a part; parts interleave, so that neighbouring
 *      invocations read neighbouring elements; runs of 64 are added up first;
 *   2. the row's mean = Σ n·mean_part / D and var = (Σ M2_part + Σ n·(mean_part − mean)²) / D, one workgroup a row;
 *   3. the map, one invocation an element, with the activation.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { invocations, LIGHT_INVOCATIONS } from "./variants.ts";

/** How many of `length` elements fall to part `part` of `parts`. */
const PARTS = /* wgsl */ `
fn countOf(part: u32, parts: u32, length: u32) -> u32 { return (length - part + parts - 1u) / parts; }
`;

const MOMENTS = /* wgsl */ `
struct Params { rows: u32, dim: u32, parts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> moments: array<vec2f>;
override WORKGROUP: u32;
${PARTS}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (index >= p.rows * p.parts) { return; }
  let part = index % p.parts;
  let first = index / p.parts * p.dim + part;
  let count = countOf(part, p.parts, p.dim);
  var sum = 0.0;
  for (var k0 = 0u; k0 < count; k0 += 64u) {
    var run = 0.0;
    for (var k = k0; k < min(count, k0 + 64u); k++) { run += x[first + k * p.parts]; }
    sum += run;
  }
  let mean = sum / f32(count);
  var squares = 0.0;
  for (var k0 = 0u; k0 < count; k0 += 64u) {
    var run = 0.0;
    for (var k = k0; k < min(count, k0 + 64u); k++) { let d = x[first + k * p.parts] - mean; run += d * d; }
    squares += run;
  }
  moments[index] = vec2f(mean, squares);
}
`;

const MERGE = /* wgsl */ `
struct Params { rows: u32, dim: u32, parts: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> moments: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec2f>;
override LANES: u32;
var<workgroup> partial: array<f32, LANES>;
${PARTS}
fn added(lane: u32, value: f32) -> f32 {
  if (LANES == 1u) { return value; }
  workgroupBarrier();
  partial[lane] = value;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let asked = wg.x + wg.y * grid.x;
  // A workgroup beyond the end repeats the last row, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  var sum = 0.0;
  for (var i = lane; i < p.parts; i += LANES) { sum += f32(countOf(i, p.parts, p.dim)) * moments[row * p.parts + i].x; }
  let mean = added(lane, sum) / f32(p.dim);
  var squares = 0.0;
  for (var i = lane; i < p.parts; i += LANES) {
    let part = moments[row * p.parts + i];
    let d = part.x - mean;
    squares += part.y + f32(countOf(i, p.parts, p.dim)) * d * d;
  }
  let variance = added(lane, squares) / f32(p.dim);
  if (lane == 0u && asked < p.rows) { statistics[row] = vec2f(mean, inverseSqrt(variance + p.epsilon)); }
}
`;

const APPLY = (activation: Activation): string => /* wgsl */ `
struct Params { size: u32, dim: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
${ACTIVATIONS[activation]}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  let s = statistics[i / p.dim];
  let c = i % p.dim % p.channels;
  y[i] = activate((x[i] - s.x) * s.y * weight[c] + bias[c]);
}
`;

export interface GroupNormOptions {
  /** (C); the row's length is a multiple of C */
  readonly weight: Tensor;
  /** (C) */
  readonly bias: Tensor;
  readonly epsilon: number;
  /** applied to the result; default identity */
  readonly activation?: Activation;
}

// Elements an invocation adds up: enough to pay for its start, few enough that a frame keeps a GPU busy.
const ELEMENTS_PER_PART = 512;

/** x (R, D) normalised over D. @throws UsageError when x has not two axes or the gains do not divide D */
export function groupNorm(x: Tensor, options: GroupNormOptions): Tensor {
  const { weight, bias, epsilon, activation = "identity" } = options;
  const [rows, dim] = x.shape;
  if (x.shape.length !== 2 || dim % weight.size !== 0 || bias.size !== weight.size) {
    throw new UsageError(
      `groupNorm: ${weight.size} gains and ${bias.size} biases do not fit rows of ${showShape(x.shape)}`,
    );
  }
  const list = recording();
  const { software } = list.gpu.adapter;
  const workgroup = invocations(list.gpu);
  const parts = Math.max(1, Math.min(8192, Math.floor(dim / ELEMENTS_PER_PART)));
  const moments = result([rows, parts, 2], "moments");
  const statistics = result([rows, 2], "statistics");
  const y = result(x.shape, "groupNorm");
  list.dispatch({
    kernel: {
      ...{ name: "groupNorm moments", key: "", wgsl: () => MOMENTS },
      ...{ inputs: 1, outputs: 1, constants: { WORKGROUP: workgroup } },
    },
    params: { u32: [rows, dim, parts] },
    inputs: [x.storage],
    outputs: [moments.storage],
    workgroups: Math.ceil((rows * parts) / workgroup),
  });
  list.dispatch({
    kernel: {
      ...{ name: "groupNorm merge", key: "", wgsl: () => MERGE },
      // Barriers are dear on a CPU.
      ...{ inputs: 1, outputs: 1, constants: { LANES: software ? 1 : 64 } },
    },
    params: { u32: [rows, dim, parts], f32: [epsilon] },
    inputs: [moments.storage],
    outputs: [statistics.storage],
    workgroups: rows,
  });
  list.dispatch({
    kernel: {
      ...{ name: "groupNorm", key: activation, wgsl: () => APPLY(activation) },
      ...{ inputs: 4, outputs: 1, constants: { WORKGROUP: LIGHT_INVOCATIONS } },
    },
    params: { u32: [x.size, dim, weight.size] },
    inputs: [x.storage, statistics.storage, weight.storage, bias.storage],
    outputs: [y.storage],
    workgroups: Math.ceil(x.size / LIGHT_INVOCATIONS),
  });
  return y;
}
