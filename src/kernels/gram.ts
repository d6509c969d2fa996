/**
 * g[b, i, j] = Σ_c x[b, i, c] · x[b, j, c]
 *
 * The products of all rows with one another. One invocation a 4 × 4 tile on or above the diagonal, which is written on both sides of it; rows
 * beyond the end repeat the last one and are not stored. Runs of 64 loads are added up first.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { each } from "./text.ts";
import { invocations } from "./variants.ts";

const SIDE = 4;

const products = kernel({
  name: "gram",
  params: { count: "u32", tiles: "u32", rows: "u32", loads: "u32" },
  read: ({ element }: { readonly element: "f32" | "vec4f" }) => ({ x: element }),
  write: { g: "f32" },
  over: "count",
  workgroup: invocations,
  functions: ({ element }) =>
    element === "f32"
      ? "fn product(a: f32, b: f32) -> f32 { return a * b; }"
      : "fn product(a: vec4f, b: vec4f) -> f32 { return dot(a, b); }",
  main: /* wgsl */ `
  let batch = index / (p.tiles * p.tiles);
  let top = index / p.tiles % p.tiles * ${SIDE}u;
  let side = index % p.tiles * ${SIDE}u;
  if (side < top) { return; }
  let first = batch * p.rows;
${each(SIDE, (k) => `  let i${k} = (first + min(top + ${k}u, p.rows - 1u)) * p.loads; let j${k} = (first + min(side + ${k}u, p.rows - 1u)) * p.loads;`)}
  var sums = mat4x4f();
  for (var c0 = 0u; c0 < p.loads; c0 += 64u) {
    var run = mat4x4f();
    for (var c = c0; c < min(p.loads, c0 + 64u); c++) {
${each(SIDE, (k) => `      let b${k} = x[j${k} + c];`)}
${each(SIDE, (k) => `      let a${k} = x[i${k} + c]; run[${k}] += vec4f(product(a${k}, b0), product(a${k}, b1), product(a${k}, b2), product(a${k}, b3));`)}
    }
    sums += run;
  }
  for (var k = 0u; k < ${SIDE}u; k++) {
    for (var l = 0u; l < ${SIDE}u; l++) {
      let i = top + k;
      let j = side + l;
      // Inside a tile on the diagonal the upper half speaks for both.
      if (j < i || j >= p.rows) { continue; }
      g[(first + i) * p.rows + j] = sums[k][l];
      g[(first + j) * p.rows + i] = sums[k][l];
    }
  }`,
});

/** x (B, P, C) → (B, P, P), symmetric to the last bit. @throws UsageError for another number of axes */
export function gram(x: Tensor): Tensor {
  if (x.shape.length !== 3) throw new UsageError(`gram: ${showShape(x.shape)} is not (batch, rows, columns)`);
  const [batch, rows, dim] = x.shape;
  const g = result([batch, rows, rows], "gram");
  const tiles = Math.ceil(rows / SIDE);
  const [element, loads] = dim % 4 === 0 ? (["vec4f", dim / 4] as const) : (["f32", dim] as const);
  recording().flops += 2 * batch * rows * rows * dim;
  products({
    form: { element },
    params: { count: batch * tiles * tiles, tiles, rows, loads },
    read: { x },
    write: { g },
  });
  return g;
}
