/**
 * norm.ts with its tangent, in one pass over both: x̂ = (x − μ)·s,
 *
 *   dx̂ = s·(ẋ − mean(ẋ) − x̂·mean(x̂ ⊙ ẋ))     layer; exact with ε, because s carries it
 *   dx̂ = s·(ẋ − x̂·mean(x̂ ⊙ ẋ))               rms, and l2, whose floor makes x̂ linear below it: dx̂ = s·ẋ
 *   ẏ  = dx̂ ⊙ (weight + weightOffset)         or   dx̂ ⊙ (1 + scale) + x̂ ⊙ scale˙ + shift˙
 *
 * Sums, lanes and rows as there. Weights are constants; a table may move, and so may what it modulates: seven buffers of the eight that every
 * device binds.
 */
import { type Form, kernel } from "./kernel.ts";
import { BOUNDS } from "./nan.ts";
import type { NormKind } from "./norm.ts";
import { sumOfRow } from "./workgroup.ts";

interface TangentForm extends Form {
  readonly kind: NormKind;
  readonly element: "f32" | "vec4f";
  /** by a table, not by weights */
  readonly modulated: boolean;
}

type Operands = Readonly<
  Record<"x" | "dx?" | "table?" | "dTable?" | "weight?" | "bias?", "f32" | "vec4f"> & Record<"rowOf?", "u32">
>;

const STATISTICS = {
  layer: (first: string): string => /* wgsl */ `
  let first = x[row * p.dim]${first};
  let means = sums(row, slot, own, first, 0.0) / f32(p.size);
  let mean = first + means.x;
  let dMean = means.z;
  let moments = sums(row, slot, own, mean, dMean) / f32(p.size);
  let rest = moments.x;
  let dRest = moments.z;
  let factor = inverseSqrt(atLeast(moments.y - rest * rest, 0.0) + p.epsilon);
  let along = (moments.w - rest * dRest) * factor;`,
  rms: (): string => /* wgsl */ `
  let mean = 0.0; let rest = 0.0; let dMean = 0.0; let dRest = 0.0;
  let moments = sums(row, slot, own, 0.0, 0.0) / f32(p.size);
  let factor = inverseSqrt(moments.y + p.epsilon);
  let along = moments.w * factor;`,
  l2: (): string => /* wgsl */ `
  let mean = 0.0; let rest = 0.0; let dMean = 0.0; let dRest = 0.0;
  let moments = sums(row, slot, own, 0.0, 0.0);
  let length = sqrt(moments.y);
  let factor = sqrt(f32(p.size)) / atLeast(length, p.epsilon);
  let along = select(0.0, moments.w / f32(p.size) * factor, length > p.epsilon);`,
} as const satisfies Record<NormKind, (first: string) => string>;

export const normalizeBoth = kernel({
  name: "norm and tangent",
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
  read: ({ element, modulated }: TangentForm) =>
    ({
      ...{ x: element, "dx?": element },
      ...(modulated
        ? { "table?": element, "dTable?": element, "rowOf?": "u32" }
        : { "weight?": element, "bias?": element }),
    }) as Operands,
  write: ({ element }) => ({ y: element, dy: element }),
  functions: ({ element }) => /* wgsl */ `
${BOUNDS}
fn across(a: ${element}) -> f32 { return ${element === "vec4f" ? "(a.x + a.y) + (a.z + a.w)" : "a"}; }
${sumOfRow("vec4f")}
// Σ d, Σ d², Σ e, Σ d·e of a row, d = x − shift and e = ẋ − dShift; runs of 64 are added up first, for accuracy.
fn sums(row: u32, slot: u32, own: u32, shift: f32, dShift: f32) -> vec4f {
  let start = row * p.dim;
  var sumD = ${element}(); var sumSquares = ${element}(); var sumE = ${element}(); var sumProducts = ${element}();
  for (var i0 = own; i0 < p.dim; i0 += LANES * 64u) {
    var partD = ${element}(); var partSquares = ${element}(); var partE = ${element}(); var partProducts = ${element}();
    let end = min(p.dim, i0 + LANES * 64u);
    for (var i = i0; i < end; i += LANES) {
      let d = x[start + i] - shift;
      partD += d;
      partSquares += d * d;
      if (HAS_DX) {
        let e = dx[start + i] - dShift;
        partE += e;
        partProducts += d * e;
      }
    }
    sumD += partD; sumSquares += partSquares; sumE += partE; sumProducts += partProducts;
  }
  return together(slot, own, vec4f(across(sumD), across(sumSquares), across(sumE), across(sumProducts)));
}`,
  main: ({ kind, element, modulated }) => /* wgsl */ `
  let asked = group * ROWS + lane / LANES;
  // Rows beyond the end follow along, so that every invocation meets every barrier.
  let row = min(asked, p.rows - 1u);
  let own = lane % LANES;
  let slot = lane - own;
  ${STATISTICS[kind](element === "vec4f" ? ".x" : "")}
  if (asked >= p.rows) { return; }
  ${modulated ? "let start = rowOf[row] * p.tableWidth;" : ""}
  for (var i = own; i < p.dim; i += LANES) {
    var value = ((x[row * p.dim + i] - mean) - rest) * factor;
    var moved = ${element}();
    if (HAS_DX) { moved = (((dx[row * p.dim + i] - dMean) - dRest) - value * along) * factor; }
${
  modulated
    ? /* wgsl */ `
    let scale = 1.0 + table[start + p.scaleAt + i];
    moved *= scale;
    if (HAS_D_TABLE) { moved += value * dTable[start + p.scaleAt + i] + dTable[start + p.shiftAt + i]; }
    value = value * scale + table[start + p.shiftAt + i];`
    : /* wgsl */ `
    let c = i % p.channels;
    if (HAS_WEIGHT) {
      let gain = weight[c] + p.weightOffset;
      value *= gain;
      moved *= gain;
    }
    if (HAS_BIAS) { value += bias[c]; }`
}
    y[row * p.dim + i] = value;
    dy[row * p.dim + i] = moved;
  }`,
});
