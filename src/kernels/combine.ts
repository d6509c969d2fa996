/**
 * y[i] = Σ_j c[j] · x_j[i]
 *
 * A linear combination of tensors of one size, its coefficients in a tensor so that a replay can change them: one step of a sampler.
 * One invocation an element; terms are added in the order given.
 */
import { UsageError } from "../errors.ts";
import { result, showShape, type Tensor } from "../tensor/tensor.ts";
import { type Element, kernel } from "./kernel.ts";
import { each } from "./text.ts";

/** A device binds at least eight: these, the coefficients and the result. */
const MOST_TERMS = 6;

const numbered = <T>(terms: number, value: (j: number) => T): Record<string, T> =>
  Object.fromEntries(Array.from({ length: terms }, (_, j) => [`x${j}`, value(j)]));

const addTerms = kernel({
  name: "combine",
  params: { size: "u32" },
  read: ({ terms }: { readonly terms: number }): Record<string, Element> => ({
    c: "f32",
    ...numbered(terms, () => "f32" as const),
  }),
  write: { y: "f32" },
  over: "size",
  main: ({ terms }) => /* wgsl */ `
  var sum = c[0] * x0[index];
${each(terms - 1, (j) => `  sum += c[${j + 1}] * x${j + 1}[index];`)}
  y[index] = sum;`,
});

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
  const y = result(first.shape, "combine");
  addTerms({
    form: { terms: terms.length },
    params: { size: first.size },
    read: { c: coefficients, ...numbered(terms.length, (j) => terms[j]) },
    write: { y },
  });
  return y;
}
