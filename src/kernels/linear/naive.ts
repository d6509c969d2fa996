/** One output an invocation: the second reference, and the floor every other variant must beat. */
import type { WeightDtype } from "../../tensor/packed-weight.ts";
import { READ_WEIGHT } from "../terms.ts";
import type { LinearVariant } from "./program.ts";

const NAIVE = (dtype: WeightDtype): string => /* wgsl */ `
${READ_WEIGHT[dtype]}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  let m = index / p.columns;
  let n = index % p.columns;
  if (m >= p.rows) { return; }
  var sum = 0.0;
  for (var k = 0u; k < p.inner; k++) { sum += x[m * p.inner + k] * w4(rowOfW(n) + k / 4u)[k % 4u]; }
  store(m, n, sum);
}
`;

export const naive: LinearVariant = {
  program: ({ rows, columns }) => ({
    key: "naive",
    body: NAIVE,
    x: "f32",
    invocations: rows * columns,
  }),
};
