/** One output an invocation: the second reference, and the floor every other variant must beat. */
import { linearVariant } from "./program.ts";

export const naive = linearVariant({
  name: "naive",
  plan: ({ rows, columns }) => ({ form: {}, element: "f32", invocations: rows * columns }),
  main: () => /* wgsl */ `
  let m = index / p.columns;
  let n = index % p.columns;
  if (m >= p.rows) { return; }
  var sum = 0.0;
  for (var k = 0u; k < p.inner; k++) { sum += x[m * p.inner + k] * w4(rowOfW(n) + k / 4u)[k % 4u]; }
  store(m, n, sum);`,
});
