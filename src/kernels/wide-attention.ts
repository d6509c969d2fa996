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
import { dual } from "./jvp.ts";
import { type Form, kernel } from "./kernel.ts";
import { EXP } from "./math.ts";
import { choose, invocations, type Variant } from "./variants.ts";
import { sumOfWorkgroup } from "./workgroup.ts";

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

/** Whether a product is added to what stands there. */
interface Adding extends Form {
  readonly adds: boolean;
}

/** A product of two operands read by strides. */
const product = (name: string, functions: (put: string) => string, main: (put: string) => string) =>
  kernel({
    name: `wideAttention ${name}`,
    params: {
      ...{ batch: "u32", rows: "u32", columns: "u32", inner: "u32" },
      ...{ leftAt: "u32", leftBatch: "u32", leftRow: "u32" },
      ...{ rightAt: "u32", rightBatch: "u32", rightColumn: "u32", rightInner: "u32" },
      ...{ outAt: "u32", outBatch: "u32", outRow: "u32", scale: "f32" },
    },
    read: { left: "f32", right: "f32" },
    write: { out: "f32" },
    workgroup: invocations,
    functions: ({ adds }: Adding) => functions(adds ? "+=" : "="),
    main: ({ adds }: Adding) => main(adds ? "+=" : "="),
  });

const tiles = product(
  "tile",
  (put) => /* wgsl */ `
// Four rows (a) times four columns (b): column i of the result is row i of the tile.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}
fn storeTile(b: u32, m: u32, n: u32, tile: mat4x4f) {
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (m + i < p.rows && n + j < p.columns) { out[p.outAt + b * p.outBatch + (m + i) * p.outRow + n + j] ${put} tile[i][j] * p.scale; }
    }
  }
}
fn left4(at: vec4u, k: u32) -> vec4f { return vec4f(left[at.x + k], left[at.y + k], left[at.z + k], left[at.w + k]); }
fn right4(at: vec4u, k: u32) -> vec4f {
  let step = k * p.rightInner;
  return vec4f(right[at.x + step], right[at.y + step], right[at.z + step], right[at.w + step]);
}`,
  () => /* wgsl */ `
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
  storeTile(b, m + 4u, n, sum10); storeTile(b, m + 4u, n + 4u, sum11);`,
);

/** One invocation an output: the second reference. */
const outputs = product(
  "naive",
  () => "",
  (put) => /* wgsl */ `
  let n = index % p.columns;
  let m = index / p.columns % p.rows;
  let b = index / p.columns / p.rows;
  if (b >= p.batch) { return; }
  let l = p.leftAt + b * p.leftBatch + m * p.leftRow;
  let r = p.rightAt + b * p.rightBatch + n * p.rightColumn;
  var sum = 0.0;
  for (var k = 0u; k < p.inner; k++) { sum += left[l + k] * right[r + k * p.rightInner]; }
  out[p.outAt + b * p.outBatch + m * p.outRow + n] ${put} sum * p.scale;`,
);

type ProductCall = Omit<Parameters<typeof tiles>[0], "invocations">;

const VARIANTS = {
  tile: {
    run: (call) => {
      const { batch, rows, columns } = call.params;
      tiles({ ...call, invocations: batch * Math.ceil(rows / 8) * Math.ceil(columns / 8) });
    },
  },
  naive: {
    run: (call) => {
      const { batch, rows, columns } = call.params;
      outputs({ ...call, invocations: batch * rows * columns });
    },
  },
} as const satisfies Record<string, Variant<[ProductCall]>>;

