/**
 * The pool in one dispatch whose cost hardly depends on the number of entries, on weights folded by `foldPool`. A workgroup owns
 * TOKENS tokens: LANES invocations share out the dot products (GROUP a pair of token and entry), then the channels of the mix, then (four
 * columns × a slice of k) of the two projections, each weight read serving all the tokens.
 *
 * SwiftShader 5.0.0, 2 cores, 2026-11-22, D = 128, R·r = 128, 350 tokens, 6 entries, CPU time (the machine was shared): 8
 * lanes × 4 tokens 130 ms; 4 lanes 134, 16 lanes 127, 32 lanes 170, 1 lane 439, 2 tokens 163. Not yet timed on a real GPU.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { result, type Tensor } from "../../tensor/tensor.ts";
import { type Form, kernel } from "../kernel.ts";
import { EXP } from "../math.ts";
import { BOUNDS } from "../nan.ts";
import { each } from "../text.ts";
import {
  FLOAT32_EPSILON,
  POOL_KV_HEADS,
  type PoolEnd,
  type PoolShape,
  type PoolWeights,
  up4,
} from "./pool.ts";

const NORMS = {
  l2: {
    factor: "sqrt(f32(DIM)) / atLeast(sqrt(square[t]), p.normEpsilon)",
    value: "x * (1.0 + table[at + p.scaleAt + d]) + table[at + p.shiftAt + d]",
  },
  rms: { factor: "inverseSqrt(square[t] / f32(DIM) + p.normEpsilon)", value: "x * table[d]" },
} as const;

interface PoolForm extends Form {
  readonly kind: keyof typeof NORMS;
  readonly heads: number;
  /** a workgroup */
  readonly tokens: number;
}

