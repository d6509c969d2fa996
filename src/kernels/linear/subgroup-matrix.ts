/**
 * For GPUs with matrix units, through Dawn's experimental subgroup matrices: a workgroup of eight subgroups of 32 owns 128 × 128
 * outputs, a subgroup 32 × 64 of them in matrices of SIDE × SIDE. Terms of x and W pass through workgroup memory, rounded to the matrices' type
 * as they are put there, rows padded by 16 bytes so that a column touches many banks; the next ones are read meanwhile.
 *
 * subgroupMatrix: float16 operands, float32 sums. W in bfloat16 or float32 is rounded too. Half precision is the user's choice, never
 * the clock's; a value beyond ±65504 becomes infinite, and is found and named as any non-finite value.
 * subgroupMatrixF32: float32 throughout, where the device offers that (Apple's do).
 *
 * Neither has run on a real GPU yet: the text is only known to compile (test/kernels/subgroup-matrix.test.ts).
 */
import { bindX } from "../terms.ts";
import { each } from "../text.ts";
import { linearVariant } from "./program.ts";

interface Units {
  readonly component: "f16" | "f32";
  /** M, N and K of one matrix product */
  readonly side: 8 | 16;
}

const matrices = (name: string, { component, side }: Units) => {
  const [down, right] = [32 / side, 64 / side];
  const sums = (line: (i: number, j: number) => string): string =>
    each(down, (i) => each(right, (j) => line(i, j)));
  return linearVariant({
    name,
    needs: {
      features: [
        "subgroups",
        "chromium-experimental-subgroup-matrix" as GPUFeatureName,
        ...(component === "f16" ? (["shader-f16"] as const) : []),
      ],
      enable: `${component === "f16" ? "enable f16;\n" : ""}enable subgroups;\nenable chromium_experimental_subgroup_matrix;\n`,
      workgroupBytes: component === "f16" ? 28_672 : 22_528,
      subgroupMatrix: `${component} ${side}×${side}×${side} → f32`,
    },
    plan: ({ rows, inner, columns }) => ({
      form: {},
      element: bindX(inner),
      invocations: Math.ceil(rows / 128) * Math.ceil(columns / 128) * 256,
      workgroup: 256,
    }),
    builtins: "@builtin(subgroup_id) subgroup: u32",
    functions: () => /* wgsl */ `
alias Four = vec4<${component}>;
alias Left = subgroup_matrix_left<${component}, SIDE, SIDE>;
alias Right = subgroup_matrix_right<${component}, SIDE, SIDE>;
alias Sum = subgroup_matrix_result<f32, SIDE, SIDE>;
const SIDE = ${side}u;
const TILE = 128u;
const DEPTH = ${component === "f16" ? 32 : 16}u;
const PITCH = DEPTH + ${component === "f16" ? 8 : 4}u;
const QUADS = DEPTH / 4u;
const EACH = 2u * TILE * QUADS / 256u; // items an invocation brings, half of x, half of W
var<workgroup> xs: array<${component}, TILE * PITCH>; // [row][term]
var<workgroup> ws: array<${component}, TILE * PITCH>; // [column][term]
var<workgroup> ready: array<f32, 8u * SIDE * SIDE>; // one matrix of sums a subgroup

// Four terms of a row of x or, from TILE * QUADS on, of W. Beyond K they are zero; rows beyond the end are not stored.
fn item(i: u32, m0: u32, n0: u32, k0: u32) -> Four {
  let four = k0 / 4u + i % QUADS;
  if (4u * four >= p.inner) { return Four(); }
  let row = i / QUADS % TILE;
  if (i < TILE * QUADS) { return Four(xEnd(rowOfX(m0 + row), four)); }
  return Four(w4(rowOfW(n0 + row) + four));
}`,
    main: () => /* wgsl */ `
  let across = (p.columns + TILE - 1u) / TILE;
  let m0 = group / across * TILE;
  let n0 = group % across * TILE;
  if (m0 >= p.rows) { return; }
  let upper = subgroup / 2u * 32u * PITCH;
  let left = subgroup % 2u * 64u * PITCH;
  var next: array<Four, EACH>;
  for (var e = 0u; e < EACH; e++) { next[e] = item(lane + e * 256u, m0, n0, 0u); }
${sums((i, j) => `  var sum${i}x${j}: Sum;`)}
  for (var k0 = 0u; k0 < p.inner; k0 += DEPTH) {
    for (var e = 0u; e < EACH; e++) {
      let i = lane + e * 256u;
      let at = i / QUADS % TILE * PITCH + i % QUADS * 4u;
      for (var c = 0u; c < 4u; c++) {
        if (e < EACH / 2u) { xs[at + c] = next[e][c]; } else { ws[at + c] = next[e][c]; }
      }
    }
    workgroupBarrier();
    for (var e = 0u; e < EACH; e++) { next[e] = item(lane + e * 256u, m0, n0, k0 + DEPTH); }
    for (var k = 0u; k < DEPTH; k += SIDE) {
${each(down, (i) => `      let a${i} = subgroupMatrixLoad<Left, row_major>(&xs, upper + ${i}u * SIDE * PITCH + k, PITCH);`)}
${each(right, (j) => `      let b${j} = subgroupMatrixLoad<Right, col_major>(&ws, left + ${j}u * SIDE * PITCH + k, PITCH);`)}
${sums((i, j) => `      sum${i}x${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, sum${i}x${j});`)}
    }
    workgroupBarrier();
  }
  // A matrix at a time goes through workgroup memory; \`part\` reads what subgroup number \`part\` wrote, whoever that is.
  let part = lane / 32u;
  let m = m0 + part / 2u * 32u;
  let n = n0 + part % 2u * 64u;
${sums(
  (i, j) => `  subgroupMatrixStore<row_major>(&ready, subgroup * SIDE * SIDE, sum${i}x${j}, SIDE);
  workgroupBarrier();
  for (var e = lane % 32u; e < SIDE * SIDE; e += 32u) {
    store(m + ${i}u * SIDE + e / SIDE, n + ${j}u * SIDE + e % SIDE, ready[part * SIDE * SIDE + e]);
  }
  workgroupBarrier();`,
)}`,
  });
};

export const subgroupMatrix = matrices("subgroupMatrix", { component: "f16", side: 16 });
export const subgroupMatrixF32 = matrices("subgroupMatrixF32", { component: "f32", side: 8 });
