/**
 * How matrix products read their operands: four terms of a row at a time, both x, which is row-major as any tensor, and the
 * weight, whose rows are padded (matrix.ts).
 */
import type { WeightDtype } from "../tensor/matrix.ts";
import type { Element } from "./kernel.ts";
import { each } from "./text.ts";

/** How a weight is bound whose elements are stored so. */
export const WEIGHT_ELEMENT = { f32: "vec4f", bf16: "vec2u", f16: "vec2u" } as const satisfies Record<
  WeightDtype,
  Element
>;

/** `widened(v)`: what is stored as four terms, as numbers; `w4(i)`: the terms 4i to 4i + 3 of all that is stored. */
export const READ_WEIGHT = {
  f32: /* wgsl */ `
fn widened(v: vec4f) -> vec4f { return v; }
fn w4(i: u32) -> vec4f { return w[i]; }`,
  bf16: /* wgsl */ `
fn widened(v: vec2u) -> vec4f {
  // A shift by 16, which SwiftShader would make of four scalar ones.
  let even = bitcast<vec2f>(v * 65536u);
  let odd = bitcast<vec2f>(v & vec2u(0xffff0000u));
  return vec4f(even.x, odd.x, even.y, odd.y);
}
fn w4(i: u32) -> vec4f { return widened(w[i]); }`,
  // A builtin of plain WGSL: no adapter needs shader-f16 to read halves.
  f16: /* wgsl */ `
fn widened(v: vec2u) -> vec4f { return vec4f(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn w4(i: u32) -> vec4f { return widened(w[i]); }`,
} as const satisfies Record<WeightDtype, string>;

/** How x is bound whose rows have so many terms: four at a time where that fits. */
export const bindX = (inner: number): "f32" | "vec4f" => (inner % 4 === 0 ? "vec4f" : "f32");

/**
 * `x4(row, i)`: terms 4i to 4i + 3 of the row that begins at element `row` of x, for row r of `inner` terms `beginOf(r)`;
 * `xEnd(row, i)`: the same where fewer may be left, the missing ones zero. Counted in fours, as dividing an index at every read
 * costs a processor that plays GPU half as much as a float read (SwiftShader 5.0.0, 2026-11-22: 30 instructions, 4 of them divisions).
 */
export const readX = (x: "f32" | "vec4f", inner: string): string =>
  x === "vec4f"
    ? /* wgsl */ `
fn beginOf(r: u32) -> u32 { return r * (${inner} / 4u); }
fn x4(row: u32, i: u32) -> vec4f { return x[row + i]; }
fn xEnd(row: u32, i: u32) -> vec4f { return x4(row, i); }`
    : /* wgsl */ `
fn beginOf(r: u32) -> u32 { return r * ${inner}; }
fn x4(row: u32, i: u32) -> vec4f {
  let at = row + 4u * i;
  return vec4f(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}
fn xEnd(row: u32, i: u32) -> vec4f {
  let last = ${inner} - 1u;
  let term = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u);
  let at = vec4u(row) + min(term, vec4u(last));
  let there = term <= vec4u(last);
  return select(vec4f(), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), there);
}`;

/** `addOuter(tile, a, b)`: four rows (a) times four columns (b) are added; column i of a tile is its row i. */
export const ADD_OUTER = /* wgsl */ `
fn addOuter(tile: mat4x4f, a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(fma(b, vec4f(a.x), tile[0]), fma(b, vec4f(a.y), tile[1]), fma(b, vec4f(a.z), tile[2]), fma(b, vec4f(a.w), tile[3]));
}`;

/** The same with products of halves. */
export const ADD_OUTER_F16 = /* wgsl */ `
fn addOuter(tile: mat4x4f, a: vec4f, b: vec4f) -> mat4x4f {
  let rows = vec4<f16>(a);
  let columns = vec4<f16>(b);
  return mat4x4f(tile[0] + vec4f(columns * rows.x), tile[1] + vec4f(columns * rows.y),
                 tile[2] + vec4f(columns * rows.z), tile[3] + vec4f(columns * rows.w));
}`;

/** `rowOfW(n)`: where row n of W begins, in vec4s. Rows beyond the end repeat the last one; their results are not stored. */
export const ROW_OF_W = /* wgsl */ `
fn rowOfW(n: u32) -> u32 { return min(n, p.columns - 1u) * (p.padded / 4u); }`;

/** `fourOfW(n)`: where rows n to n + 3 begin; `terms4(at, i)`: their terms 4i to 4i + 3, one term a column. */
export const FOUR_OF_W = /* wgsl */ `
fn fourOfW(n: u32) -> vec4u { return vec4u(rowOfW(n), rowOfW(n + 1u), rowOfW(n + 2u), rowOfW(n + 3u)); }
fn terms4(at: vec4u, i: u32) -> mat4x4f {
  return transpose(mat4x4f(w4(at.x + i), w4(at.y + i), w4(at.z + i), w4(at.w + i)));
}`;

/** Blocks of four rows that a quad owns; fewer waste less on small batches. */
export const quadBlocks = (rows: number): number => (rows <= 4 ? 1 : rows <= 8 ? 2 : 4);

/** `quad(v)`: the values of all four lanes, of this one, of its neighbour in x, in y, and across. */
export const QUAD = /* wgsl */ `
fn quad(v: f32) -> vec4f { return vec4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }`;

/**
 * Four terms of the quad's rows, `a0`, `a1`, …, times those of a lane's four columns, `b0` to `b3`, added to `${sums}0`,
 * `${sums}1`, ….
 */
export const addQuads = (blocks: number, sums: string): string =>
  ["x", "y", "z", "w"]
    .map(
      (c) => `{ let b = vec4f(b0.${c}, b1.${c}, b2.${c}, b3.${c});
${each(blocks, (i) => `${sums}${i} = addOuter(${sums}${i}, quad(a${i}.${c}), b);`)} }`,
    )
    .join("\n");
