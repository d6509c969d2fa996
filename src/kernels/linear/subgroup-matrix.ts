/**
 * For GPUs with matrix units, through Dawn's experimental subgroup matrices: a workgroup owns 128 × 128 outputs, each of its subgroups of 32
 * `tall` × 64 of them in matrices of SIDE × SIDE. Terms of x and W pass through workgroup memory, rounded to the matrices' type, rows
 * padded by 16 bytes so that a column touches many banks; the next ones are read meanwhile. Registers are reached by constant indices only.
 *
 * subgroupMatrix: float16 operands, float32 sums. W in bfloat16 or float32 is rounded too. Half precision is the user's choice, never
 * the clock's; a value beyond ±65504 becomes infinite, and is found and named as any non-finite value. 4608×2048×8192 by four subgroups of
 * 64 × 64, 16 terms a step: 138 TFLOP/s; by eight of 32 × 64, 32 terms: 125; by sixteen of 32 × 32: 62; operands straight from storage: 57. x is
 * rounded as it is read, W widened and rounded only as it is laid down: both early, a bfloat16 W gave 53, both late 104. (NVIDIA H100, driver 580.159.04,
 * 2026-11-26.)
 * subgroupMatrixF32: float32 throughout, where the device offers that (Apple's do); it has not run on one, its text is known to compile
 * (test/kernels/subgroup-matrix.test.ts).
 */
import { bindX, WEIGHT_ELEMENT } from "../terms.ts";
import { each } from "../text.ts";
import { linearVariant } from "./program.ts";

interface Units {
  readonly component: "f16" | "f32";
  /** M, N and K of one matrix product */
  readonly side: 8 | 16;
  /** rows of a subgroup */
  readonly tall: 32 | 64;
}

