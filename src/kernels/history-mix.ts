/**
 * The parts of a history pool that are neither linear maps nor norms (see history-pool.ts, variant "mixed"):
 *
 *   score:  f[m, n] = 1 / √(mean(x[m, n]²) + ε),   l[m, n, j] = f[m, n] · x[m, n]·u_j
 *   share:  a[m, n, j] = softmax_m(l[m, n, j]) · f[m, n], in the place of l
 *   mix:    y_g[n, i, d] = Σ_m a[m, n, j] · x[m, n, d],   j = 2i + g
 *
 * x (M, tokens, D) history, u (D, ⌈R/4⌉, 4), scores (M, tokens, R + 1) with f last; the heads of one key-value head g stand
 * together in y_g (tokens, R/2, D). score: one invocation an entry of a token. share: one a token. mix: one
 * four channels of a token, all heads, so that an entry is read once. (Repeating the softmax in mix instead of share cost three times the
 * mix itself: SwiftShader 5.0.0, 2026-11-22.)
 */
import { recording } from "../gpu/recording.ts";
import { result, type Tensor } from "../tensor/tensor.ts";
import { EXP } from "./math.ts";
import { invocations } from "./variants.ts";

const each = (n: number, line: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => line(i)).join("\n");

const SCORE = (heads: number): string => /* wgsl */ `
struct Params { count: u32, dim: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> history: array<f32>;
@group(0) @binding(2) var<storage, read> u: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
override WORKGROUP: u32;
const HEADS = ${heads}u;
const QUADS = ${Math.ceil(heads / 4)}u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (row >= p.count) { return; }
${each(Math.ceil(heads / 4), (q) => `  var dot${q} = vec4f();`)}
  var squares = 0.0;
  for (var d0 = 0u; d0 < p.dim; d0 += 64u) {
    var part = 0.0;
    for (var d = d0; d < min(d0 + 64u, p.dim); d++) {
      let x = history[row * p.dim + d];
      part += x * x;
${each(Math.ceil(heads / 4), (q) => `      dot${q} += x * u[d * QUADS + ${q}u];`)}
    }
    squares += part;
  }
  let factor = inverseSqrt(squares / f32(p.dim) + p.epsilon);
  let at = row * (HEADS + 1u);
${each(heads, (j) => `  scores[at + ${j}u] = factor * dot${Math.floor(j / 4)}[${j % 4}];`)}
  scores[at + HEADS] = factor;
}
`;

const SHARE = (heads: number): string => /* wgsl */ `
struct Params { tokens: u32, entries: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;
override WORKGROUP: u32;
const HEADS = ${heads}u;
${EXP}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let n = index / HEADS;
  let j = index % HEADS;
  if (n >= p.tokens) { return; }
  let width = HEADS + 1u;
  var highest = scores[n * width + j];
  for (var m = 1u; m < p.entries; m++) { highest = max(highest, scores[(m * p.tokens + n) * width + j]); }
  var sum = 0.0;
  for (var m = 0u; m < p.entries; m++) {
    let at = (m * p.tokens + n) * width + j;
    let e = exp_(scores[at] - highest);
    scores[at] = e;
    sum += e;
  }
  for (var m = 0u; m < p.entries; m++) {
    let row = (m * p.tokens + n) * width;
    scores[row + j] *= scores[row + HEADS] / sum;
  }
}
`;

const MIX = (heads: number): string => /* wgsl */ `
struct Params { tokens: u32, entries: u32, dim: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> history: array<f32>;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read_write> even: array<f32>;
@group(0) @binding(4) var<storage, read_write> odd: array<f32>;
override WORKGROUP: u32;
const HEADS = ${heads}u;

fn entry4(at: u32, d: u32) -> vec4f {
  if (d + 4u <= p.dim) { return vec4f(history[at], history[at + 1u], history[at + 2u], history[at + 3u]); }
  var x = vec4f();
  for (var e = 0u; d + e < p.dim; e++) { x[e] = history[at + e]; }
  return x;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let quads = (p.dim + 3u) / 4u;
  let n = index / quads;
  let d = index % quads * 4u;
  if (n >= p.tokens) { return; }
${each(heads, (j) => `  var mix${j} = vec4f();`)}
  for (var m = 0u; m < p.entries; m++) {
    let row = m * p.tokens + n;
    let x = entry4(row * p.dim + d, d);
    let at = row * (HEADS + 1u);
${each(heads, (j) => `    mix${j} += shares[at + ${j}u] * x;`)}
  }
  for (var e = 0u; e < min(4u, p.dim - d); e++) {
${each(heads, (j) => `    ${j % 2 ? "odd" : "even"}[(n * HEADS / 2u + ${Math.floor(j / 2)}u) * p.dim + d + e] = mix${j}[e];`)}
  }
}
`;

/**
 * The normalised entries of each token, mixed for every head by its softmax: [y_0, y_1], each (tokens, R/2, D).
 * @param history (M, tokens, D)
 * @param u (D, ⌈R/4⌉, 4): what an entry is multiplied with to give its logits
 */
export function mixHistory(
  history: Tensor,
  u: Tensor,
  heads: number,
  epsilon: number,
): readonly [Tensor, Tensor] {
  const list = recording();
  const [entries, tokens, dim] = history.shape;
  const WORKGROUP = invocations(list.gpu);
  const scores = result([entries, tokens, heads + 1], "scores");
  list.dispatch({
    kernel: {
      name: "history score",
      key: `${heads}`,
      wgsl: () => SCORE(heads),
      inputs: 2,
      outputs: 1,
      constants: { WORKGROUP },
    },
    params: { u32: [entries * tokens, dim], f32: [epsilon] },
    inputs: [history.storage, u.storage],
    outputs: [scores.storage],
    workgroups: Math.ceil((entries * tokens) / WORKGROUP),
  });
  list.dispatch({
    kernel: {
      name: "history share",
      key: `${heads}`,
      wgsl: () => SHARE(heads),
      inputs: 0,
      outputs: 1,
      constants: { WORKGROUP },
    },
    params: { u32: [tokens, entries] },
    inputs: [],
    outputs: [scores.storage],
    workgroups: Math.ceil((tokens * heads) / WORKGROUP),
  });
  const mixed = [result([tokens, heads / 2, dim], "mix"), result([tokens, heads / 2, dim], "mix")] as const;
  list.dispatch({
    kernel: {
      name: "history mix",
      key: `${heads}`,
      wgsl: () => MIX(heads),
      inputs: 2,
      outputs: 2,
      constants: { WORKGROUP },
    },
    params: { u32: [tokens, entries, dim] },
    inputs: [history.storage, scores.storage],
    outputs: mixed.map((m) => m.storage),
    workgroups: Math.ceil((tokens * Math.ceil(dim / 4)) / WORKGROUP),
  });
  return mixed;
}
