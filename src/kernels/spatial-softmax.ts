/**
 * y[b, k, :] = Σ_n softmax_n(x[b, :, k])[n] · grid[n, :]
 *
 * The expected position of each of K maps over N pixels. Layout: x (B, N, K), channels last; grid (N, 2), columns x and y. Maps are
 * small (9 pixels in the published policy), so one invocation goes over one of them, twice.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { kernel } from "./kernel.ts";
import { EXP } from "./math.ts";
import { invocations } from "./variants.ts";

const expected = kernel({
  name: "spatial softmax",
  params: { count: "u32", pixels: "u32", maps: "u32" },
  read: { x: "f32", places: "vec2f" },
  write: { y: "vec2f" },
  over: "count",
  workgroup: invocations,
  functions: EXP,
  main: /* wgsl */ `
  let first = index / p.maps * p.pixels * p.maps + index % p.maps;
  // A NaN that max passes over comes back through its exponential.
  var most = x[first];
  for (var n = 1u; n < p.pixels; n++) { most = max(most, x[first + n * p.maps]); }
  var total = 0.0;
  var sum = vec2f();
  for (var n = 0u; n < p.pixels; n++) {
    let weight = expTo88(x[first + n * p.maps] - most);
    total += weight;
    sum += weight * places[n];
  }
  y[index] = sum / total;`,
});

/** x (B, N, K) and grid (N, 2) → (B, K, 2). @throws UsageError when they do not fit */
export function spatialSoftmax(x: Tensor, grid: Tensor): Tensor {
  if (x.shape.length !== 3 || grid.size !== 2 * x.dim(1))
    throw new UsageError(
      `spatialSoftmax: maps ${showShape(x.shape)} do not fit a grid ${showShape(grid.shape)}`,
    );
  const [batch, pixels, maps] = x.shape;
  const y = result([batch, maps, 2], "key points");
  expected({ params: { count: batch * maps, pixels, maps }, read: { x, places: grid }, write: { y } });
  return y;
}