/** Each row becomes its softmax; ROWS rows a workgroup with LANES invocations each, which add up in workgroup memory. */
const softmaxRows = kernel({
  name: "softmax",
  params: { rows: "u32", queries: "u32", firstQuery: "u32", keys: "u32" },
  constants: { LANES: "u32", ROWS: "u32", CAUSAL: "bool" },
  read: {},
  write: { logits: "f32" },
  functions: /* wgsl */ `
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
}`,
  main: /* wgsl */ `
  let asked = group * ROWS + lane / LANES;
  // Rows beyond the end follow along, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  let own = lane % LANES;
  let start = row * p.keys;
  let seen = select(p.keys, min(p.keys, p.firstQuery + row % p.queries + 1u), CAUSAL);
  var highest = LOWEST;
  for (var j = own; j < seen; j += LANES) { highest = max(highest, logits[start + j]); }
  highest = shared_(lane - own, own, highest, true);
  var sum = 0.0;
  for (var j0 = own; j0 < seen; j0 += LANES * 64u) {
    var part = 0.0;
    for (var j = j0; j < min(seen, j0 + LANES * 64u); j += LANES) { part += exp_(logits[start + j] - highest); }
    sum += part;
  }
  sum = shared_(lane - own, own, sum, false);
  if (asked >= p.rows) { return; }
  for (var j = own; j < p.keys; j += LANES) {
    logits[start + j] = select(0.0, exp_(logits[start + j] - highest) / sum, j < seen);
  }`,
});

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
  const [qAt = 0, kAt = 0, vAt = 0] = [q.offset, k.offset, v.offset];
  const [qRow, kRow, vRow] = [q, k, v].map(({ tensor }) => tensor.dim(-1));
  const variant = VARIANTS[choose(recording().gpu, "wideAttention", VARIANTS, "tile")];
  // As many queries as fit, of as many clips as fit where all queries do.
  const queries = Math.max(1, Math.min(N, Math.floor(logitBytes / (4 * S))));
  const clips = Math.max(1, Math.min(B, Math.floor(logitBytes / (4 * S * queries))));
  /** Calls `body` for each block, with its logits' shape, and its two kinds of product: q·k to logits, weights·v to results. */
  const inBlocks = (body: (block: Block) => void): void => {
    for (let b = 0; b < B; b += clips) {
      for (let i = 0; i < N; i += queries) {
        const [batch, rows] = [Math.min(clips, B - b), Math.min(queries, N - i)];
        body({
          shape: [batch, rows, S],
          firstQuery: i,
          score: (left, right, out, adds = false) =>
            variant.run({
              form: { adds },
              params: {
                ...{ batch, rows, columns: S, inner: width, scale },
                ...{ leftAt: qAt + (b * N + i) * qRow, leftBatch: N * qRow, leftRow: qRow },
                ...{ rightAt: kAt + b * S * kRow, rightBatch: S * kRow, rightColumn: kRow, rightInner: 1 },
                ...{ outAt: 0, outBatch: rows * S, outRow: S },
              },
              read: { left, right },
              write: { out },
            }),
          mix: (left, right, out, adds = false) =>
            variant.run({
              form: { adds },
              params: {
                ...{ batch, rows, columns: width, inner: S, scale: 1 },
                ...{ leftAt: 0, leftBatch: rows * S, leftRow: S },
                ...{ rightAt: vAt + b * S * vRow, rightBatch: S * vRow, rightColumn: 1, rightInner: vRow },
                ...{ outAt: (b * N + i) * width, outBatch: N * width, outRow: width },
              },
              read: { left, right },
              write: { out },
            }),
        });
      }
    }
  };
  const place = (name: string): Tensor => result([B, N, width], name);
  return dual(
    [q.tensor, k.tensor, v.tensor],
    () => {
      const out = place("wideAttention");
      recording().flops += 4 * B * N * S * width;
      inBlocks(({ shape, firstQuery, score, mix }) => {
        const logits = result(shape, "logits");
        score(q.tensor, k.tensor, logits);
        softmax(logits, firstQuery, causal);
        mix(logits, v.tensor, out);
      });
      return out;
    },
    // Ṡ = scale·(Q̇·Kᵀ + Q·K̇ᵀ), Ṗ = P ⊙ (Ṡ − Σ P ⊙ Ṡ), Ȯ = Ṗ·V + P·V̇
    ([dq, dk, dv]) => {
      const [y, dy] = [place("wideAttention"), place("tangent of wideAttention")];
      const products = 2 + Number(!!dq) + Number(!!dk) + Number(!!(dq ?? dk)) + Number(!!dv);
      recording().flops += 2 * products * B * N * S * width;
      inBlocks(({ shape, firstQuery, score, mix }) => {
        const [logits, dLogits] = [result(shape, "logits"), result(shape, "tangent of logits")];
        score(q.tensor, k.tensor, logits);
        if (dq) score(dq, k.tensor, dLogits);
        if (dk) score(q.tensor, dk, dLogits, !!dq);
        softmax(logits, firstQuery, causal);
        mix(logits, v.tensor, y);
        if (dq ?? dk) {
          softmaxTangent(logits, dLogits);
          mix(dLogits, v.tensor, dy);
        }
        if (dv) mix(logits, dv, dy, !!(dq ?? dk));
      });
      return { y, dy };
    },
  );
}

/** Left and right operand, where the product goes, whether it is added there. */
type Product = (left: Tensor, right: Tensor, out: Tensor, adds?: boolean) => void;

/** Some queries of some items. */
interface Block {
  /** of the logits */
  readonly shape: readonly number[];
  readonly firstQuery: number;
  readonly score: Product;
  readonly mix: Product;
}

/** Each row of Ṡ becomes P ⊙ (Ṡ − Σ P ⊙ Ṡ); hidden keys have a weight of 0, and so they stay without a tangent. One workgroup a row. */
const softmaxMoves = kernel({
  name: "softmax, tangent",
  params: { rows: "u32", keys: "u32" },
  read: { weights: "f32" },
  write: { dLogits: "f32" },
  functions: sumOfWorkgroup("f32"),
  main: /* wgsl */ `
  let asked = group;
  // A workgroup beyond the end repeats the last row, so that every invocation meets every barrier.
  let start = min(asked, p.rows - 1u) * p.keys;
  var sum = 0.0;
  for (var j0 = lane; j0 < p.keys; j0 += WORKGROUP * 64u) {
    var part = 0.0;
    for (var j = j0; j < min(p.keys, j0 + WORKGROUP * 64u); j += WORKGROUP) { part += weights[start + j] * dLogits[start + j]; }
    sum += part;
  }
  let mean = sumOfWorkgroup(lane, sum);
  if (asked >= p.rows) { return; }
  for (var j = lane; j < p.keys; j += WORKGROUP) { dLogits[start + j] = weights[start + j] * (dLogits[start + j] - mean); }`,
});

function softmaxTangent(weights: Tensor, dLogits: Tensor): void {
  const keys = weights.dim(-1);
  softmaxMoves({
    params: { rows: weights.rows, keys },
    read: { weights },
    write: { dLogits },
    workgroup: recording().gpu.adapter.software ? 1 : keys <= 32 ? 32 : 128,
    workgroups: weights.rows,
  });
}

function softmax(logits: Tensor, firstQuery: number, causal: boolean): void {
  const [batch, queries, keys] = logits.shape;
  const { software } = recording().gpu.adapter;
  // One lane a row on a CPU, where barriers are dear, and for short rows; norm.ts has the same rule.
  const [lanes, rows] = software ? [1, 8] : keys <= 32 ? [1, 64] : [128, 1];
  softmaxRows({
    constants: { LANES: lanes, ROWS: rows, CAUSAL: causal },
    params: { rows: batch * queries, queries, firstQuery, keys },
    read: {},
    write: { logits },
    workgroup: lanes * rows,
    workgroups: Math.ceil((batch * queries) / rows),
  });
}
