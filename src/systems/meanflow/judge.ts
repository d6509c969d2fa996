/** What a classifier says of real pictures: what samples are held against. */
import { UsageError } from "../../errors.ts";
import type { Population } from "../../probe/subject.ts";
import type { Evaluation } from "./evaluation.ts";

/** What judges samples, and what it says of real ones. */
export interface Judged {
  readonly evaluation: Evaluation;
  readonly population: Population;
  /** (C, C) mean logits of the held-out pictures of each class */
  readonly truths: readonly Float32Array<ArrayBuffer>[];
  /** (C) of all of them */
  readonly mean: Float32Array<ArrayBuffer>;
}

/**
 * Classifies real pictures once.
 * @throws UsageError when the classifier takes most held-out pictures of a class for another, so that it judges nothing
 */
export async function judge(evaluation: Evaluation, population: Population): Promise<Judged> {
  const { pixels, labels } = evaluation.heldOut;
  const { logits } = await evaluation.classify(pixels);
  const C = logits.length / labels.length;
  const meanOf = (wanted: (label: number) => boolean): Float32Array<ArrayBuffer> => {
    const sum = new Float64Array(C);
    let count = 0;
    labels.forEach((label, i) => {
      if (!wanted(label)) return;
      count++;
      for (let c = 0; c < C; c++) sum[c] += logits[i * C + c];
    });
    return Float32Array.from(sum, (x) => x / count);
  };
  const truths = Array.from({ length: C }, (_, own) => meanOf((label) => label === own));
  const wrong = truths.findIndex((truth, own) => truth.some((x, c) => c !== own && !(x < truth[own])));
  if (wrong >= 0)
    throw new UsageError(
      `the classifier does not know the held-out pictures of class ${wrong} by their mean; it cannot judge samples of it.`,
    );
  return { evaluation, population, truths, mean: meanOf(() => true) };
}
