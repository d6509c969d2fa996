/**
 * The programs behind linear.ts. m row, n output column, k input column; W is read as Wᵀ (K, N padded to 8).
 *
 * quads: for adapters with subgroups. The four invocations of a quad own 16 rows × 16 columns: each reads its own row of a group
 * of four and its own four columns, and quad swaps hand the rows round, so that for 64 multiply-adds an invocation reads
 * four values of x and four of W where the tile below reads eight and eight. Quads of 4 and 8 rows serve small batches.
 * tile: for adapters without. One invocation owns 8 rows × 8 columns as four 4×4 matrices.
 * naive: one output an invocation: the second reference, and the floor every other variant must beat.
 *
 * Neither uses workgroup memory: on a CPU adapter it only costs. The tile adds sums of 64 terms, quads of 32, to a second accumulator, which
 * keeps the rounding error of long sums near that of a pairwise sum.
 *
 * What decides on SwiftShader 5.0.0 (2026-11-22): a float read from storage costs a subgroup of four 10 ns (25 with bounds checks, see
 * open.node.ts), a multiply-add or a swap 1 ns, an accumulator carried round a loop 1 ns, and text beyond the instruction
 * cache slows everything. GFLOP per CPU second at 160×384×96 and 468×680×128: quads 2.2 and 2.1; 32 rows 2.1 and 2.3 but 2 to 3 s to build
 * instead of 1; the tile 0.8 and 0.6; rows given round by broadcast, 16 × 32 a workgroup, 1.8 and 1.6.
 */
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { SIGMOID } from "./math.ts";
import { SUBGROUPS } from "./variants.ts";

/** How eight columns of one row of Wᵀ are read as two vec4, for each storage type. */
export const READ_WEIGHT = {
  f32: /* wgsl */ `
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
fn weight8(row: u32, group: u32) -> array<vec4f, 2> {
  let at = row * (p.padded / 4u) + group * 2u;
  return array(w[at], w[at + 1u]);
}`,
  bf16: /* wgsl */ `
@group(0) @binding(2) var<storage, read> w: array<vec4u>;
fn weight8(row: u32, group: u32) -> array<vec4f, 2> {
  let packed = w[row * (p.padded / 8u) + group];
  let even = bitcast<vec4f>(packed << vec4u(16u));
  let odd = bitcast<vec4f>(packed & vec4u(0xffff0000u));
  return array(vec4f(even.x, odd.x, even.y, odd.y), vec4f(even.z, odd.z, even.w, odd.w));
}`,
} as const;

/** How four columns of one row of Wᵀ are read; `group` counts by four. */
const READ_WEIGHT4 = {
  f32: /* wgsl */ `
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
fn w4(row: u32, group: u32) -> vec4f { return w[row * (p.padded / 4u) + group]; }`,
  bf16: /* wgsl */ `
@group(0) @binding(2) var<storage, read> w: array<vec2u>;
fn w4(row: u32, group: u32) -> vec4f {
  let packed = w[row * (p.padded / 4u) + group];
  let even = bitcast<vec2f>(packed << vec2u(16u));
  let odd = bitcast<vec2f>(packed & vec2u(0xffff0000u));
  return vec4f(even.x, odd.x, even.y, odd.y);
}`,
} as const;

/** The gate of one element; its table is bound in the place of the residual. */
const GATE = {
  open: /* wgsl */ `fn gate(m: u32, column: u32) -> f32 { return 1.0; }`,
  gated: /* wgsl */ `${SIGMOID}
fn gate(m: u32, column: u32) -> f32 {
  return sigmoid(residual[rowOf[m] * p.gateWidth + p.gateAt + column] + p.gateShift);
}`,
} as const;