const pool = kernel({
  name: "history pool",
  params: {
    ...{ tokens: "u32", entries: "u32", perItem: "u32", shiftFrom: "u32" },
    ...{ tableWidth: "u32", scaleAt: "u32", shiftAt: "u32", epsilon: "f32", normEpsilon: "f32" },
  },
  constants: {
    ...{ GROUP: "u32", DIM: "u32", DIM4: "u32", WIDTH: "u32" /* r */, WIDTH4: "u32", SHIFT: "bool" },
    /** most entries that a pool of this model sees */
    ENTRIES: "u32",
    /** of k in the value projection */
    SLICES: "u32",
  },
  read: { history: "f32", w: "vec4f", table: "f32", "rowOf?": "u32" },
  write: { y: "f32" },
  functions: ({ heads, tokens }: PoolForm) => {
    const heads4 = up4(heads);
    return /* wgsl */ `
const HEADS = ${heads}u;
const HEADS4 = ${heads4}u;
const TOKENS = ${tokens}u;
var<workgroup> weight: array<f32, TOKENS * ENTRIES * HEADS>;
var<workgroup> scale: array<f32, TOKENS * ENTRIES>;
var<workgroup> mixed: array<f32, TOKENS * DIM>; // of one head; later z
var<workgroup> values: array<f32, TOKENS * HEADS * WIDTH4 * 4u>;
var<workgroup> partial: array<vec4f, WORKGROUP * ${Math.max(tokens, heads4 + 1)}u>;
${EXP}
${BOUNDS}
fn entry(t: u32, m: u32, first: u32) -> u32 { return (m * p.tokens + min(first + t, p.tokens - 1u)) * DIM; }

// Logits of every (token, entry) pair, and the entry's own norm factor.
fn logits(first: u32, lane: u32) {
  let pairs = TOKENS * p.entries;
  let member = lane % GROUP;
  for (var base = 0u; base < pairs; base += WORKGROUP / GROUP) {
    let pair = base + lane / GROUP;
    let start = entry(pair / p.entries, pair % p.entries, first);
${each(heads4, (h) => `    var dot${h} = vec4f();`)}
    var squares = 0.0;
    if (pair < pairs) {
      for (var d = member; d < DIM; d += GROUP) {
        let x = history[start + d];
        squares += x * x;
${each(heads4, (h) => `        dot${h} += x * w[d * HEADS4 + ${h}u];`)}
      }
    }
    let slot = lane * (HEADS4 + 1u);
${each(heads4, (h) => `    partial[slot + ${h}u] = dot${h};`)}
    partial[slot + HEADS4] = vec4f(squares);
    workgroupBarrier();
    if (member == 0u && pair < pairs) {
      var sums = array<vec4f, HEADS4 + 1u>();
      for (var i = 0u; i < GROUP; i++) {
        for (var h = 0u; h <= HEADS4; h++) { sums[h] += partial[slot + i * (HEADS4 + 1u) + h]; }
      }
      let factor = inverseSqrt(sums[HEADS4].x / f32(DIM) + p.epsilon);
      scale[pair] = factor;
      for (var j = 0u; j < HEADS; j++) { weight[pair * HEADS + j] = sums[j / 4u][j % 4u] * factor; }
    }
    workgroupBarrier();
  }
}

// Softmax over the entries; the entry's norm factor goes into its weight.
fn softmax(lane: u32) {
  for (var i = lane; i < TOKENS * HEADS; i += WORKGROUP) {
    let pair = i / HEADS * p.entries;
    let j = i % HEADS;
    var highest = weight[pair * HEADS + j];
    for (var m = 1u; m < p.entries; m++) { highest = max(highest, weight[(pair + m) * HEADS + j]); }
    var sum = 0.0;
    for (var m = 0u; m < p.entries; m++) {
      let e = exp_(weight[(pair + m) * HEADS + j] - highest);
      weight[(pair + m) * HEADS + j] = e;
      sum += e;
    }
    for (var m = 0u; m < p.entries; m++) { weight[(pair + m) * HEADS + j] *= scale[pair + m] / sum; }
  }
  workgroupBarrier();
}

// The value of head j: its mix of entries, projected.
fn valueOf(j: u32, first: u32, lane: u32) {
  for (var i = lane; i < TOKENS * DIM; i += WORKGROUP) {
    let t = i / DIM;
    var sum = 0.0;
    for (var m = 0u; m < p.entries; m++) {
      sum += weight[(t * p.entries + m) * HEADS + j] * history[entry(t, m, first) + i % DIM];
    }
    mixed[i] = sum;
  }
  workgroupBarrier();
  let start = DIM * HEADS4 + j % ${POOL_KV_HEADS}u * WIDTH4;
  for (var base = 0u; base < WIDTH4 * SLICES; base += WORKGROUP) {
    let quad = (base + lane) % WIDTH4;
    let slice = (base + lane) / WIDTH4;
${each(tokens, (t) => `    var sum${t} = vec4f();`)}
    if (slice < SLICES) {
      for (var k = slice * DIM / SLICES; k < (slice + 1u) * DIM / SLICES; k++) {
        let column = w[start + k * ${POOL_KV_HEADS}u * WIDTH4 + quad];
${each(tokens, (t) => `        sum${t} += column * mixed[${t}u * DIM + k];`)}
      }
    }
${each(tokens, (t) => `    partial[lane * TOKENS + ${t}u] = sum${t};`)}
    workgroupBarrier();
    // Slices beyond the first are in the same round: SLICES is 1 where the columns alone outnumber the lanes.
    if (slice == 0u) {
      for (var t = 0u; t < TOKENS; t++) {
        var sum = vec4f();
        for (var s = 0u; s < SLICES; s++) { sum += partial[(lane + s * WIDTH4) * TOKENS + t]; }
        for (var e = 0u; e < 4u; e++) { values[(t * HEADS + j) * WIDTH4 * 4u + quad * 4u + e] = sum[e]; }
      }
    }
    workgroupBarrier();
  }
}

// z = W_out · values, and the sum of its squares a token.
fn project(lane: u32) {
  let start = DIM * (HEADS4 + ${POOL_KV_HEADS}u * WIDTH4);
  for (var quad = lane; quad < DIM4; quad += WORKGROUP) {
${each(tokens, (t) => `    var sum${t} = vec4f();`)}
    for (var j = 0u; j < HEADS; j++) {
      for (var e = 0u; e < WIDTH; e++) {
        let column = w[start + (j * WIDTH + e) * DIM4 + quad];
${each(tokens, (t) => `        sum${t} += column * values[(${t}u * HEADS + j) * WIDTH4 * 4u + e];`)}
      }
    }
    for (var e = 0u; e < min(4u, DIM - quad * 4u); e++) {
${each(tokens, (t) => `      mixed[${t}u * DIM + quad * 4u + e] = sum${t}[e];`)}
    }
  }
  workgroupBarrier();
}

fn place(token: u32, d: u32, value: f32) {
  let position = token % p.perItem;
  if (!SHIFT || d < (DIM + 1u) / 2u || position < p.shiftFrom) { y[token * DIM + d] = value; return; }
  if (position == p.shiftFrom) { y[token * DIM + d] = 0.0; }
  if (position + 1u < p.perItem) { y[(token + 1u) * DIM + d] = value; }
}`;
  },
  main: ({ kind }) => /* wgsl */ `
  let first = group * TOKENS;
  logits(first, lane);
  softmax(lane);
  for (var j = 0u; j < HEADS; j++) { valueOf(j, first, lane); }
  project(lane);
  for (var t = 0u; t < TOKENS; t++) {
    var squares = 0.0;
    for (var d = lane; d < DIM; d += WORKGROUP) { squares += mixed[t * DIM + d] * mixed[t * DIM + d]; }
    partial[lane * TOKENS + t] = vec4f(squares);
  }
  workgroupBarrier();
  var square: array<f32, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) {
    for (var l = 0u; l < WORKGROUP; l++) { square[t] += partial[l * TOKENS + t].x; }
  }
  for (var t = 0u; t < TOKENS; t++) {
    let token = first + t;
    if (token >= p.tokens) { return; }
    let factor = ${NORMS[kind].factor};
    let at = rowOf[${kind === "l2" ? "token" : "0u"}] * p.tableWidth;
    for (var d = lane; d < DIM; d += WORKGROUP) {
      let x = mixed[t * DIM + d] * factor;
      place(token, d, ${NORMS[kind].value});
    }
  }`,
});

