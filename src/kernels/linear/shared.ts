/**
 * For real GPUs: a workgroup owns a square of `tile` rows and columns, an invocation 8 × 8 of them in registers; 16 terms of x and W at a
 * time pass through workgroup memory, its columns padded by one vec4 against bank conflicts. An item is four terms of four rows, read as
 * they lie and turned in registers, so that what is multiplied lies side by side; the next items are read while these are multiplied.
 *
 * Nothing in registers is reached by a computed index: with loops over the parts of an item a product of 2048³ ran at 7.8 TFLOP/s, without
 * them it takes 38 to 40 of the 60.8 that multiply-adds alone reach. 128 is best of large products (64: 29 to 33), 64 where 128 would leave
 * a device idle. Padding gave 5 %, a depth of 32 lost 20 %, of 8 lost 6 %; 16 × 8 an invocation gave 4 % and takes twice the registers, so it
 * is left out (NVIDIA H100, driver 580.159.04, 2026-11-26).
 */
import { bindX } from "../terms.ts";
import { each } from "../text.ts";
import type { Arithmetic } from "../../gpu/gpu.ts";
import { linearVariant } from "./program.ts";

/** Terms of a step. */
const DEPTH = 16;

const shared = (tile: 64 | 128, arithmetic: Arithmetic = "f32") => {
  const side = tile / 8;
  const workgroup = side * side;
  // Of x and of W each there are `tile` items a step: all invocations bring one of both, or half of them one of x and half one of W.
  const both = workgroup === tile;
  const bytes = 2 * DEPTH * (tile / 4 + 1) * (arithmetic === "f16" ? 8 : 16);
  /** four terms of four rows, turned: variable i is term i of all four. Beyond K they are zero; rows beyond the end are not stored. */
  const item = (
    next: string,
    i: string,
    first: string,
    row: (r: string) => string,
    k0: string,
  ): string => /* wgsl */ `{
      let four = (${k0}) / 4u + ${i} % 4u;
      if (4u * four < p.inner) {
        let r = ${first} + ${i} / 4u * 4u;
        let rows = transpose(mat4x4f(${["r", "r + 1u", "r + 2u", "r + 3u"].map(row).join(", ")}));
        ${each(4, (k) => `${next}${k} = rows[${k}];`)}
      } else {
        ${each(4, (k) => `${next}${k} = vec4f();`)}
      }
    }`;
  const ofX = (next: string, i: string, k0: string) =>
    item(next, i, "m0", (r) => `xEnd(rowOfX(${r}), four)`, k0);
  const ofW = (next: string, i: string, k0: string) =>
    item(next, i, "n0", (r) => `w4(rowOfW(${r}) + four)`, k0);
  const read = (k0: string): string =>
    both
      ? `${ofX("x", "lane", k0)} ${ofW("w", "lane", k0)}`
      : `if (lane < TILE) ${ofX("x", "lane", k0)} else ${ofW("x", "(lane - TILE)", k0)}`;
  const lay = (to: "xs" | "ws", next: string, i: string): string => `{
      let at = ${i} % 4u * 4u * PITCH + ${i} / 4u;
${each(4, (k) => `      ${to}[at + ${k}u * PITCH] = Operand(${next}${k});`)}
    }`;
  return linearVariant({
    name: `shared${tile}${arithmetic === "f16" ? "F16" : ""}`,
    arithmetic,
    needs: bytes > 16_384 ? { workgroupBytes: bytes } : undefined,
    plan: ({ rows, inner, columns }) => ({
      form: {},
      element: bindX(inner),
      invocations: Math.ceil(rows / tile) * Math.ceil(columns / tile) * workgroup,
      workgroup,
    }),
    functions: () => /* wgsl */ `
const TILE = ${tile}u;
const SIDE = ${side}u; // invocations across the tile
const QUADS = TILE / 4u; // groups of four rows, or columns
const PITCH = QUADS + 1u;
const DEPTH = ${DEPTH}u;
var<workgroup> xs: array<Operand, DEPTH * PITCH>; // [k][four rows]
var<workgroup> ws: array<Operand, DEPTH * PITCH>; // [k][four columns]`,
    main: () => /* wgsl */ `
  let across = (p.columns + TILE - 1u) / TILE;
  let m0 = group / across * TILE;
  let n0 = group % across * TILE;
  if (m0 >= p.rows) { return; }
  let row = lane / SIDE;
  let column = lane % SIDE;
${each(4, (k) => `  var x${k}: vec4f; ${both ? `var w${k}: vec4f;` : ""}`)}
  ${read("0u")}
${each(8, (r) => `  var near${r} = vec4f(); var far${r} = vec4f();`)}
  for (var k0 = 0u; k0 < p.inner; k0 += DEPTH) {
    ${
      both
        ? `${lay("xs", "x", "lane")} ${lay("ws", "w", "lane")}`
        : `if (lane < TILE) ${lay("xs", "x", "lane")} else ${lay("ws", "x", "(lane - TILE)")}`
    }
    workgroupBarrier();
    ${read("k0 + DEPTH")}
    for (var k = 0u; k < DEPTH; k++) {
      let a0 = vec4f(xs[k * PITCH + row]); let a1 = vec4f(xs[k * PITCH + SIDE + row]);
      let b0 = vec4f(ws[k * PITCH + column]); let b1 = vec4f(ws[k * PITCH + SIDE + column]);
${each(8, (r) => `      { let a = vec4f(a${r >> 2}.${"xyzw"[r % 4]}); near${r} = fma(a, b0, near${r}); far${r} = fma(a, b1, far${r}); }`)}
    }
    workgroupBarrier();
  }
  let m = m0 + row * 4u;
  let n = n0 + column * 4u;
  let nearBias = bias4(n);
  let farBias = bias4(n + 4u * SIDE);
${each(8, (r) => `  store4(m + ${r % 4}u + ${r >> 2}u * 4u * SIDE, n, near${r}, nearBias); store4(m + ${r % 4}u + ${r >> 2}u * 4u * SIDE, n + 4u * SIDE, far${r}, farBias);`)}`,
  });
};

export const shared64 = shared(64);
export const shared128 = shared(128);
/** Operands in half precision: half the traffic of workgroup memory. */
export const shared64F16 = shared(64, "f16");
export const shared128F16 = shared(128, "f16");
