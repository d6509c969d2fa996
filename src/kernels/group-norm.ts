/**
 * y[r, i] = act((x[r, i] − mean_r) / √(var_r + ε) · weight[i mod C] + bias[i mod C])      biased variance
 *
 * Group normalisation with one group over few, very long rows: a channels-last frame (H·W·C) is a row. norm.ts gives a row to one
 * workgroup, which leaves a GPU idle when five rows have five million elements each. Here a row is cut into parts:
 *
 *   1. every part's mean, in two floats, and sum of squared deviations from it, one invocation a part; parts interleave, so that neighbouring
 *      invocations read neighbouring elements; runs of 64 are added up first;
 *   2. the row's mean = Σ n·mean_part / D and var = (Σ M2_part + Σ n·(mean_part − mean)²) / D, one workgroup a row;
 *   3. the map, one invocation an element, with the activation.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";
import { invocations } from "./variants.ts";
import { sumOfWorkgroup } from "./workgroup.ts";

/** How many of `length` elements fall to part `part` of `parts`. */
const PARTS = /* wgsl */ `
fn countOf(part: u32, parts: u32, length: u32) -> u32 { return (length - part + parts - 1u) / parts; }
`;

const momentsOf = kernel({
  name: "groupNorm moments",
  params: { count: "u32", dim: "u32", parts: "u32" },
  read: { x: "f32" },
  write: { moments: "vec4f" },
  over: "count",
  workgroup: invocations,
  functions: PARTS + BOUNDS,
  main: /* wgsl */ `
  let part = index % p.parts;
  let first = index / p.parts * p.dim + part;
  let count = countOf(part, p.parts, p.dim);
  // Distances from the first element, then what rounding left of the mean, as in norm.ts.
  var sum = 0.0;
  for (var k0 = 0u; k0 < count; k0 += 64u) {
    var run = 0.0;
    for (var k = k0; k < min(count, k0 + 64u); k++) { run += x[first + k * p.parts] - x[first]; }
    sum += run;
  }
  let mean = x[first] + sum / f32(count);
  var sums = vec2f();
  for (var k0 = 0u; k0 < count; k0 += 64u) {
    var run = vec2f();
    for (var k = k0; k < min(count, k0 + 64u); k++) { let d = x[first + k * p.parts] - mean; run += vec2f(d, d * d); }
    sums += run;
  }
  let rest = sums.x / f32(count);
  moments[index] = vec4f(mean, rest, atLeast(sums.y - rest * sums.x, 0.0), 0.0);`,
});

const merge = kernel({
  name: "groupNorm merge",
  params: { rows: "u32", dim: "u32", parts: "u32", epsilon: "f32" },
  read: { moments: "vec4f" },
  write: { statistics: "vec4f" },
  functions: /* wgsl */ `
${sumOfWorkgroup("f32")}
${PARTS}`,
  main: /* wgsl */ `
  let asked = group;
  // A workgroup beyond the end repeats the last row, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  // Means are compared by their distance from the first part's.
  let near = moments[row * p.parts].x;
  var sum = 0.0;
  for (var i = lane; i < p.parts; i += WORKGROUP) {
    let part = moments[row * p.parts + i];
    sum += f32(countOf(i, p.parts, p.dim)) * ((part.x - near) + part.y);
  }
  let rest = sumOfWorkgroup(lane, sum) / f32(p.dim);
  var squares = 0.0;
  for (var i = lane; i < p.parts; i += WORKGROUP) {
    let part = moments[row * p.parts + i];
    let d = ((part.x - near) + part.y) - rest;
    squares += part.z + f32(countOf(i, p.parts, p.dim)) * d * d;
  }
  let variance = sumOfWorkgroup(lane, squares) / f32(p.dim);
  if (lane == 0u && asked < p.rows) { statistics[row] = vec4f(near, rest, inverseSqrt(variance + p.epsilon), 0.0); }`,
});

const apply = kernel({
  name: "groupNorm",
  params: { size: "u32", dim: "u32", channels: "u32" },
  read: { x: "f32", statistics: "vec4f", weight: "f32", bias: "f32" },
  write: { y: "f32" },
  over: "size",
  functions: ({ activation }: { readonly activation: Activation }) => ACTIVATIONS[activation],
  main: /* wgsl */ `
  let s = statistics[index / p.dim];
  let c = index % p.dim % p.channels;
  y[index] = activate(((x[index] - s.x) - s.y) * s.z * weight[c] + bias[c]);`,
});

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
  const parts = Math.max(1, Math.min(8192, Math.floor(dim / ELEMENTS_PER_PART)));
  const moments = result([rows, parts, 4], "moments");
  const statistics = result([rows, 4], "statistics");
  const y = result(x.shape, "groupNorm");
  momentsOf({ params: { count: rows * parts, dim, parts }, read: { x }, write: { moments } });
  merge({
    params: { rows, dim, parts, epsilon },
    read: { moments },
    write: { statistics },
    // Barriers are dear on a CPU.
    workgroup: recording().gpu.adapter.software ? 1 : 64,
    workgroups: rows,
  });
  apply({
    form: { activation },
    params: { size: x.size, dim, channels: weight.size },
    read: { x, statistics, weight, bias },
    write: { y },
  });
  return y;
}
