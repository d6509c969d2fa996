/**
 * y[m, n] = act(Σ_k x[m, k] · W[n, k] + bias[n]) · σ(M[rowOf[m], at + n] + shift) + residual[m, n]
 *
 * Layout: x (…, K) and y (…, N) row-major; W packed as Wᵀ (K, N padded to 8), see packed-weight.ts.
 *
 * Tile: one invocation owns 8 rows × 8 columns as four 4×4 matrices in registers; a step of k costs 8 scalars of x and
 * two vec4 of W for 64 multiply-adds. No workgroup memory: on a CPU adapter it only costs, and the portable tile
 * must run there. Sums of 64 terms are added to a second accumulator, which keeps the rounding error of long sums
 * near that of a pairwise sum.
 *
 * SwiftShader 5.0.0, 2 cores, 2026-11-22, 640×384×96 and 1040×684×128: 1.5 to 1.8 GFLOP/s; lost to it: W as stored with
 * vec4 along k (0.7 to 1.0), a 4×8 tile (1.0), workgroups of 64 (0.8 to 1.1).
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import type { PackedWeight } from "../tensor/packed-weight.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { SIGMOID } from "./math.ts";
import { choose, invocations } from "./variants.ts";

export interface LinearOptions {
  /** (N) */
  readonly bias?: Tensor;
  readonly activation?: Activation;
  /** same shape as the result; added after the activation */
  readonly residual?: Tensor;
  /** a gate a channel, by a row of a modulation table; not together with a residual */
  readonly gate?: LinearGate;
  /** where the rows of the result go, when not to a tensor of their own */
  readonly into?: RowsOf;
}

/** σ(table[rowOf[m], at + n] + shift) */
export interface LinearGate {
  /** (R, width) */
  readonly table: Tensor;
  /** (rows of x), u32 */
  readonly rowOf: Tensor;
  readonly at: number;
  readonly shift: number;
}

/** Consecutive rows of a larger tensor, written in place. */
export interface RowsOf {
  readonly tensor: Tensor;
  readonly firstRow: number;
}

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

/** The gate of one element; its table is bound in the place of the residual. */
const GATE = {
  open: /* wgsl */ `fn gate(m: u32, column: u32) -> f32 { return 1.0; }`,
  gated: /* wgsl */ `${SIGMOID}
fn gate(m: u32, column: u32) -> f32 {
  return sigmoid(residual[rowOf[m] * p.gateWidth + p.gateAt + column] + p.gateShift);
}`,
} as const;

const HEADER = (dtype: "f32" | "bf16", activation: Activation, gate: "open" | "gated"): string => /* wgsl */ `
struct Params {
  rows: u32, inner: u32, columns: u32, padded: u32, first: u32, width: u32, start: u32, gateWidth: u32, gateAt: u32, gateShift: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read> rowOf: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;
override BIAS: bool;
override RESIDUAL: bool;
${READ_WEIGHT[dtype]}
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
`;

const TILE = /* wgsl */ `
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

/** One invocation an output: the second reference, and the floor every other variant must beat. */
const NAIVE = /* wgsl */ `
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

const VARIANTS = {
  tile: { body: TILE, rows: 8, columns: 8 },
  naive: { body: NAIVE, rows: 1, columns: 1 },
} as const;

/**
 * A linear map over the last axis: (…, K) → (…, N).
 * @throws UsageError when K, the bias, the residual, the gate or the place for the result do not fit
 */
export function linear(x: Tensor, w: PackedWeight, options: LinearOptions = {}): Tensor {
  const { bias, residual, gate, into, activation = "identity" } = options;
  const shape = [...x.shape.slice(0, -1), w.out];
  if (x.dim(-1) !== w.in) {
    throw new UsageError(
      `linear: input ${showShape(x.shape)} does not end in ${w.in}, the weight's input size`,
    );
  }
  if (bias && bias.size !== w.out)
    throw new UsageError(`linear: bias has ${bias.size} elements, expected ${w.out}`);
  if (residual && residual.size !== x.rows * w.out) {
    throw new UsageError(`linear: residual is ${showShape(residual.shape)}, expected ${showShape(shape)}`);
  }
  if (gate && (residual || activation !== "identity" || gate.rowOf.size !== x.rows)) {
    throw new UsageError(
      `linear: a gate needs a row number for each of ${x.rows} rows (it has ${gate.rowOf.size}), no residual, no activation`,
    );
  }
  if (into && (into.tensor.dim(-1) !== w.out || into.firstRow + x.rows > into.tensor.rows)) {
    throw new UsageError(
      `linear: ${x.rows} rows of ${w.out} from row ${into.firstRow} do not fit into ${showShape(into.tensor.shape)}`,
    );
  }
  const list = recording();
  const y = into?.tensor ?? result(shape, "linear");
  const kind = gate ? "gated" : "open";
  const name = choose(list.gpu, "linear", VARIANTS, "tile");
  const variant = VARIANTS[name];
  const workgroup = invocations(list.gpu);
  for (const block of w.blocks) {
    const padded = block.data.dim(-1);
    const tiles =
      name === "naive"
        ? x.rows * block.columns
        : Math.ceil(x.rows / variant.rows) * (padded / variant.columns);
    list.dispatch({
      kernel: {
        name: "linear",
        key: `${name} ${w.dtype} ${activation} ${kind}`,
        wgsl: () => HEADER(w.dtype, activation, kind) + variant.body,
        inputs: 5,
        outputs: 1,
        constants: { WORKGROUP: workgroup, BIAS: bias ? 1 : 0, RESIDUAL: residual ? 1 : 0 },
      },
      params: {
        u32: [
          ...[x.rows, w.in, block.columns, padded, block.first, w.out],
          ...[(into?.firstRow ?? 0) * w.out, gate?.table.dim(-1) ?? 0, gate?.at ?? 0],
        ],
        f32: [gate?.shift ?? 0],
      },
      inputs: [
        x.storage,
        block.data.storage,
        (bias ?? x).storage,
        (gate?.table ?? residual ?? x).storage,
        (gate?.rowOf ?? x).storage,
      ],
      outputs: [y.storage],
      workgroups: Math.ceil(tiles / workgroup),
    });
  }
  return y;
}
