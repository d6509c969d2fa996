/**
 * out[b, i] = Σ_j softmax_j(scale · q[b, i]·k[b, j]) · v[b, j]
 *
 * b batch, i query, j key; one head, as wide as the rows. attention.ts keeps a query and its output in registers, which ends at
 * heads of about 64: at 384 its shader took 128 s to build (SwiftShader 5.0.0, 2 cores, 2026-11-22). The autoencoders have
 * heads of 384 and 512, so here it is three steps with the logits in memory: a product, a softmax in place, a product.
 *
 * Layout: q (B, N, C), k and v (B, S, C), each possibly columns of wider rows; logits (b, n, S) for as many queries at a time as fit into
 * their share of memory. The product's tile is that of linear.ts, 8 × 8 outputs an invocation, both operands read as scalars by strides,
 * sums of 64 terms first.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import type { HeadSlice } from "./attention.ts";
import { EXP } from "./math.ts";
import { choose, invocations } from "./variants.ts";

export interface WideAttentionOptions {
  /** factor on q·k; default C^−½ */
  readonly scale?: number;
  /** hide keys after the query's own position */
  readonly causal?: boolean;
  /** memory for the logits; default 64 MiB */
  readonly logitBytes?: number;
}

// 3,495 of the 4,800 queries of a frame of 480 × 640 at once.
const LOGIT_BYTES = 64 * 2 ** 20;

const HEADER = /* wgsl */ `
struct Params {
  batch: u32, rows: u32, columns: u32, inner: u32,
  leftAt: u32, leftBatch: u32, leftRow: u32,
  rightAt: u32, rightBatch: u32, rightColumn: u32, rightInner: u32,
  outAt: u32, outBatch: u32, outRow: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
override WORKGROUP: u32;
`;

const TILE = /* wgsl */ `
${HEADER}
// Four rows (a) times four columns (b): column i of the result is row i of the tile.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}
fn storeTile(b: u32, m: u32, n: u32, tile: mat4x4f) {
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (m + i < p.rows && n + j < p.columns) { out[p.outAt + b * p.outBatch + (m + i) * p.outRow + n + j] = tile[i][j] * p.scale; }
    }
  }
}
fn left4(at: vec4u, k: u32) -> vec4f { return vec4f(left[at.x + k], left[at.y + k], left[at.z + k], left[at.w + k]); }
fn right4(at: vec4u, k: u32) -> vec4f {
  let step = k * p.rightInner;
  return vec4f(right[at.x + step], right[at.y + step], right[at.z + step], right[at.w + step]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let across = (p.columns + 7u) / 8u;
  let down = (p.rows + 7u) / 8u;
  let n = index % across * 8u;
  let m = index / across % down * 8u;
  let b = index / across / down;
  if (b >= p.batch) { return; }
  // Rows and columns beyond the end repeat the last one; they are not stored.
  let near = vec4u(0u, 1u, 2u, 3u);
  let l0 = p.leftAt + b * p.leftBatch + min(vec4u(m) + near, vec4u(p.rows - 1u)) * p.leftRow;
  let l1 = p.leftAt + b * p.leftBatch + min(vec4u(m + 4u) + near, vec4u(p.rows - 1u)) * p.leftRow;
  let r0 = p.rightAt + b * p.rightBatch + min(vec4u(n) + near, vec4u(p.columns - 1u)) * p.rightColumn;
  let r1 = p.rightAt + b * p.rightBatch + min(vec4u(n + 4u) + near, vec4u(p.columns - 1u)) * p.rightColumn;
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var k0 = 0u; k0 < p.inner; k0 += 64u) {
    var part00 = mat4x4f(); var part01 = mat4x4f();
    var part10 = mat4x4f(); var part11 = mat4x4f();
    for (var k = k0; k < min(k0 + 64u, p.inner); k++) {
      let upper = left4(l0, k);
      let lower = left4(l1, k);
      let first = right4(r0, k);
      let second = right4(r1, k);
      part00 += outer(upper, first); part01 += outer(upper, second);
      part10 += outer(lower, first); part11 += outer(lower, second);
    }
    sum00 += part00; sum01 += part01;
    sum10 += part10; sum11 += part11;
  }
  storeTile(b, m, n, sum00); storeTile(b, m, n + 4u, sum01);
  storeTile(b, m + 4u, n, sum10); storeTile(b, m + 4u, n + 4u, sum11);
}
`;

