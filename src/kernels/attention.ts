/**
 * out[b, i, h] = Σ_j softmax_j(scale · q[b, i, h]·k[b, j, g] + bias[h, j − i]) · v[b, j, g] · σ(gate[b, i, h]),   g = h mod G
 *
 * b batch, i query, j key, h query head, g key-value head (G of them), d head width.
 * Layout: q (B, N, H·d), k and v (B, S, G·d), head-major; each may be a slice of a wider row (rowWidth, offset), so a
 * packed qkv projection needs no copies.
 *
 * Online softmax: running maximum and sum in float32, the logits are never stored. One invocation owns four queries of one
 * head, as the four rows of 4×4 matrices: Q and the accumulated output are d/4 matrices each, a key costs d/4 vec4 loads
 * of k and of v for 8·d multiply-adds. Outputs wider than 64 are split over invocations, each of which repeats the
 * logits. WGSL may assume that infinities do not occur, so masked logits are −max float32, as in the reference: a row
 * whose keys are all masked averages them all.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { SIGMOID } from "./math.ts";
import { choose, invocations } from "./variants.ts";

/** Columns `offset` to `offset + heads·d` of rows of a (B, S, width) tensor. */
export interface HeadSlice {
  readonly tensor: Tensor;
  readonly offset?: number;
}

export interface AttentionOptions {
  readonly heads: number;
  /** key-value heads; query head h uses key-value head h mod this; default: `heads` */
  readonly keyValueHeads?: number;
  /** width of one head */
  readonly headDim: number;
  /** factor on q·k; default headDim^−½ */
  readonly scale?: number;
  /** (B, S) u32, 0 = hide this key */
  readonly mask?: Tensor;
  /** (N + S − 1, H): added to the logit of query i and key j at row j − i + N − 1 */
  readonly relativeBias?: Tensor;
  /** hide keys after the query's own position */
  readonly causal?: boolean;
  /** column of H gate logits in the rows of the queries' tensor: each head's output is multiplied by their σ */
  readonly gateAt?: number;
  /** (B, S′, width), laid out as the tensor that holds both keys and values: S′ keys seen before them */
  readonly memory?: Tensor;
}

const HEADER = /* wgsl */ `
struct Params {
  batch: u32, queries: u32, keys: u32, heads: u32, kvHeads: u32, dim: u32,
  qWidth: u32, qAt: u32, kWidth: u32, kAt: u32, vWidth: u32, vAt: u32, chunks: u32,
  gateAt: u32, memory: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read> memory: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
override WORKGROUP: u32;
override MASK: bool;
override BIAS: bool;
override CAUSAL: bool;
override GATE: bool;
const LOWEST = -0x1.fffffep+127f;
${SIGMOID}
// The gate of one head's output.
fn gate(b: u32, i: u32, h: u32) -> f32 {
  if (!GATE) { return 1.0; }
  return sigmoid(q[(b * p.queries + i) * p.qWidth + p.gateAt + h]);
}
// The logit of one query and one key, given scale · q·k.
fn biased(product: f32, b: u32, h: u32, i: u32, j: u32) -> f32 {
  var logit = product;
  if (BIAS) { logit += bias[(j + p.queries - 1u - i) * p.heads + h]; }
  if (MASK) { logit = select(LOWEST, logit, mask[b * p.keys + j] != 0u); }
  if (CAUSAL) { logit = select(logit, LOWEST, j > i); }
  return logit;
}
`;

/**
 * Where key j stands, and four channels of one of its rows; the guarded reading makes channels past the head zero.
 * Only a kernel with a memory looks into two buffers: the branch in the innermost loop would cost every other one.
 */
