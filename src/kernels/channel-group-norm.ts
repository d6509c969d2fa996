/**
 * y[b, n, c] = act((x[b, n, c] − mean_bg) / √(var_bg + ε) · weight[c] + bias[c]) · scale[b, c] + shift[b, c] + residual[b, n, c]
 *
 * Group normalisation with G groups of consecutive channels: mean and biased variance over all N positions of the C / G channels of
 * group g = ⌊c·G / C⌋. Layout: x (B, N, C), channels last. Scale and shift are columns of a table with a row a batch item (FiLM: the
 * condition says them); either may be left out, and so may the residual.
 *
 * One workgroup a group. A plan of actions has 4096 elements a group, a picture of 42 × 42 pixels 28,224; for rows of millions, of one
 * group, there is group-norm.ts. The rule of tangents stands in channel-group-norm-tangent.ts. On a CPU adapter barriers are dear, and an invocation takes a group alone.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { normalizeBoth } from "./channel-group-norm-tangent.ts";
import { add } from "./elementwise.ts";
import { dual } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";
import { sumOfWorkgroup } from "./workgroup.ts";

const normalize = kernel({
  name: "channelGroupNorm",
  params: {
    ...{ rows: "u32", groups: "u32", positions: "u32", channels: "u32", width: "u32" },
    ...{ tableWidth: "u32", scaleAt: "u32", shiftAt: "u32", epsilon: "f32" },
  },
  constants: { SCALED: "bool", SHIFTED: "bool" },
  read: { x: "f32", weight: "f32", bias: "f32", "table?": "f32", "residual?": "f32" },
  write: { y: "f32" },
  functions: ({ activation }: { readonly activation: Activation }) => /* wgsl */ `
${ACTIVATIONS[activation]}
${BOUNDS}
${sumOfWorkgroup("vec2f")}

// Where element k of a group lies whose first one is at \`first\`.
fn at(first: u32, k: u32) -> u32 { return first + k / p.width * p.channels + k % p.width; }

// Sums of d = x − center and d² over the group; runs of 64 are added up first, for accuracy.
fn sums(first: u32, lane: u32, center: f32) -> vec2f {
  let count = p.positions * p.width;
  var sum = vec2f();
  for (var k0 = lane; k0 < count; k0 += WORKGROUP * 64u) {
    var run = vec2f();
    for (var k = k0; k < min(count, k0 + WORKGROUP * 64u); k += WORKGROUP) {
      let d = x[at(first, k)] - center;
      run += vec2f(d, d * d);
    }
    sum += run;
  }
  return sumOfWorkgroup(lane, sum);
}`,
  main: /* wgsl */ `
  let asked = group;
  // A workgroup beyond the end repeats the last group, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  let item = row / p.groups;
  let channel = row % p.groups * p.width;
  let first = item * p.positions * p.channels + channel;
  let count = p.positions * p.width;
  // Distances from the first element, then what rounding left of the mean, as in norm.ts.
  let near = x[first];
  let mean = near + sums(first, lane, near).x / f32(count);
  let moments = sums(first, lane, mean) / f32(count);
  let factor = inverseSqrt(atLeast(moments.y - moments.x * moments.x, 0.0) + p.epsilon);
  if (asked >= p.rows) { return; }
  for (var k = lane; k < count; k += WORKGROUP) {
    let i = at(first, k);
    let c = channel + k % p.width;
    var value = activate(((x[i] - mean) - moments.x) * factor * weight[c] + bias[c]);
    if (SCALED) { value *= table[item * p.tableWidth + p.scaleAt + c]; }
    if (SHIFTED) { value += table[item * p.tableWidth + p.shiftAt + c]; }
    if (HAS_RESIDUAL) { value += residual[i]; }
    y[i] = value;
  }`,
});

/** Which columns of a table (B, width) scale and shift the channels. */
export interface Film {
  readonly table: Tensor;
  /** first of C columns; absent: not scaled */
  readonly scale?: number;
  readonly shift: number;
}

export interface ChannelGroupNormOptions {
  readonly groups: number;
  /** (C) */
  readonly weight: Tensor;
  /** (C) */
  readonly bias: Tensor;
  readonly epsilon: number;
  /** before scale and shift; default identity */
  readonly activation?: Activation;
  readonly film?: Film;
  /** same shape as x; added last */
  readonly residual?: Tensor;
}

/** x (B, N, C), normalised by groups of channels. @throws UsageError when groups, gains, table or residual do not fit */
export function channelGroupNorm(x: Tensor, options: ChannelGroupNormOptions): Tensor {
  const { groups, weight, bias, epsilon, activation = "identity", film, residual } = options;
  const [batch, positions, channels] = x.shape;
  if (x.shape.length !== 3 || channels % groups !== 0 || weight.size !== channels || bias.size !== channels)
    throw new UsageError(
      `channelGroupNorm: ${groups} groups, ${weight.size} gains and ${bias.size} biases do not fit ${showShape(x.shape)}`,
    );
  const tableWidth = film?.table.dim(-1) ?? 0;
  const reach = film ? Math.max(film.scale ?? 0, film.shift) + channels : 0;
  if (film && (film.table.rows !== batch || reach > tableWidth))
    throw new UsageError(
      `channelGroupNorm: columns up to ${reach} of a table ${showShape(film.table.shape)} for ${batch} items of ${channels} channels`,
    );
  if (residual && residual.size !== x.size)
    throw new UsageError(
      `channelGroupNorm: residual is ${showShape(residual.shape)}, expected ${showShape(x.shape)}`,
    );
  const rows = batch * groups;
  const call = {
    form: { activation },
    constants: { SCALED: film?.scale !== undefined, SHIFTED: film !== undefined },
    params: {
      ...{ rows, groups, positions, channels, width: channels / groups },
      ...{ tableWidth, scaleAt: film?.scale ?? 0, shiftAt: film?.shift ?? 0, epsilon },
    },
    workgroup: recording().gpu.adapter.software ? 1 : 128,
    workgroups: rows,
  };
  return dual(
    [x, film?.table, residual],
    () => {
      const y = result(x.shape, "channelGroupNorm");
      normalize({ ...call, read: { x, weight, bias, table: film?.table, residual }, write: { y } });
      return y;
    },
    ([dx, dTable, dResidual]) => {
      const [y, dy] = [result(x.shape, "channelGroupNorm"), result(x.shape, "tangent of channelGroupNorm")];
      normalizeBoth({ ...call, read: { x, dx, weight, bias, table: film?.table, dTable }, write: { y, dy } });
      const sum = (a: Tensor, b?: Tensor): Tensor => (b ? add(a, b) : a);
      return { y: sum(y, residual), dy: sum(dy, dResidual) };
    },
  );
}
