/**
 * The programs behind linear.ts. m row, n output column, k input column; W is read as Wᵀ (K, N padded to 8).
 *
 * quads: for adapters with subgroups. The four invocations of a quad own 16 rows × 16 columns: each reads its own row of a group
 * of four and its own four columns, and quad swaps hand the rows round, so that for 64 multiply-adds an invocation reads
 * four values of x and four of W where the tile below reads eight and eight. Quads of 4 and 8 rows serve small batches.
 * tile: for adapters without. One invocation owns 8 rows × 8 columns as four 4×4 matrices.
 * shared64, shared128, split: for real GPUs, through workgroup memory.
 * naive: one output an invocation: the second reference, and the floor every other variant must beat.
 *
 * Quads and the tile use no workgroup memory: on a CPU adapter it only costs. The tile adds sums of 64 terms, quads of 32, to a second accumulator, which
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

/**
 * For real GPUs: a workgroup of side² owns 8·side rows and columns, an invocation 8 × 8 of them in registers; 16 columns of x and
 * rows of Wᵀ at a time pass through workgroup memory, 8 KB at side 8 and 16 KB at side 16. The next part is read into registers
 * while this one is multiplied. Written after the shapes that win in public measurements; not timed on a real GPU yet.
 */
const SHARED = (dtype: "f32" | "bf16", side: 8 | 16): string => /* wgsl */ `
${READ_WEIGHT4[dtype]}
const SIDE = ${side}u;
const QUADS = 2u * SIDE; // vec4s across the tile
const DEPTH = 16u;
const ITEMS = DEPTH * QUADS / (SIDE * SIDE);
var<workgroup> xs: array<vec4f, DEPTH * QUADS>; // [k][four rows]
var<workgroup> ws: array<vec4f, DEPTH * QUADS>; // [k][four columns]

// Beyond K both operands are zero; rows and columns beyond the end repeat the last ones and are not stored.
fn x4(m: u32, k: u32) -> vec4f {
  if (k >= p.inner) { return vec4f(); }
  let at = min(vec4u(m) + vec4u(0u, 1u, 2u, 3u), vec4u(p.rows - 1u)) * p.inner + k;
  return vec4f(x[at.x], x[at.y], x[at.z], x[at.w]);
}
fn b4(k: u32, n: u32) -> vec4f {
  if (k >= p.inner) { return vec4f(); }
  return w4(k, min(n, p.padded - 4u) / 4u);
}
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(b * a.x, b * a.y, b * a.z, b * a.w);
}
fn storeTile(m: u32, n: u32, tile: mat4x4f) {
  store4(m, n, tile[0]); store4(m + 1u, n, tile[1]); store4(m + 2u, n, tile[2]); store4(m + 3u, n, tile[3]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (p.padded + 4u * QUADS - 1u) / (4u * QUADS);
  let tile = wg.x + wg.y * grid.x;
  let m0 = tile / across * 4u * QUADS;
  let n0 = tile % across * 4u * QUADS;
  if (m0 >= p.rows) { return; }
  let row = lane / SIDE;
  let column = lane % SIDE;
  var nextX: array<vec4f, ITEMS>;
  var nextW: array<vec4f, ITEMS>;
  for (var i = 0u; i < ITEMS; i++) {
    let item = lane + i * WORKGROUP;
    nextX[i] = x4(m0 + item / DEPTH * 4u, item % DEPTH);
    nextW[i] = b4(item / QUADS, n0 + item % QUADS * 4u);
  }
  var sum00 = mat4x4f(); var sum01 = mat4x4f();
  var sum10 = mat4x4f(); var sum11 = mat4x4f();
  for (var k0 = 0u; k0 < p.inner; k0 += DEPTH) {
    for (var i = 0u; i < ITEMS; i++) {
      let item = lane + i * WORKGROUP;
      xs[item % DEPTH * QUADS + item / DEPTH] = nextX[i];
      ws[item] = nextW[i];
    }
    workgroupBarrier();
    for (var i = 0u; i < ITEMS; i++) {
      let item = lane + i * WORKGROUP;
      nextX[i] = x4(m0 + item / DEPTH * 4u, k0 + DEPTH + item % DEPTH);
      nextW[i] = b4(k0 + DEPTH + item / QUADS, n0 + item % QUADS * 4u);
    }
    for (var k = 0u; k < DEPTH; k++) {
      let a0 = xs[k * QUADS + row]; let a1 = xs[k * QUADS + SIDE + row];
      let b0 = ws[k * QUADS + column]; let b1 = ws[k * QUADS + SIDE + column];
      sum00 += outer(a0, b0); sum01 += outer(a0, b1);
      sum10 += outer(a1, b0); sum11 += outer(a1, b1);
    }
    workgroupBarrier();
  }
  let m = m0 + row * 4u;
  let n = n0 + column * 4u;
  let far = 4u * SIDE;
  storeTile(m, n, sum00); storeTile(m, n + far, sum01);
  storeTile(m + far, n, sum10); storeTile(m + far, n + far, sum11);
}
`;