/** One invocation an output: the second reference. */
const NAIVE = /* wgsl */ `
${HEADER}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let n = index % p.columns;
  let m = index / p.columns % p.rows;
  let b = index / p.columns / p.rows;
  if (b >= p.batch) { return; }
  let l = p.leftAt + b * p.leftBatch + m * p.leftRow;
  let r = p.rightAt + b * p.rightBatch + n * p.rightColumn;
  var sum = 0.0;
  for (var k = 0u; k < p.inner; k++) { sum += left[l + k] * right[r + k * p.rightInner]; }
  out[p.outAt + b * p.outBatch + m * p.outRow + n] = sum * p.scale;
}
`;

const VARIANTS = { tile: TILE, naive: NAIVE } as const;

/** Each row becomes its softmax; ROWS rows a workgroup with LANES invocations each, which add up in workgroup memory. */
const SOFTMAX = /* wgsl */ `
struct Params { rows: u32, queries: u32, firstQuery: u32, keys: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
override LANES: u32;
override ROWS: u32;
override CAUSAL: bool;
const LOWEST = -0x1.fffffep+127f;
var<workgroup> partial: array<f32, LANES * ROWS>;
${EXP}
fn shared_(slot: u32, lane: u32, value: f32, maximum: bool) -> f32 {
  if (LANES == 1u) { return value; }
  workgroupBarrier();
  partial[slot + lane] = value;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let other = partial[slot + lane + half];
      partial[slot + lane] = select(partial[slot + lane] + other, max(partial[slot + lane], other), maximum);
    }
  }
  workgroupBarrier();
  return partial[slot];
}

@compute @workgroup_size(LANES, ROWS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let asked = (wg.x + wg.y * grid.x) * ROWS + id.y;
  // Rows beyond the end follow along, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  let lane = id.x;
  let start = row * p.keys;
  let seen = select(p.keys, min(p.keys, p.firstQuery + row % p.queries + 1u), CAUSAL);
  var highest = LOWEST;
  for (var j = lane; j < seen; j += LANES) { highest = max(highest, logits[start + j]); }
  highest = shared_(id.y * LANES, lane, highest, true);
  var sum = 0.0;
  for (var j0 = lane; j0 < seen; j0 += LANES * 64u) {
    var part = 0.0;
    for (var j = j0; j < min(seen, j0 + LANES * 64u); j += LANES) { part += exp_(logits[start + j] - highest); }
    sum += part;
  }
  sum = shared_(id.y * LANES, lane, sum, false);
  if (asked >= p.rows) { return; }
  for (var j = lane; j < p.keys; j += LANES) {
    logits[start + j] = select(0.0, exp_(logits[start + j] - highest) / sum, j < seen);
  }
}
`;

/**
 * Scaled dot-product attention of one wide head: q (B, N, C), k and v (B, S, C) → (B, N, C), C = `width`, which is given because the
 * rows may be wider.
 * @throws UsageError when the shapes do not fit together
 */
