/**
 * Normalisation over the last axis, with an affine map per channel or per modulation row.
 *
 *   layer:  x̂ = (x − mean) / √(var + ε)        biased variance
 *   rms:    x̂ = x / √(mean(x²) + ε)
 *   l2:     x̂ = √D · x / max(‖x‖₂, ε)
 *   y[row, i] = x̂[row, i] · (weight[i mod C] + weightOffset) + bias[i mod C]
 *   y[row, i] = x̂[row, i] · (1 + M[r, scaleAt + i]) + M[r, shiftAt + i],  r = rowOf[row]     (modulated)
 *
 * Channels are read four at a time where everything can be counted in fours. A workgroup takes ROWS rows with LANES invocations
 * each, which add up in workgroup memory. On a CPU adapter barriers are dear and one lane a row wins unless there are few, long
 * rows (the group norm of a video frame).
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";

export type NormKind = "layer" | "rms" | "l2";

const STATISTICS: Readonly<Record<NormKind, string>> = {
  layer: /* wgsl */ `
  let mean = total(row, slot, lane, 0.0, false) / f32(p.size);
  let factor = inverseSqrt(total(row, slot, lane, mean, true) / f32(p.size) + p.epsilon);`,
  rms: /* wgsl */ `
  let mean = 0.0;
  let factor = inverseSqrt(total(row, slot, lane, 0.0, true) / f32(p.size) + p.epsilon);`,
  l2: /* wgsl */ `
  let mean = 0.0;
  let factor = sqrt(f32(p.size)) / max(sqrt(total(row, slot, lane, 0.0, true)), p.epsilon);`,
};

/** Widths and places are counted in elements of the buffers, `per` channels each; `size` is counted in channels. */
const WGSL = (kind: NormKind, per: 1 | 4): string => {
  const element = per === 4 ? "vec4f" : "f32";
  return /* wgsl */ `
struct Params { rows: u32, size: u32, dim: u32, channels: u32, tableWidth: u32, scaleAt: u32, shiftAt: u32, epsilon: f32, weightOffset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<${element}>;
@group(0) @binding(2) var<storage, read> weight: array<${element}>;
@group(0) @binding(3) var<storage, read> bias: array<${element}>;
@group(0) @binding(4) var<storage, read> rowOf: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<${element}>;
override LANES: u32;
override ROWS: u32;
override WEIGHT: bool;
override BIAS: bool;
override MODULATED: bool;
var<workgroup> partial: array<f32, LANES * ROWS>;

// Sum over the row of (x − shift), or of its square; runs of 64 are added up first, for accuracy.
// The slot is where the row's lanes meet in workgroup memory.
fn total(row: u32, slot: u32, lane: u32, shift: f32, squared: bool) -> f32 {
  let start = row * p.dim;
  var sums = ${element}();
  for (var i0 = lane; i0 < p.dim; i0 += LANES * 64u) {
    var part = ${element}();
    let end = min(p.dim, i0 + LANES * 64u);
    for (var i = i0; i < end; i += LANES) {
      let d = x[start + i] - shift;
      part += select(d, d * d, squared);
    }
    sums += part;
  }
  let sum = ${per === 4 ? "(sums.x + sums.y) + (sums.z + sums.w)" : "sums"};
  if (LANES == 1u) { return sum; }
  workgroupBarrier();
  partial[slot + lane] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { partial[slot + lane] += partial[slot + lane + half]; }
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
  let slot = id.y * LANES;
  ${STATISTICS[kind]}
  if (asked >= p.rows) { return; }
  let table = rowOf[select(0u, row, MODULATED)] * p.tableWidth;
  for (var i = lane; i < p.dim; i += LANES) {
    var value = (x[row * p.dim + i] - mean) * factor;
    let c = i % p.channels;
    if (WEIGHT) { value *= weight[c] + p.weightOffset; }
    if (BIAS) { value += bias[c]; }
    if (MODULATED) { value = value * (1.0 + weight[table + p.scaleAt + i]) + weight[table + p.shiftAt + i]; }
    y[row * p.dim + i] = value;
  }
}
`;
};