/** What every variant shares: its bindings, and how a sum becomes an output. */
export const HEADER = (
  x: "f32" | "vec4f",
  activation: Activation,
  gate: "open" | "gated",
): string => /* wgsl */ `
struct Params {
  rows: u32, inner: u32, columns: u32, padded: u32, first: u32, width: u32, start: u32, gateWidth: u32, gateAt: u32, gateShift: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<${x}>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> rowOf: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
override BIAS: bool;
override RESIDUAL: bool;
${ACTIVATIONS[activation]}
${GATE[gate]}

fn store(m: u32, n: u32, sum: f32) {
  if (m >= p.rows || n >= p.columns) { return; }
  let column = p.first + n;
  var value = sum;
  if (BIAS) { value += bias[column]; }
  value = activate(value);
  let at = m * p.width + column;
  if (RESIDUAL) { value += residual[at]; }
  y[p.start + at] = value * gate(m, column);
}
fn store4(m: u32, n: u32, sum: vec4f) {
  store(m, n, sum.x); store(m, n + 1u, sum.y); store(m, n + 2u, sum.z); store(m, n + 3u, sum.w);
}
`;

const TILE = (dtype: "f32" | "bf16"): string => /* wgsl */ `
${READ_WEIGHT[dtype]}
// Four rows (a) times four columns (b): column i of the result is row i of the tile.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}

fn storeTile(m: u32, n: u32, tile: mat4x4f) {
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) { store(m + i, n + j, tile[i][j]); }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let groups = p.padded / 8u;
  let tile = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let m = tile / groups * 8u;
  let group = tile % groups;
  if (m >= p.rows) { return; }
  // Rows beyond the end repeat the last one; they are not stored.
  let last = p.rows - 1u;
  let r0 = m * p.inner;
  let r1 = min(m + 1u, last) * p.inner;
  let r2 = min(m + 2u, last) * p.inner;
  let r3 = min(m + 3u, last) * p.inner;
  let r4 = min(m + 4u, last) * p.inner;
  let r5 = min(m + 5u, last) * p.inner;
  let r6 = min(m + 6u, last) * p.inner;
  let r7 = min(m + 7u, last) * p.inner;
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var k0 = 0u; k0 < p.inner; k0 += 64u) {
    var part00 = mat4x4f(); var part01 = mat4x4f();
    var part10 = mat4x4f(); var part11 = mat4x4f();
    for (var k = k0; k < min(k0 + 64u, p.inner); k++) {
      let b = weight8(k, group);
      let upper = vec4f(x[r0 + k], x[r1 + k], x[r2 + k], x[r3 + k]);
      let lower = vec4f(x[r4 + k], x[r5 + k], x[r6 + k], x[r7 + k]);
      part00 += outer(upper, b[0]); part01 += outer(upper, b[1]);
      part10 += outer(lower, b[0]); part11 += outer(lower, b[1]);
    }
    sum00 += part00; sum01 += part01;
    sum10 += part10; sum11 += part11;
  }
  let n = group * 8u;
  storeTile(m, n, sum00); storeTile(m, n + 4u, sum01);
  storeTile(m + 4u, n, sum10); storeTile(m + 4u, n + 4u, sum11);
}
`;

/** Rows of one quad, as blocks of four; fewer waste less on small batches. */
export const quadBlocks = (rows: number): number => (rows <= 4 ? 1 : rows <= 8 ? 2 : 4);

