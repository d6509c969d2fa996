/**
 * y[i] = Σ_j c[j] · x_j[i]
 *
 * A linear combination of tensors of one size, its coefficients in a tensor so that a replay can change them: one step of a sampler.
 * One invocation an element; terms are added in the order given.
 */
import { UsageError } from "../errors.ts";
import { recording } from "../gpu/recording.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { each } from "./text.ts";
import { LIGHT_INVOCATIONS } from "./variants.ts";

/** A device binds at least eight: these, the coefficients and the result. */
const MOST_TERMS = 6;

const WGSL = (terms: number): string => /* wgsl */ `
struct Params { size: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> c: array<f32>;
${each(terms, (j) => `@group(0) @binding(${j + 2}) var<storage, read> x${j}: array<f32>;`)}
@group(0) @binding(${terms + 2}) var<storage, read_write> y: array<f32>;
override WORKGROUP: u32;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * grid.x) * WORKGROUP + lane;
  if (i >= p.size) { return; }
  var sum = c[0] * x0[i];
${each(terms - 1, (j) => `  sum += c[${j + 1}] * x${j + 1}[i];`)}
  y[i] = sum;
}
`;

/**
 * Σ_j c_j · x_j; coefficients (≥ number of terms), terms of equal size.
 * @throws UsageError for no or too many terms, or terms of different sizes
 */
export function combine(terms: readonly Tensor[], coefficients: Tensor): Tensor {
  const [first] = terms;
  const fits = terms.length >= 1 && terms.length <= MOST_TERMS && coefficients.size >= terms.length;
  if (!fits || terms.some((t) => t.size !== first.size)) {
    throw new UsageError(
      `combine: ${terms.map((t) => showShape(t.shape)).join(" and ") || "nothing"} with ${coefficients.size} coefficients; ` +
        `1 to ${MOST_TERMS} terms of one size are needed`,
    );
  }
  const list = recording();
  const y = result(first.shape, "combine");
  list.dispatch({
    kernel: {
      name: "combine",
      key: `${terms.length}`,
      wgsl: () => WGSL(terms.length),
      inputs: terms.length + 1,
      outputs: 1,
      constants: { WORKGROUP: LIGHT_INVOCATIONS },
    },
    params: { u32: [first.size] },
    inputs: [coefficients.storage, ...terms.map((t) => t.storage)],
    outputs: [y.storage],
    workgroups: Math.ceil(first.size / LIGHT_INVOCATIONS),
  });
  return y;
}
