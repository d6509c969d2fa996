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
 * rows (the group norm of a video frame). The rule of tangents stands in norm-tangent.ts.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { dual } from "./jvp.ts";
import { type Form, kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";
import { normalizeBoth } from "./norm-tangent.ts";
import { asColumn, inRows } from "./rows.ts";
import { each } from "./text.ts";
import { sumOfRow } from "./workgroup.ts";

export type NormKind = "layer" | "rms" | "l2";

interface NormForm extends Form {
  readonly kind: NormKind;
  readonly element: "f32" | "vec4f";
}

/** `name(row, slot, own, shift)`: sums over the row of one or two terms in d = x − shift; runs of 64 are added up first, for accuracy. */
const sums = (name: string, element: "f32" | "vec4f", terms: readonly string[]): string => {
  const all = (line: (i: number) => string): string => each(terms.length, line);
  const across = (v: string): string => (element === "vec4f" ? `(${v}.x + ${v}.y) + (${v}.z + ${v}.w)` : v);
  return /* wgsl */ `
fn ${name}(row: u32, slot: u32, own: u32, shift: f32) -> vec2f {
  let start = row * p.dim;
${all((i) => `  var sum${i} = ${element}();`)}
  for (var i0 = own; i0 < p.dim; i0 += LANES * 64u) {
${all((i) => `    var part${i} = ${element}();`)}
    let end = min(p.dim, i0 + LANES * 64u);
    for (var i = i0; i < end; i += LANES) {
      let d = x[start + i] - shift;
${all((i) => `      part${i} += ${terms[i]};`)}
    }
${all((i) => `    sum${i} += part${i};`)}
  }
  return together(slot, own, vec2f(${across("sum0")}, ${terms.length > 1 ? across("sum1") : "0.0"}));
}`;
};

/**
 * A mean rounded to float32 is off by up to half an ulp, which a row of equal numbers, or one far from zero, turns into noise as large
 * as itself (LayerNorm of 12345.678, 4096 times: −0.99 instead of 0). So distances from the first element are averaged, and what is
 * left of the mean after rounding is measured in the same pass as the variance, and taken off too.
 */
const STATISTICS = {
  layer: (element: "f32" | "vec4f"): string => /* wgsl */ `
  let first = x[row * p.dim]${element === "vec4f" ? ".x" : ""};
  let mean = first + sum(row, slot, own, first).x / f32(p.size);
  let moments = sums(row, slot, own, mean) / f32(p.size);
  let rest = moments.x;
  let factor = inverseSqrt(atLeast(moments.y - rest * rest, 0.0) + p.epsilon);`,
  rms: (): string => /* wgsl */ `
  let mean = 0.0; let rest = 0.0;
  let factor = inverseSqrt(squares(row, slot, own, 0.0).x / f32(p.size) + p.epsilon);`,
  l2: (): string => /* wgsl */ `
  let mean = 0.0; let rest = 0.0;
  let factor = sqrt(f32(p.size)) / atLeast(sqrt(squares(row, slot, own, 0.0).x), p.epsilon);`,
} as const satisfies Record<NormKind, (element: "f32" | "vec4f") => string>;

/** Widths and places are counted in elements; `size` is counted in channels. LANES invocations share a row, ROWS rows a workgroup. */
const normalize = kernel({
  name: "norm",
  params: {
    ...{
      rows: "u32",
      size: "u32",
      dim: "u32",
      channels: "u32",
      tableWidth: "u32",
      scaleAt: "u32",
      shiftAt: "u32",
    },
    ...{ epsilon: "f32", weightOffset: "f32" },
  },
  constants: { LANES: "u32", ROWS: "u32" },
  read: ({ element }: NormForm) => ({
    ...{ x: element, "weight?": element, "bias?": element, "table?": element },
    "rowOf?": "u32",
  }),
  write: ({ element }) => ({ y: element }),
  functions: ({ kind, element }) => /* wgsl */ `
${BOUNDS}
${sumOfRow("vec2f")}
${kind === "layer" ? `${sums("sum", element, ["d"])}\n${sums("sums", element, ["d", "d * d"])}` : sums("squares", element, ["d * d"])}`,
  main: ({ kind, element }) => /* wgsl */ `
  let asked = group * ROWS + lane / LANES;
  // Rows beyond the end follow along, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  let own = lane % LANES;
  let slot = lane - own;
  ${STATISTICS[kind](element)}
  if (asked >= p.rows) { return; }
  let start = rowOf[select(0u, row, HAS_TABLE)] * p.tableWidth;
  for (var i = own; i < p.dim; i += LANES) {
    var value = ((x[row * p.dim + i] - mean) - rest) * factor;
    let c = i % p.channels;
    if (HAS_WEIGHT) { value *= weight[c] + p.weightOffset; }
    if (HAS_BIAS) { value += bias[c]; }
    if (HAS_TABLE) { value = value * (1.0 + table[start + p.scaleAt + i]) + table[start + p.shiftAt + i]; }
    y[row * p.dim + i] = value;
  }`,
});

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
  const [lanes, rows] = shareRows(recording().gpu.adapter.software, x.rows, x.dim(-1));
  const counts = [x.dim(-1), table.channels, table.tableWidth, table.scaleAt, table.shiftAt];
  const per = counts.every((n) => n % 4 === 0) ? 4 : 1;
  const [dim, channels, tableWidth, scaleAt, shiftAt] = counts.map((n) => n / per);
  const rowOf = modulation && asColumn(modulation.rowOf);
  const form = { kind, element: per === 4 ? "vec4f" : "f32" } as const;
  const call = (count: number) => ({
    constants: { LANES: lanes, ROWS: rows },
    params: {
      ...{ rows: count, size: x.dim(-1), dim, channels, tableWidth, scaleAt, shiftAt },
      ...{ epsilon, weightOffset },
    },
    workgroup: lanes * rows,
    workgroups: Math.ceil(count / rows),
  });
  return dual(
    [x, modulation?.table],
    () => {
      const y = result(x.shape, "norm");
      inRows(x.rows, { tensors: [x, y, rowOf] }, (part) => {
        normalize({
          ...{ ...call(part(x).rows), form },
          read: { x: part(x), weight, bias, table: modulation?.table, rowOf: part(rowOf) },
          write: { y: part(y) },
        });
      });
      return y;
    },
    ([dx, dTable]) => {
      const [y, dy] = [result(x.shape, "norm"), result(x.shape, "tangent of norm")];
      inRows(x.rows, { tensors: [x, dx, y, dy, rowOf] }, (part) => {
        const told = modulation ? { table: modulation.table, dTable, rowOf: part(rowOf) } : { weight, bias };
        normalizeBoth({
          ...{ ...call(part(x).rows), form: { ...form, modulated: modulation !== undefined } },
          read: { x: part(x), dx: part(dx), ...told },
          write: { y: part(y), dy: part(dy) },
        });
      });
      return { y, dy };
    },
  );
}

/** [lanes a row, rows a workgroup] */
function shareRows(software: boolean, rows: number, dim: number): [number, number] {
  if (software && rows >= 16) return [1, 8];
  if (dim <= 32) return [8, 8];
  return dim <= 256 ? [32, 2] : [128, 1];
}