export interface NormOptions {
  readonly kind: NormKind;
  readonly epsilon: number;
  /** gain (C); the axis may be a multiple of C, as when a frame of channels-last pixels is one row */
  readonly weight?: Tensor;
  /** added to every gain, for checkpoints that store gain − 1 */
  readonly weightOffset?: number;
  /** (C) */
  readonly bias?: Tensor;
}

/** x normalised over its last axis. @throws UsageError when the gains do not divide it */
export function norm(x: Tensor, options: NormOptions): Tensor {
  const { weight, bias } = options;
  const channels = weight?.size ?? bias?.size ?? x.dim(-1);
  if (x.dim(-1) % channels !== 0 || (bias && bias.size !== channels)) {
    throw new UsageError(`norm: ${channels} gains do not fit the last axis of ${showShape(x.shape)}`);
  }
  return dispatchNorm(x, options, { channels, tableWidth: 0, scaleAt: 0, shiftAt: 0 });
}

/** Which row of a modulation table belongs to which token, and where its parts stand. */
export interface Modulation {
  /** (R, width): scale and shift and gate of R distinct times */
  readonly table: Tensor;
  /** (rows of x), u32: the table row of each token */
  readonly rowOf: Tensor;
}

/** x normalised and modulated: x̂ · (1 + scale) + shift, with column offsets of scale and shift in the table. */
export function modulatedNorm(
  x: Tensor,
  kind: NormKind,
  epsilon: number,
  modulation: Modulation,
  at: { readonly scale: number; readonly shift: number },
): Tensor {
  const { table, rowOf } = modulation;
  if (rowOf.size !== x.rows)
    throw new UsageError(`modulatedNorm: ${rowOf.size} row numbers for ${x.rows} tokens`);
  return dispatchNorm(
    x,
    { kind, epsilon },
    { channels: x.dim(-1), tableWidth: table.dim(-1), scaleAt: at.scale, shiftAt: at.shift },
    modulation,
  );
}

function dispatchNorm(
  x: Tensor,
  { kind, epsilon, weight, weightOffset = 0, bias }: NormOptions,
  table: { channels: number; tableWidth: number; scaleAt: number; shiftAt: number },
  modulation?: Modulation,
): Tensor {
  const list = recording();
  const y = result(x.shape, "norm");
  const [lanes, rows] = shareRows(list.gpu.adapter.software, x.rows, x.dim(-1));
  const counts = [x.dim(-1), table.channels, table.tableWidth, table.scaleAt, table.shiftAt];
  const per = counts.every((n) => n % 4 === 0) ? 4 : 1;
  list.dispatch({
    kernel: {
      name: "norm",
      key: `${kind} by ${per}`,
      wgsl: () => WGSL(kind, per),
      inputs: 4,
      outputs: 1,
      constants: {
        LANES: lanes,
        ROWS: rows,
        WEIGHT: weight ? 1 : 0,
        BIAS: bias ? 1 : 0,
        MODULATED: modulation ? 1 : 0,
      },
    },
    params: {
      u32: [x.rows, x.dim(-1), ...counts.map((n) => n / per)],
      f32: [epsilon, weightOffset],
    },
    inputs: [
      x.storage,
      (modulation?.table ?? weight ?? x).storage,
      (bias ?? x).storage,
      (modulation?.rowOf ?? x).storage,
    ],
    outputs: [y.storage],
    workgroups: Math.ceil(x.rows / rows),
  });
  return y;
}

/** [lanes a row, rows a workgroup] */
function shareRows(software: boolean, rows: number, dim: number): [number, number] {
  if (software && rows >= 16) return [1, 8];
  if (dim <= 32) return [8, 8];
  return dim <= 256 ? [32, 2] : [128, 1];
}
