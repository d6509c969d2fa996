/**
 * y[b, n, h, :] = rotate(RMSNorm(x[b, n, h, :]; gain, ε), angle[n])
 *
 * The normalisation of queries and keys per head, and the rotary embedding behind it. Rotation pairs channel c with
 * c + d/2 (half-split): y_c = x_c cos − x_{c+d/2} sin, y_{c+d/2} = x_{c+d/2} cos + x_c sin.
 *
 * Layout: x (B, N, H·d), cos and sin (N, d/2). One invocation a head of a token: two passes over d channels.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { invocations } from "./variants.ts";

const WGSL = /* wgsl */ `
struct Params { count: u32, dim: u32, heads: u32, tokens: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> cosine: array<f32>;
@group(0) @binding(4) var<storage, read> sine: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
override ROTATE: bool;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (index >= p.count) { return; }
  let at = index * p.dim;
  var squares = vec4f();
  let whole = p.dim & ~3u;
  for (var c = 0u; c < whole; c += 4u) {
    let four = vec4f(x[at + c], x[at + c + 1u], x[at + c + 2u], x[at + c + 3u]);
    squares += four * four;
  }
  for (var c = whole; c < p.dim; c++) { squares.x += x[at + c] * x[at + c]; }
  let factor = inverseSqrt((squares.x + squares.y + squares.z + squares.w) / f32(p.dim) + p.epsilon);
  if (!ROTATE) {
    for (var c = 0u; c < p.dim; c++) { y[at + c] = x[at + c] * factor * gain[c]; }
    return;
  }
  let half = p.dim / 2u;
  let angle = index / p.heads % p.tokens * half;
  for (var c = 0u; c < half; c++) {
    let a = x[at + c] * factor * gain[c];
    let b = x[at + half + c] * factor * gain[half + c];
    let cos_ = cosine[angle + c];
    let sin_ = sine[angle + c];
    y[at + c] = a * cos_ - b * sin_;
    y[at + half + c] = b * cos_ + a * sin_;
  }
}
`;

/** cos and sin of every token's angles, each (N, d/2). */
export interface Rotary {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Per-head RMS norm with a gain (d), then the rotation where one is given; x (B, N, H·d) → same shape.
 * @throws UsageError when the heads or the rotary tables do not fit
 */
export function qkNorm(x: Tensor, heads: number, gain: Tensor, epsilon: number, rotary?: Rotary): Tensor {
  const dim = gain.size;
  const [batch, tokens, width] = x.shape;
  if (width !== heads * dim)
    throw new UsageError(`qkNorm: ${showShape(x.shape)} is not ${heads} heads of ${dim}`);
  if (rotary && rotary.cos.size !== (tokens * dim) / 2) {
    throw new UsageError(
      `qkNorm: rotary table ${showShape(rotary.cos.shape)} for ${tokens} tokens of width ${dim}`,
    );
  }
  const list = recording();
  const y = result(x.shape, "qkNorm");
  const workgroup = invocations(list.gpu);
  const count = batch * tokens * heads;
  list.dispatch({
    kernel: {
      name: "qkNorm",
      key: "",
      wgsl: () => WGSL,
      inputs: 4,
      outputs: 1,
      constants: { WORKGROUP: workgroup, ROTATE: rotary ? 1 : 0 },
    },
    params: { u32: [count, dim, heads, tokens], f32: [epsilon] },
    inputs: [x.storage, gain.storage, (rotary?.cos ?? x).storage, (rotary?.sin ?? x).storage],
    outputs: [y.storage],
    workgroups: Math.ceil(count / workgroup),
  });
  return y;
}