export function wideAttention(
  q: HeadSlice,
  k: HeadSlice,
  v: HeadSlice,
  width: number,
  options: WideAttentionOptions = {},
): Tensor {
  const { scale = width ** -0.5, causal = false, logitBytes = LOGIT_BYTES } = options;
  const [B, N] = q.tensor.shape;
  const S = k.tensor.dim(1);
  for (const [name, part, rows] of [
    ["queries", q, N] as const,
    ["keys", k, S] as const,
    ["values", v, S] as const,
  ]) {
    const { shape } = part.tensor;
    if (shape.length !== 3 || shape[0] !== B || shape[1] !== rows || (part.offset ?? 0) + width > shape[2]) {
      throw new UsageError(
        `wideAttention: ${name} ${showShape(shape)} do not hold ${width} columns at ${part.offset ?? 0} of ${B} × ${rows} rows`,
      );
    }
  }
  const out = result([B, N, width], "wideAttention");
  const from = (s: HeadSlice) => ({ storage: s.tensor.storage, at: s.offset ?? 0, row: s.tensor.dim(-1) });
  const [left, keys, values] = [from(q), from(k), from(v)];
  // As many queries as fit, of as many clips as fit where all queries do.
  const queries = Math.max(1, Math.min(N, Math.floor(logitBytes / (4 * S))));
  const clips = Math.max(1, Math.min(B, Math.floor(logitBytes / (4 * S * queries))));
  for (let b = 0; b < B; b += clips) {
    for (let i = 0; i < N; i += queries) {
      const [batch, rows] = [Math.min(clips, B - b), Math.min(queries, N - i)];
      const logits = result([batch, rows, S], "logits");
      product({ batch, rows, columns: S, inner: width, scale }, [
        {
          storage: left.storage,
          at: left.at + (b * N + i) * left.row,
          batch: N * left.row,
          steps: [left.row],
        },
        { storage: keys.storage, at: keys.at + b * S * keys.row, batch: S * keys.row, steps: [keys.row, 1] },
        { storage: logits.storage, at: 0, batch: rows * S, steps: [S] },
      ]);
      softmax(logits, i, causal);
      product({ batch, rows, columns: width, inner: S, scale: 1 }, [
        { storage: logits.storage, at: 0, batch: rows * S, steps: [S] },
        {
          storage: values.storage,
          at: values.at + b * S * values.row,
          batch: S * values.row,
          steps: [1, values.row],
        },
        { storage: out.storage, at: (b * N + i) * width, batch: N * width, steps: [width] },
      ]);
    }
  }
  return out;
}

interface Operand {
  readonly storage: Tensor["storage"];
  /** where it begins, and how far apart its batch items are */
  readonly at: number;
  readonly batch: number;
  /** how far apart its rows are; for the right operand its columns, then its rows */
  readonly steps: readonly number[];
}

function product(
  size: { batch: number; rows: number; columns: number; inner: number; scale: number },
  [left, right, out]: readonly [Operand, Operand, Operand],
): void {
  const { batch, rows, columns, inner, scale } = size;
  const list = recording();
  const name = choose(list.gpu, "wideAttention", VARIANTS, "tile");
  const workgroup = invocations(list.gpu);
  const outputs = name === "naive" ? rows * columns : Math.ceil(rows / 8) * Math.ceil(columns / 8);
  list.dispatch({
    kernel: {
      name: "wideAttention",
      key: name,
      wgsl: () => VARIANTS[name],
      inputs: 2,
      outputs: 1,
      constants: { WORKGROUP: workgroup },
    },
    params: {
      u32: [
        ...[batch, rows, columns, inner],
        ...[left, right, out].flatMap(({ at, batch: item, steps }) => [at, item, ...steps]),
      ],
      f32: [scale],
    },
    inputs: [left.storage, right.storage],
    outputs: [out.storage],
    workgroups: Math.ceil((batch * outputs) / workgroup),
  });
}

function softmax(logits: Tensor, firstQuery: number, causal: boolean): void {
  const list = recording();
  const [batch, queries, keys] = logits.shape;
  // One lane a row on a CPU, where barriers are dear, and for short rows; norm.ts has the same rule.
  const [lanes, rows] = list.gpu.adapter.software ? [1, 8] : keys <= 32 ? [1, 64] : [128, 1];
  list.dispatch({
    kernel: {
      name: "softmax",
      key: "",
      wgsl: () => SOFTMAX,
      inputs: 0,
      outputs: 1,
      constants: { LANES: lanes, ROWS: rows, CAUSAL: causal ? 1 : 0 },
    },
    params: { u32: [batch * queries, queries, firstQuery, keys] },
    inputs: [],
    outputs: [logits.storage],
    workgroups: Math.ceil((batch * queries) / rows),
  });
}
