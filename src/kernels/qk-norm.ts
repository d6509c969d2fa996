/**
 * y[b, n, h, :] = rotate(RMSNorm(x[b, n, h, :]; gain, ε), angle[n])
 *
 * The normalisation of queries and keys per head, and the rotary embedding behind it. Rotation pairs channel c with
 * c + d/2 (half-split): y_c = x_c cos − x_{c+d/2} sin, y_{c+d/2} = x_{c+d/2} cos + x_c sin; or, where asked, 2c with 2c + 1.
 *
 * Layout: x (B, N, H·d), cos and sin (N, d/2). One invocation a head of a token: two passes over d channels.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { dual } from "./jvp.ts";
import { kernel } from "./kernel.ts";
import { inRows, type RowRange } from "./rows.ts";
import { invocations } from "./variants.ts";

const normalizeHeads = kernel({
  name: "qkNorm",
  params: { count: "u32", dim: "u32", heads: "u32", tokens: "u32", first: "u32", epsilon: "f32" },
  constants: { ADJACENT: "bool" },
  read: { x: "f32", gain: "f32", "cosine?": "f32", "sine?": "f32" },
  write: { y: "f32" },
  over: "count",
  workgroup: invocations,
  main: /* wgsl */ `
  let at = index * p.dim;
  var squares = vec4f();
  let whole = p.dim & ~3u;
  for (var c = 0u; c < whole; c += 4u) {
    let four = vec4f(x[at + c], x[at + c + 1u], x[at + c + 2u], x[at + c + 3u]);
    squares += four * four;
  }
  for (var c = whole; c < p.dim; c++) { squares.x += x[at + c] * x[at + c]; }
  let factor = inverseSqrt((squares.x + squares.y + squares.z + squares.w) / f32(p.dim) + p.epsilon);
  if (!HAS_COSINE) {
    for (var c = 0u; c < p.dim; c++) { y[at + c] = x[at + c] * factor * gain[c]; }
    return;
  }
  let half = p.dim / 2u;
  let angle = (p.first + index / p.heads) % p.tokens * half;
  for (var c = 0u; c < half; c++) {
    let i = select(c, 2u * c, ADJACENT);
    let j = select(half + c, 2u * c + 1u, ADJACENT);
    let a = x[at + i] * factor * gain[i];
    let b = x[at + j] * factor * gain[j];
    let cos_ = cosine[angle + c];
    let sin_ = sine[angle + c];
    y[at + i] = a * cos_ - b * sin_;
    y[at + j] = b * cos_ + a * sin_;
  }`,
});

/**
 * The same with its tangent: s·(ẋ − x̂·mean(x̂ ⊙ ẋ)) ⊙ gain, s = (mean x² + ε)^−½ and x̂ = x·s, turned by the same angles. Gains and angles are
 * constants.
 */
const normalizeHeadsBoth = kernel({
  name: "qkNorm and tangent",
  params: { count: "u32", dim: "u32", heads: "u32", tokens: "u32", first: "u32", epsilon: "f32" },
  constants: { ADJACENT: "bool" },
  read: { x: "f32", dx: "f32", gain: "f32", "cosine?": "f32", "sine?": "f32" },
  write: { y: "f32", dy: "f32" },
  over: "count",
  workgroup: invocations,
  main: /* wgsl */ `
  let at = index * p.dim;
  var squares = vec4f();
  var products = vec4f();
  let whole = p.dim & ~3u;
  for (var c = 0u; c < whole; c += 4u) {
    let i = at + c;
    let four = vec4f(x[i], x[i + 1u], x[i + 2u], x[i + 3u]);
    squares += four * four;
    products += four * vec4f(dx[i], dx[i + 1u], dx[i + 2u], dx[i + 3u]);
  }
  for (var c = whole; c < p.dim; c++) {
    squares.x += x[at + c] * x[at + c];
    products.x += x[at + c] * dx[at + c];
  }
  let factor = inverseSqrt((squares.x + squares.y + squares.z + squares.w) / f32(p.dim) + p.epsilon);
  // x̂·mean(x̂ ⊙ ẋ) = x · along
  let along = (products.x + products.y + products.z + products.w) / f32(p.dim) * factor * factor;
  let half = p.dim / 2u;
  if (!HAS_COSINE) {
    for (var c = 0u; c < p.dim; c++) {
      let seen = x[at + c];
      y[at + c] = seen * factor * gain[c];
      dy[at + c] = (dx[at + c] - seen * along) * factor * gain[c];
    }
    return;
  }
  let angle = (p.first + index / p.heads) % p.tokens * half;
  for (var c = 0u; c < half; c++) {
    let i = select(c, 2u * c, ADJACENT);
    let j = select(half + c, 2u * c + 1u, ADJACENT);
    let scale = factor * vec2f(gain[i], gain[j]);
    let seen = vec2f(x[at + i], x[at + j]);
    let a = seen * scale;
    let b = (vec2f(dx[at + i], dx[at + j]) - seen * along) * scale;
    let cos_ = cosine[angle + c];
    let sin_ = sine[angle + c];
    y[at + i] = a.x * cos_ - a.y * sin_;
    y[at + j] = a.y * cos_ + a.x * sin_;
    dy[at + i] = b.x * cos_ - b.y * sin_;
    dy[at + j] = b.y * cos_ + b.x * sin_;
  }`,
});

/** cos and sin of every token's angles, each (N, d/2). */
export interface Rotary {
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** which channels an angle turns: c and c + d/2 (default), or the neighbours 2c and 2c + 1 */
  readonly pairs?: "halves" | "neighbours";
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
  const call = ({ from, to }: RowRange) => ({
    constants: { ADJACENT: rotary?.pairs === "neighbours" },
    params: { count: (to - from) * heads, dim, heads, tokens, first: from, epsilon },
  });
  const constants = { gain, cosine: rotary?.cos, sine: rotary?.sin };
  return dual(
    [x],
    () => {
      const y = result(x.shape, "qkNorm");
      inRows(batch * tokens, { tensors: [x, y] }, (part, range) => {
        normalizeHeads({ ...call(range), read: { x: part(x), ...constants }, write: { y: part(y) } });
      });
      return y;
    },
    ([dx]) => {
      const [y, dy] = [result(x.shape, "qkNorm"), result(x.shape, "tangent of qkNorm")];
      inRows(batch * tokens, { tensors: [x, y] }, (part, range) => {
        normalizeHeadsBoth({
          ...call(range),
          read: { x: part(x), dx: part(dx!), ...constants },
          write: { y: part(y), dy: part(dy) },
        });
      });
      return { y, dy };
    },
  );
}