const READ = (source: "own" | "memory", aligned: boolean): string => {
  const four = (name: string, buffer: string): string => /* wgsl */ `
fn ${name}(at: u32, c: u32) -> vec4f {
  ${
    aligned
      ? `return vec4f(${buffer}[at + c], ${buffer}[at + c + 1u], ${buffer}[at + c + 2u], ${buffer}[at + c + 3u]);`
      : `var value = vec4f();
  for (var e = 0u; e < 4u; e++) { if (c + e < p.dim) { value[e] = ${buffer}[at + c + e]; } }
  return value;`
  }
}`;
  if (source === "own") {
    return /* wgsl */ `
fn rowAt(b: u32, j: u32, width: u32) -> u32 { return (b * p.keys + j) * width; }
${four("ownKey4", "k")}
${four("ownValue4", "v")}
fn key4(j: u32, at: u32, c: u32) -> vec4f { return ownKey4(at, c); }
fn value4(j: u32, at: u32, c: u32) -> vec4f { return ownValue4(at, c); }
fn key1(j: u32, at: u32) -> f32 { return k[at]; }
fn value1(j: u32, at: u32) -> f32 { return v[at]; }`;
  }
  // Keys are numbered through: first the memory's, then the call's own.
  return /* wgsl */ `
fn rowAt(b: u32, j: u32, width: u32) -> u32 {
  return select(b * p.keys + j - p.memory, b * p.memory + j, j < p.memory) * width;
}
${four("ownKey4", "k")}
${four("ownValue4", "v")}
${four("memory4", "memory")}
fn key4(j: u32, at: u32, c: u32) -> vec4f {
  if (j < p.memory) { return memory4(at, c); }
  return ownKey4(at, c);
}
fn value4(j: u32, at: u32, c: u32) -> vec4f {
  if (j < p.memory) { return memory4(at, c); }
  return ownValue4(at, c);
}
fn key1(j: u32, at: u32) -> f32 {
  if (j < p.memory) { return memory[at]; }
  return k[at];
}
fn value1(j: u32, at: u32) -> f32 {
  if (j < p.memory) { return memory[at]; }
  return v[at];
}`;
};

