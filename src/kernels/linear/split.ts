/**
 * For few rows on real GPUs, where one pass over W is all there is: a workgroup of 64 owns four rows and 32 columns; eight
 * neighbours share the terms of four columns, so that they read 128 bytes of W in a row, and meet in workgroup memory.
 * Not timed on a real GPU yet.
 */
import { bindX } from "../terms.ts";
import { linearVariant } from "./program.ts";

export const split = linearVariant({
  name: "split",
  plan: ({ rows, inner, columns }) => ({
    form: {},
    element: bindX(inner),
    invocations: Math.ceil(rows / 4) * Math.ceil(columns / 32) * 64,
    workgroup: 64,
  }),
  functions: () => /* wgsl */ `
const SLICES = 8u;
var<workgroup> partial: array<vec4f, SLICES * 32u>; // [slice][row][four columns]`,
  main: () => /* wgsl */ `
  let across = (p.columns + 31u) / 32u;
  let m = group / across * 4u;
  let n = group % across * 32u;
  if (m >= p.rows) { return; }
  let slice = lane % SLICES;
  let four = lane / SLICES;
  let row = vec4u(rowOfX(m), rowOfX(m + 1u), rowOfX(m + 2u), rowOfX(m + 3u));
  let first = n + four * 4u;
  let at = vec4u(rowOfW(first), rowOfW(first + 1u), rowOfW(first + 2u), rowOfW(first + 3u));
  var sum = mat4x4f();
  for (var i = slice; 4u * i < p.inner; i += SLICES) {
    let b = mat4x4f(w4(at.x + i), w4(at.y + i), w4(at.z + i), w4(at.w + i));
    sum += mat4x4f(xEnd(row.x, i) * b, xEnd(row.y, i) * b, xEnd(row.z, i) * b, xEnd(row.w, i) * b);
  }
  for (var r = 0u; r < 4u; r++) { partial[slice * 32u + r * 8u + four] = sum[r]; }
  workgroupBarrier();
  if (lane >= 32u) { return; }
  var total = vec4f();
  for (var i = 0u; i < SLICES; i++) { total += partial[i * 32u + lane]; }
  let column = n + lane % 8u * 4u;
  store4(m + lane / 8u, column, total, bias4(column));`,
});