/** The first `entries` of the history (E, B, N, D), pooled and normalised: (B, N, D). */
export function poolFused(
  history: Tensor,
  entries: number,
  weights: Extract<PoolWeights, { kind: "fused" }>,
  shape: PoolShape,
  end: PoolEnd,
  plan: FusedPlan,
): Tensor {
  const [most, batch, perItem, dim] = history.shape;
  const tokens = batch * perItem;
  const y = result([batch, perItem, dim], "pool");
  const { norm: n, shiftFrom } = end;
  const l2 = n.kind === "l2" ? n : undefined;
  pool({
    form: { kind: n.kind, heads: shape.heads, tokens: plan.tokens },
    constants: {
      ...{ GROUP: plan.group, DIM: dim, DIM4: up4(dim), WIDTH: shape.headDim, WIDTH4: up4(shape.headDim) },
      ...{ ENTRIES: most, SLICES: plan.slices, SHIFT: shiftFrom !== undefined },
    },
    params: {
      ...{ tokens, entries, perItem, shiftFrom: shiftFrom ?? 0 },
      ...{
        tableWidth: l2?.modulation.table.dim(-1) ?? 0,
        scaleAt: l2?.at.scale ?? 0,
        shiftAt: l2?.at.shift ?? 0,
      },
      ...{ epsilon: FLOAT32_EPSILON, normEpsilon: n.epsilon },
    },
    read: {
      ...{ history, w: weights.folded, rowOf: l2?.modulation.rowOf },
      table: n.kind === "l2" ? n.modulation.table : n.weight,
    },
    write: { y },
    workgroup: plan.lanes,
    workgroups: Math.ceil(tokens / plan.tokens),
  });
  return y;
}

/** How a pool of so many tokens is shared out. */
export interface FusedPlan {
  readonly tokens: number;
  readonly lanes: number;
  readonly group: number;
  readonly slices: number;
}

const lanesOf = (gpu: Gpu): number => (gpu.adapter.software ? 8 : 128);

/** Bytes of workgroup memory for so many tokens a workgroup. */
export function fusedBytes(
  gpu: Gpu,
  { dim, heads, headDim }: PoolShape,
  most: number,
  tokens: number,
): number {
  const numbers = tokens * (most * (heads + 1) + dim + heads * 4 * up4(headDim));
  return 4 * numbers + 16 * lanesOf(gpu) * Math.max(tokens, up4(heads) + 1) + 64;
}

/** The most tokens a workgroup that fit its memory and still leave enough workgroups; undefined when not even one fits. */
export function planFused(gpu: Gpu, shape: PoolShape, most: number, tokens: number): FusedPlan | undefined {
  const { maxComputeWorkgroupStorageSize: room } = gpu.device.limits;
  const { software } = gpu.adapter;
  const lanes = lanesOf(gpu);
  const group = software ? 1 : 8;
  const slices = Math.max(1, Math.floor(lanes / up4(shape.headDim)));
  for (const t of software || tokens > 512 ? [4, 2, 1] : tokens > 128 ? [2, 1] : [1]) {
    if (fusedBytes(gpu, shape, most, t) <= room) return { tokens: t, lanes, group, slices };
  }
  return undefined;
}