/** `quads` = ⌈d/4⌉; `wide` = vec4s of the output that one invocation owns. */
const TILE = (quads: number, wide: number, aligned: boolean, source: "own" | "memory"): string => {
  const each = (n: number, line: (i: number) => string): string =>
    Array.from({ length: n }, (_, i) => line(i)).join("\n");
  return /* wgsl */ `
${HEADER}
${READ(source, aligned)}
fn query4(b: u32, i: u32, h: u32, c: u32) -> vec4f {
  let at = (b * p.queries + min(i, p.queries - 1u)) * p.qWidth + p.qAt + h * p.dim;
  var value = vec4f();
  for (var e = 0u; e < 4u; e++) { if (c + e < p.dim) { value[e] = q[at + c + e]; } }
  return value * p.scale;
}
fn queries4(b: u32, i: u32, h: u32, c: u32) -> mat4x4f {
  return transpose(mat4x4f(query4(b, i, h, c), query4(b, i + 1u, h, c), query4(b, i + 2u, h, c), query4(b, i + 3u, h, c)));
}
fn gates4(b: u32, i: u32, h: u32) -> vec4f {
  var open = vec4f();
  for (var r = 0u; r < 4u; r++) { open[r] = gate(b, min(i + r, p.queries - 1u), h); }
  return open;
}
fn storeOut(b: u32, i: u32, h: u32, c: u32, columns: mat4x4f, sum: vec4f, open: vec4f) {
  let rows = transpose(columns);
  for (var r = 0u; r < 4u; r++) {
    if (i + r < p.queries) {
      for (var e = 0u; e < 4u; e++) {
        if (c + e < p.dim) { out[((b * p.queries + i + r) * p.heads + h) * p.dim + c + e] = rows[r][e] / sum[r] * open[r]; }
      }
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let tiles = (p.queries + 3u) / 4u;
  let i = index % tiles * 4u;
  let chunk = index / tiles % p.chunks;
  let h = index / tiles / p.chunks % p.heads;
  let b = index / tiles / p.chunks / p.heads;
  if (b >= p.batch) { return; }
  let first = chunk * ${wide * 4}u;
  let g = h % p.kvHeads;
${each(quads, (n) => `  let q${n} = queries4(b, i, h, ${4 * n}u);`)}
${each(wide, (n) => `  var o${n} = mat4x4f();`)}
  var highest = vec4f(LOWEST);
  var sum = vec4f();
  for (var j = 0u; j < p.memory + p.keys; j++) {
    let key = rowAt(b, j, p.kWidth) + p.kAt + g * p.dim;
    let value = rowAt(b, j, p.vWidth) + p.vAt + g * p.dim;
    var logits = vec4f();
${each(quads, (n) => `    logits += q${n} * key4(j, key, ${4 * n}u);`)}
    if (MASK || BIAS || CAUSAL) {
      logits = vec4f(biased(logits.x, b, h, i, j), biased(logits.y, b, h, min(i + 1u, p.queries - 1u), j),
                     biased(logits.z, b, h, min(i + 2u, p.queries - 1u), j), biased(logits.w, b, h, min(i + 3u, p.queries - 1u), j));
    }
    let raised = max(highest, logits);
    if (any(raised > highest)) {
      let shrink = exp4(highest - raised);
      highest = raised;
      sum *= shrink;
${each(wide, (n) => `      o${n} = mat4x4f(o${n}[0] * shrink, o${n}[1] * shrink, o${n}[2] * shrink, o${n}[3] * shrink);`)}
    }
    let weight = exp4(logits - highest);
    sum += weight;
${each(wide, (n) => `    { let v4 = value4(j, value, first + ${4 * n}u); o${n} += mat4x4f(weight * v4.x, weight * v4.y, weight * v4.z, weight * v4.w); }`)}
  }
  let open = gates4(b, i, h);
${each(wide, (n) => `  storeOut(b, i, h, first + ${4 * n}u, o${n}, sum, open);`)}
}
`;
};

/** One invocation an output channel; it repeats the logits for each: the second reference. */
const NAIVE = (source: "own" | "memory"): string => /* wgsl */ `
${HEADER}
${READ(source, true)}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let c = index % p.dim;
  let h = index / p.dim % p.heads;
  let i = index / p.dim / p.heads % p.queries;
  let b = index / p.dim / p.heads / p.queries;
  if (b >= p.batch) { return; }
  let g = h % p.kvHeads;
  let queryAt = (b * p.queries + i) * p.qWidth + p.qAt + h * p.dim;
  var highest = LOWEST;
  var sum = 0.0;
  var value = 0.0;
  for (var j = 0u; j < p.memory + p.keys; j++) {
    let key = rowAt(b, j, p.kWidth) + p.kAt + g * p.dim;
    var product = 0.0;
    for (var e = 0u; e < p.dim; e++) { product += q[queryAt + e] * key1(j, key + e); }
    let logit = biased(product * p.scale, b, h, i, j);
    let raised = max(highest, logit);
    let shrink = exp_(highest - raised);
    let weight = exp_(logit - raised);
    highest = raised;
    sum = sum * shrink + weight;
    value = value * shrink + weight * value1(j, rowAt(b, j, p.vWidth) + p.vAt + g * p.dim + c);
  }
  out[index] = value / sum * gate(b, i, h);
}
`;

const VARIANTS = { tile: TILE, naive: NAIVE } as const;

const MAX_WIDE = 16;

/**
 * Scaled dot-product attention: q (B, N, …), k and v (B, S, …) → (B, N, H·d).
 * @throws UsageError when the shapes do not fit together
 */
