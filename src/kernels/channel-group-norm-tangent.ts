/**
 * channel-group-norm.ts with its tangent, in one pass over both: with n = x̂ ⊙ weight + bias and s = (var + ε)^−½,
 *
 *   dx̂ = s·(ẋ − mean(ẋ) − x̂·mean(x̂ ⊙ ẋ))       means over the group; exact with ε, because s carries it
 *   y  = act(n) ⊙ scale + shift
 *   ẏ  = act′(n) ⊙ dx̂ ⊙ weight ⊙ scale + act(n) ⊙ scale˙ + shift˙
 *
 * Sums and workgroups as there. Weights are constants; x and the table may move. Eight buffers, so that a residual is added afterwards.
 */
import { ACTIVATIONS, type Activation, SLOPES } from "./activations.ts";
import { kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";
import { sumOfWorkgroup } from "./workgroup.ts";

export const normalizeBoth = kernel({
  name: "channelGroupNorm and tangent",
  params: {
    ...{ rows: "u32", groups: "u32", positions: "u32", channels: "u32", width: "u32" },
    ...{ tableWidth: "u32", scaleAt: "u32", shiftAt: "u32", epsilon: "f32" },
  },
  constants: { SCALED: "bool", SHIFTED: "bool" },
  read: { x: "f32", "dx?": "f32", weight: "f32", bias: "f32", "table?": "f32", "dTable?": "f32" },
  write: { y: "f32", dy: "f32" },
  functions: ({ activation }: { readonly activation: Activation }) => /* wgsl */ `
${ACTIVATIONS[activation]}
${SLOPES[activation]}
${BOUNDS}
${sumOfWorkgroup("vec4f")}

// Where element k of a group lies whose first one is at \`first\`.
fn at(first: u32, k: u32) -> u32 { return first + k / p.width * p.channels + k % p.width; }

// Sums of d, d², e and d·e over the group, d = x − center and e = ẋ − dCenter; runs of 64 are added up first, for accuracy.
fn sums(first: u32, lane: u32, center: f32, dCenter: f32) -> vec4f {
  let count = p.positions * p.width;
  var sum = vec4f();
  for (var k0 = lane; k0 < count; k0 += WORKGROUP * 64u) {
    var run = vec4f();
    for (var k = k0; k < min(count, k0 + WORKGROUP * 64u); k += WORKGROUP) {
      let i = at(first, k);
      let d = x[i] - center;
      var e = 0.0;
      if (HAS_DX) { e = dx[i] - dCenter; }
      run += vec4f(d, d * d, e, d * e);
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
  // Distances from the first element, then what rounding left of the means, as in norm.ts.
  let near = x[first];
  let means = sums(first, lane, near, 0.0) / f32(count);
  let mean = near + means.x;
  let moments = sums(first, lane, mean, means.z) / f32(count);
  let factor = inverseSqrt(atLeast(moments.y - moments.x * moments.x, 0.0) + p.epsilon);
  let along = (moments.w - moments.x * moments.z) * factor;
  if (asked >= p.rows) { return; }
  for (var k = lane; k < count; k += WORKGROUP) {
    let i = at(first, k);
    let c = channel + k % p.width;
    let normed = ((x[i] - mean) - moments.x) * factor;
    let before = normed * weight[c] + bias[c];
    var value = activate(before);
    var moved = 0.0;
    if (HAS_DX) { moved = slope(before) * ((((dx[i] - means.z) - moments.z) - normed * along) * factor * weight[c]); }
    let told = item * p.tableWidth + c;
    if (SCALED) {
      let scale = table[told + p.scaleAt];
      moved *= scale;
      if (HAS_D_TABLE) { moved += value * dTable[told + p.scaleAt]; }
      value *= scale;
    }
    if (SHIFTED) {
      value += table[told + p.shiftAt];
      if (HAS_D_TABLE) { moved += dTable[told + p.shiftAt]; }
    }
    y[i] = value;
    dy[i] = moved;
  }`,
});
