/**
 * A prompt and the empty prompt as keys and values of every block, once an episode. Behind a text stand rows of zeros, which all become one
 * and the same key and value: it is computed once and repeated.
 *
 * Axes: L rows of a text, S rows that are attended to, E text width, D width.
 */
import { UsageError } from "../../errors.ts";
import { record } from "../../gpu/recording.ts";
import { concat, expand, slice } from "../../kernels/copy.ts";
import { itemsOf, type TextContext } from "../../networks/lingbot/transformer.ts";
import { createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import type { LingbotModel } from "./model.ts";

/** A text's keys and values on the GPU; free them with `dispose`. */
export interface PreparedText {
  /** of all branches: the prompt's first, then the empty prompt's where there are two */
  readonly branches: TextContext;
  /** the prompt's alone */
  readonly prompt: TextContext;
  dispose(): void;
}

/**
 * @param texts (L, E) of the prompt and of the empty prompt, without their padding
 * @param rows S
 * @throws UsageError for a text without rows, or of more than S
 */
export async function prepareText(
  model: LingbotModel,
  texts: readonly Float32Array[],
  rows: number,
): Promise<PreparedText> {
  const { gpu, transformer, branches } = model;
  const E = transformer.config.textDim;
  const given = texts.slice(0, branches).map((values) => {
    const L = values.length / E;
    if (!Number.isInteger(L) || L < 1 || L > rows)
      throw new UsageError(`LingBot-VA: a text of ${L} rows; the policy reads 1 to ${rows}`);
    // One row of zeros for all that stand behind it.
    const padded = new Float32Array(Math.min(L + 1, rows) * E);
    padded.set(values);
    return { L, tensor: createTensor(gpu, [1, padded.length / E, E], padded, "text") };
  });
  try {
    const replay = await record(gpu, "prepare text", () => {
      const each = given.map(({ L, tensor }) =>
        transformer.textContext(tensor).map(({ text: { k, v } }) => ({
          k: repeatedLast(k, L, rows),
          v: repeatedLast(v, L, rows),
        })),
      );
      return each[0].map((_, i) => ({
        text: {
          k: concat(
            each.map((branch) => branch[i].k),
            0,
          ),
          v: concat(
            each.map((branch) => branch[i].v),
            0,
          ),
        },
      }));
    });
    await replay.run();
    const all = replay.outputs;
    return {
      branches: all,
      prompt: all.map(({ text: { k, v } }) => ({ text: { k: itemsOf(k, 1), v: itemsOf(v, 1) } })),
      dispose: () => replay.dispose(),
    };
  } finally {
    await gpu.idle();
    for (const { tensor } of given) releaseTensor(gpu, tensor);
  }
}

/** (1, L + 1, D) → (1, S, D): the last row S − L times */
function repeatedLast(x: Tensor, L: number, rows: number): Tensor {
  if (L === rows) return x;
  const D = x.dim(-1);
  return concat([slice(x, 1, 0, L), expand(slice(x, 1, L, L + 1), 1, rows - L, D)], 1);
}