/**
 * For few rows on real GPUs, where one pass over W is all there is: a workgroup of 64 owns four rows and 32 columns, in eight slices
 * of K that meet in workgroup memory. Not timed on a real GPU yet.
 */
const SPLIT = (dtype: "f32" | "bf16"): string => /* wgsl */ `
${READ_WEIGHT4[dtype]}
const SLICES = 8u;
var<workgroup> partial: array<vec4f, SLICES * 32u>; // [slice][row][four columns]

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let across = (p.padded + 31u) / 32u;
  let tile = wg.x + wg.y * grid.x;
  let m = tile / across * 4u;
  let n = tile % across * 32u + lane % 8u * 4u;
  if (m >= p.rows) { return; }
  let slice = lane / 8u;
  let column = min(n, p.padded - 4u) / 4u;
  let row = min(vec4u(m) + vec4u(0u, 1u, 2u, 3u), vec4u(p.rows - 1u)) * p.inner;
  var sum = mat4x4f();
  for (var k = slice; k < p.inner; k += SLICES) {
    let b = w4(k, column);
    sum += mat4x4f(b * x[row.x + k], b * x[row.y + k], b * x[row.z + k], b * x[row.w + k]);
  }
  for (var r = 0u; r < 4u; r++) { partial[slice * 32u + r * 8u + lane % 8u] = sum[r]; }
  workgroupBarrier();
  if (lane >= 32u) { return; }
  var total = vec4f();
  for (var i = 0u; i < SLICES; i++) { total += partial[i * 32u + lane]; }
  store4(m + lane / 8u, n, total);
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
  /** invocations a workgroup, when the program is written for a number of its own */
  readonly workgroup?: number;
}

const sharedProgram =
  (side: 8 | 16) =>
  ({ rows, padded }: LinearShape): LinearProgram => {
    const tiles = Math.ceil(rows / (8 * side)) * Math.ceil(padded / (8 * side));
    return {
      key: `shared ${side}`,
      body: (dtype) => SHARED(dtype, side),
      x: "f32",
      invocations: tiles * side * side,
      workgroup: side * side,
    };
  };

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
  shared64: { needs: undefined, program: sharedProgram(8) },
  shared128: { needs: undefined, program: sharedProgram(16) },
  split: {
    needs: undefined,
    program: ({ rows, padded }: LinearShape): LinearProgram => ({
      key: "split",
      body: SPLIT,
      x: "f32",
      invocations: Math.ceil(rows / 4) * Math.ceil(padded / 32) * 64,
      workgroup: 64,
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

type LinearVariant = keyof typeof VARIANTS;

/** Shapes of one class run the same variant; a class is timed by its typical shape, see selection.ts. */
export const SHAPE_CLASSES = {
  few: { rows: 2, inner: 512, columns: 3072 },
  some: { rows: 33, inner: 512, columns: 1536 },
  many: { rows: 2048, inner: 1024, columns: 1024 },
} as const;

export const shapeClass = (rows: number): keyof typeof SHAPE_CLASSES =>
  rows <= 8 ? "few" : rows < 256 ? "some" : "many";

/** Candidates for a class on a real GPU, the likeliest first: the first is used where nothing was timed. */
export const ON_GPU: Readonly<Record<keyof typeof SHAPE_CLASSES, readonly LinearVariant[]>> = {
  few: ["split", "quads", "tile"],
  some: ["shared64", "quads", "tile", "split"],
  many: ["shared128", "shared64", "tile", "quads"],
};

/** On a CPU adapter the order is fixed: two runs on it must give the same bits. */
export const ON_CPU: readonly LinearVariant[] = ["quads", "tile"];