const matrices = (name: string, { component, side, tall }: Units) => {
  const [down, right] = [tall / side, 64 / side];
  const subgroups = (2 * 128) / tall;
  const workgroup = 32 * subgroups;
  const [depth, pad] = [16, component === "f16" ? 8 : 4];
  // Of x and of W each: four terms of 128 rows.
  const items = (128 * depth) / 4 / workgroup;
  const sums = (line: (i: number, j: number) => string): string =>
    each(down, (i) => each(right, (j) => line(i, j)));
  const item = (
    e: number,
    read: string,
    rest: string,
  ): string => `{ let i = lane + ${e * workgroup}u; let four = k / 4u + i % QUADS;
      if (4u * four < p.inner) { ${read} } else { ${rest} } }`;
  return linearVariant({
    name,
    needs: {
      features: [
        "subgroups",
        "chromium-experimental-subgroup-matrix" as GPUFeatureName,
        ...(component === "f16" ? (["shader-f16"] as const) : []),
      ],
      enable: `${component === "f16" ? "enable f16;\n" : ""}enable subgroups;\nenable chromium_experimental_subgroup_matrix;\n`,
      workgroupBytes: 2 * 128 * (depth + pad) * (component === "f16" ? 2 : 4) + subgroups * side * side * 4,
      subgroupMatrix: `${component} ${side}×${side}×${side} → f32`,
    },
    plan: ({ rows, inner, columns }) => ({
      form: {},
      element: bindX(inner),
      invocations: Math.ceil(rows / 128) * Math.ceil(columns / 128) * workgroup,
      workgroup,
    }),
    builtins: "@builtin(subgroup_id) subgroup: u32",
    functions: ({ dtype }) => /* wgsl */ `
alias Four = vec4<${component}>;
alias Stored = ${WEIGHT_ELEMENT[dtype]}; // four terms of W
alias Left = subgroup_matrix_left<${component}, SIDE, SIDE>;
alias Right = subgroup_matrix_right<${component}, SIDE, SIDE>;
alias Sum = subgroup_matrix_result<f32, SIDE, SIDE>;
const SIDE = ${side}u;
const TILE = 128u;
const TALL = ${tall}u;
const DEPTH = ${depth}u;
const PITCH = DEPTH + ${pad}u;
const QUADS = DEPTH / 4u;
var<workgroup> xs: array<${component}, TILE * PITCH>; // [row][term]
var<workgroup> ws: array<${component}, TILE * PITCH>; // [column][term]
var<workgroup> ready: array<f32, ${subgroups}u * SIDE * SIDE>; // one matrix of sums a subgroup

// Where an item lies in workgroup memory.
fn placeOf(i: u32) -> u32 { return i / QUADS * PITCH + i % QUADS * 4u; }`,
    main: () => {
      // Four terms of a row. Beyond K they are zero; rows beyond the end are not stored.
      const read = (k: string): string => `{ let k = ${k};
${each(items, (e) => `    ${item(e, `x${e} = Four(xEnd(rowOfX(m0 + i / QUADS), four));`, `x${e} = Four();`)}`)}
${each(items, (e) => `    ${item(e, `w${e} = w[rowOfW(n0 + i / QUADS) + four];`, `w${e} = Stored();`)}`)}
    }`;
      return /* wgsl */ `
  let across = (p.columns + TILE - 1u) / TILE;
  let m0 = group / across * TILE;
  let n0 = group % across * TILE;
  if (m0 >= p.rows) { return; }
  let upper = subgroup / 2u * TALL * PITCH;
  let left = subgroup % 2u * 64u * PITCH;
${each(items, (e) => `  var x${e}: Four; var w${e}: Stored;`)}
  ${read("0u")}
${sums((i, j) => `  var sum${i}x${j}: Sum;`)}
  for (var k0 = 0u; k0 < p.inner; k0 += DEPTH) {
${each(
  items,
  (e) => `    { let at = placeOf(lane + ${e * workgroup}u); let a = x${e}; let b = Four(widened(w${e}));
      xs[at] = a.x; xs[at + 1u] = a.y; xs[at + 2u] = a.z; xs[at + 3u] = a.w;
      ws[at] = b.x; ws[at + 1u] = b.y; ws[at + 2u] = b.z; ws[at + 3u] = b.w; }`,
)}
    workgroupBarrier();
    ${read("k0 + DEPTH")}
${each(
  depth / side,
  (k) => `    {
${each(down, (i) => `      let a${i} = subgroupMatrixLoad<Left, row_major>(&xs, upper + ${i}u * SIDE * PITCH + ${k}u * SIDE, PITCH);`)}
${each(right, (j) => `      let b${j} = subgroupMatrixLoad<Right, col_major>(&ws, left + ${j}u * SIDE * PITCH + ${k}u * SIDE, PITCH);`)}
${sums((i, j) => `      sum${i}x${j} = subgroupMatrixMultiplyAccumulate(a${i}, b${j}, sum${i}x${j});`)}
    }`,
)}
    workgroupBarrier();
  }
  // A matrix at a time goes through workgroup memory; \`part\` reads what subgroup number \`part\` wrote, whoever that is.
  let part = lane / 32u;
  let m = m0 + part / 2u * TALL;
  let n = n0 + part % 2u * 64u;
${sums(
  (i, j) => `  subgroupMatrixStore<row_major>(&ready, subgroup * SIDE * SIDE, sum${i}x${j}, SIDE);
  workgroupBarrier();
  for (var e = lane % 32u; e < SIDE * SIDE; e += 32u) {
    store(m + ${i}u * SIDE + e / SIDE, n + ${j}u * SIDE + e % SIDE, ready[part * SIDE * SIDE + e]);
  }
  workgroupBarrier();`,
)}`;
    },
  });
};

export const subgroupMatrix = matrices("subgroupMatrix", { component: "f16", side: 16, tall: 64 });
export const subgroupMatrixF32 = matrices("subgroupMatrixF32", { component: "f32", side: 8, tall: 32 });