export function attention(q: HeadSlice, k: HeadSlice, v: HeadSlice, options: AttentionOptions): Tensor {
  const {
    heads,
    headDim,
    keyValueHeads = heads,
    scale = headDim ** -0.5,
    mask,
    relativeBias,
    causal = false,
    gateAt,
    memory,
  } = options;
  const [batch, queries] = q.tensor.shape;
  const keys = k.tensor.dim(1);
  checkSlice("queries", q, batch, queries, heads * headDim);
  checkSlice("keys", k, batch, keys, keyValueHeads * headDim);
  checkSlice("values", v, batch, keys, keyValueHeads * headDim);
  if (mask && mask.size !== batch * keys) {
    throw new UsageError(`attention: mask ${showShape(mask.shape)} is not (${batch}, ${keys})`);
  }
  if (relativeBias && relativeBias.size !== (queries + keys - 1) * heads) {
    throw new UsageError(
      `attention: bias ${showShape(relativeBias.shape)} is not (${queries + keys - 1}, ${heads})`,
    );
  }
  if (
    memory &&
    (mask || relativeBias || causal || k.tensor !== v.tensor || memory.dim(-1) !== k.tensor.dim(-1))
  ) {
    throw new UsageError(
      `attention: a memory ${showShape(memory.shape)} must be laid out as ${showShape(k.tensor.shape)}, which holds both keys and values, without mask, bias or causality`,
    );
  }
  if (memory && memory.dim(0) !== batch)
    throw new UsageError(`attention: memory ${showShape(memory.shape)} of a batch of ${batch}`);
  if (gateAt !== undefined && gateAt + heads > q.tensor.dim(-1))
    throw new UsageError(`attention: no ${heads} gates at column ${gateAt} of ${showShape(q.tensor.shape)}`);
  const list = recording();
  const out = result([batch, queries, heads * headDim], "attention");
  const name = choose(list.gpu, "attention", VARIANTS, "tile");
  const workgroup = invocations(list.gpu);
  const quads = Math.ceil(headDim / 4);
  const wide = Math.min(quads, MAX_WIDE);
  const chunks = Math.ceil(quads / wide);
  const source = memory ? "memory" : "own";
  const aligned = headDim % (4 * wide) === 0;
  const total =
    name === "naive" ? batch * queries * heads * headDim : batch * heads * chunks * Math.ceil(queries / 4);
  list.dispatch({
    kernel: {
      name: "attention",
      key: name === "naive" ? `${name} ${source}` : `${name} ${quads} ${wide} ${aligned} ${source}`,
      wgsl: () => (name === "naive" ? NAIVE(source) : TILE(quads, wide, aligned, source)),
      inputs: 6,
      outputs: 1,
      constants: {
        WORKGROUP: workgroup,
        MASK: mask ? 1 : 0,
        BIAS: relativeBias ? 1 : 0,
        CAUSAL: causal ? 1 : 0,
        GATE: gateAt === undefined ? 0 : 1,
      },
    },
    params: {
      u32: [
        ...[batch, queries, keys, heads, keyValueHeads, headDim],
        ...[q, k, v].flatMap(({ tensor, offset = 0 }) => [tensor.dim(-1), offset]),
        ...[chunks, gateAt ?? 0, memory?.dim(1) ?? 0],
      ],
      f32: [scale],
    },
    inputs: [
      q.tensor.storage,
      k.tensor.storage,
      v.tensor.storage,
      (mask ?? q.tensor).storage,
      (relativeBias ?? q.tensor).storage,
      (memory ?? k.tensor).storage,
    ],
    outputs: [out.storage],
    workgroups: Math.ceil(total / workgroup),
  });
  return out;
}

function checkSlice(
  what: string,
  { tensor, offset = 0 }: HeadSlice,
  batch: number,
  rows: number,
  width: number,
): void {
  const { shape } = tensor;
  if (shape.length !== 3 || shape[0] !== batch || shape[1] !== rows || offset + width > shape[2]) {
    throw new UsageError(
      `attention: ${what} ${showShape(shape)} do not hold ${width} columns at ${offset} of ${batch} × ${rows} rows`,
    );
  }
}
