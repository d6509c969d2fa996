/**
 * The programs behind attention.ts. b batch, i query, j key, h query head, g key-value head, d head width, c channel.
 *
 * tile: one invocation owns four queries of one head, as the four rows of 4×4 matrices: Q and the accumulated output are d/4 matrices each,
 * a key costs d/4 vec4 reads of k and of v for 8·d multiply-adds.
 * quads: for adapters with subgroups. The four invocations of a quad own 16 queries; each reads one of four keys and swaps it with the
 * others, so a key costs a quarter of the reads, and the largest logit is looked for once in four keys.
 * Outputs wider than 64 are split over invocations, each of which repeats the logits.
 * naive: one invocation an output channel; it repeats the logits for each: the second reference.
 */
import { SIGMOID } from "./math.ts";

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
${four("query4", "q")}
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
${four("query4", "q")}
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

const each = (n: number, line: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => line(i)).join("\n");

/** Four queries of a head as one 4×4 matrix: column = channel, row = query. */
const FOUR_QUERIES = /* wgsl */ `
fn queries4(b: u32, i: u32, h: u32, c: u32) -> mat4x4f {
  let last = p.queries - 1u;
  let at = vec4u(b * p.queries) + min(vec4u(i) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let row = at * p.qWidth + p.qAt + h * p.dim;
  return transpose(mat4x4f(query4(row.x, c), query4(row.y, c), query4(row.z, c), query4(row.w, c)) * p.scale);
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
`;

/** `quads` = ⌈d/4⌉; `wide` = vec4s of the output that one invocation owns. */
export const TILE = (quads: number, wide: number, aligned: boolean, source: "own" | "memory"): string => {
  return /* wgsl */ `
${HEADER}
${READ(source, aligned)}
${FOUR_QUERIES}
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

/** The same for adapters with subgroups: `quads` and `wide` as above. */
export const QUADS = (
  quads: number,
  wide: number,
  aligned: boolean,
  source: "own" | "memory",
): string => /* wgsl */ `
${HEADER}
${READ(source, aligned)}
${FOUR_QUERIES}
// What all four lanes hold, one column each: this one, its neighbour in x, in y, and across.
fn lanes4(v: vec4f) -> mat4x4f { return mat4x4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }
fn biased4(logits: vec4f, b: u32, h: u32, i: vec4u, j: u32) -> vec4f {
  return vec4f(biased(logits.x, b, h, i.x, j), biased(logits.y, b, h, i.y, j), biased(logits.z, b, h, i.z, j), biased(logits.w, b, h, i.w, j));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let across = (p.queries + 15u) / 16u;
  let quad = (wg.x + wg.y * grid.x) * (WORKGROUP / 4u) + index / 4u;
  let total = across * p.chunks * p.heads * p.batch;
  // Quads beyond the end repeat the last one, as all must take part in the swaps; they store nothing.
  let tile = min(quad, total - 1u);
  let i = tile % across * 16u + lane * 4u;
  let chunk = tile / across % p.chunks;
  let h = tile / across / p.chunks % p.heads;
  let b = tile / across / p.chunks / p.heads;
  let first = chunk * ${wide * 4}u;
  let g = h % p.kvHeads;
  let i4 = min(vec4u(i) + vec4u(0u, 1u, 2u, 3u), vec4u(p.queries - 1u));
  let keys = p.memory + p.keys;
${each(quads, (n) => `  let q${n} = queries4(b, i, h, ${4 * n}u);`)}
${each(wide, (n) => `  var o${n} = mat4x4f();`)}
  var highest = vec4f(LOWEST);
  var sum = vec4f();
  for (var j = 0u; j < keys; j += 4u) {
    // Each lane reads the key and the value of its own position; those beyond the end weigh nothing.
    let own = min(j + lane, keys - 1u);
    let key = rowAt(b, own, p.kWidth) + p.kAt + g * p.dim;
    let value = rowAt(b, own, p.vWidth) + p.vAt + g * p.dim;
    let position = vec4u(j) + (vec4u(lane) ^ vec4u(0u, 1u, 2u, 3u));
    var logits = mat4x4f();
${each(quads, (n) => `    logits += q${n} * lanes4(key4(own, key, ${4 * n}u));`)}
    if (MASK || BIAS || CAUSAL) {
      let at = min(position, vec4u(keys - 1u));
      logits = mat4x4f(biased4(logits[0], b, h, i4, at.x), biased4(logits[1], b, h, i4, at.y),
                       biased4(logits[2], b, h, i4, at.z), biased4(logits[3], b, h, i4, at.w));
    }
    let inside = select(vec4f(), vec4f(1.0), position < vec4u(keys));
    let raised = max(highest, max(max(logits[0], logits[1]), max(logits[2], logits[3])));
    if (any(raised > highest)) {
      let shrink = exp4(highest - raised);
      highest = raised;
      sum *= shrink;
${each(wide, (n) => `      o${n} = mat4x4f(o${n}[0] * shrink, o${n}[1] * shrink, o${n}[2] * shrink, o${n}[3] * shrink);`)}
    }
    let weight = mat4x4f(exp4(logits[0] - highest) * inside.x, exp4(logits[1] - highest) * inside.y,
                         exp4(logits[2] - highest) * inside.z, exp4(logits[3] - highest) * inside.w);
    sum += (weight[0] + weight[1]) + (weight[2] + weight[3]);
${each(wide, (n) => `    o${n} += weight * transpose(lanes4(value4(own, value, first + ${4 * n}u)));`)}
  }
  if (quad >= total) { return; }
  let open = gates4(b, i, h);
${each(wide, (n) => `  storeOut(b, i, h, first + ${4 * n}u, o${n}, sum, open);`)}
}
`;

export const NAIVE = (source: "own" | "memory"): string => /* wgsl */ `
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