/** `blocks` × 4 rows and 16 columns a quad; `aligned`: K is a multiple of 4. */
const QUADS = (dtype: "f32" | "bf16", blocks: number, aligned: boolean): string => {
  const each = (line: (i: number) => string): string =>
    Array.from({ length: blocks }, (_, i) => line(i)).join("\n");
  const step = (k: string, x: (i: number) => string): string => /* wgsl */ `{
        let b = w4(${k}, column);
${each((i) => `        part${i} += outer(quad(${x(i)}), b);`)}
      }`;
  return /* wgsl */ `
${READ_WEIGHT4[dtype]}
${aligned ? "fn x4(at: u32) -> vec4f { return x[at / 4u]; }" : "fn x4(at: u32) -> vec4f { return vec4f(x[at], x[at + 1u], x[at + 2u], x[at + 3u]); }"}

// The values of all four lanes: of this one, of its neighbour in x, in y, and across.
fn quad(v: f32) -> vec4f { return vec4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }

// Four rows (a) times four columns (b): column i of the result is row i of the tile.
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) index: u32) {
  let lane = index % 4u;
  let tile = (wg.x + wg.y * grid.x) * (WORKGROUP / 4u) + index / 4u;
  let groups = (p.padded + 15u) / 16u;
  let m = tile / groups * ${4 * blocks}u;
  let n = tile % groups * 16u + lane * 4u;
  // Rows and columns beyond the end repeat the last ones; they are not stored.
  let column = min(n, p.padded - 4u) / 4u;
${each((i) => `  let row${i} = min(m + ${4 * i}u + lane, p.rows - 1u) * p.inner;`)}
${each((i) => `  var sum${i} = mat4x4f();`)}
  let even = p.inner & ~3u;
  for (var k0 = 0u; k0 < even; k0 += 32u) {
${each((i) => `    var part${i} = mat4x4f();`)}
    for (var k = k0; k < min(k0 + 32u, even); k += 4u) {
${each((i) => `      let a${i} = x4(row${i} + k);`)}
      ${step("k", (i) => `a${i}.x`)}
      ${step("k + 1u", (i) => `a${i}.y`)}
      ${step("k + 2u", (i) => `a${i}.z`)}
      ${step("k + 3u", (i) => `a${i}.w`)}
    }
${each((i) => `    sum${i} += part${i};`)}
  }
${
  aligned
    ? ""
    : `{
${each((i) => `  var part${i} = mat4x4f();`)}
    for (var k = even; k < p.inner; k++) {
      ${step("k", (i) => `x[row${i} + k]`)}
    }
${each((i) => `    sum${i} += part${i};`)}
  }`
}
  // In memory, so that one piece of text stores every row.
  var tiles = array(${Array.from({ length: blocks }, (_, i) => `sum${i}`).join(", ")});
  for (var r = 0u; r < ${4 * blocks}u; r++) {
    store4(m + r / 4u * 4u + (lane ^ (r % 4u)), n, tiles[r / 4u][r % 4u]);
  }
}
`;
};

const NAIVE = (dtype: "f32" | "bf16"): string => /* wgsl */ `
${READ_WEIGHT[dtype]}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let m = index / p.columns;
  let n = index % p.columns;
  if (m >= p.rows) { return; }
  var sum = 0.0;
  for (var k = 0u; k < p.inner; k++) { sum += x[m * p.inner + k] * weight8(k, n / 8u)[n / 4u % 2u][n % 4u]; }
  store(m, n, sum);
}
`;

export interface LinearShape {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  /** columns with their padding */
  readonly padded: number;
}

/** What runs for one shape: a program and how many invocations of it. */
export interface LinearProgram {
  /** changes whenever the text does */
  readonly key: string;
  readonly body: (dtype: "f32" | "bf16") => string;
  /** how x is bound */
  readonly x: "f32" | "vec4f";
  readonly invocations: number;
}

export const VARIANTS = {
  quads: {
    needs: SUBGROUPS,
    program: ({ rows, inner, padded }: LinearShape): LinearProgram => {
      const blocks = quadBlocks(rows);
      const aligned = inner % 4 === 0;
      return {
        key: `quads ${blocks} ${aligned}`,
        body: (dtype) => QUADS(dtype, blocks, aligned),
        x: aligned ? "vec4f" : "f32",
        invocations: Math.ceil(rows / (4 * blocks)) * Math.ceil(padded / 16) * 4,
      };
    },
  },
  tile: {
    needs: undefined,
    program: ({ rows, padded }: LinearShape): LinearProgram => ({
      key: "tile",
      body: TILE,
      x: "f32",
      invocations: Math.ceil(rows / 8) * (padded / 8),
    }),
  },
  naive: {
    needs: undefined,
    program: ({ rows, columns }: LinearShape): LinearProgram => ({
      key: "naive",
      body: NAIVE,
      x: "f32",
      invocations: rows * columns,
    }),
  },
} as const;
