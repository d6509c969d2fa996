/** Prompts of one batch. Axes: B prompts, S text tokens, D transformer width. */
import type { Gpu } from "../../gpu/gpu.ts";
import type { TextContext } from "../../networks/cosmos/transformer.ts";
import { copyTensor, createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";

/** Keys and values that lie together; free what was made for it with `release`. */
export interface TextBatch {
  readonly context: TextContext;
  release(): void;
}

/**
 * Prompts of (1, S, D) each as one batch; the shorter ones are filled up with tokens that are hidden. One prompt alone is taken as it
 * is and must live as long.
 */
export function textBatch(gpu: Gpu, texts: readonly TextContext[]): TextBatch {
  if (texts.length === 1) return { context: texts[0], release: () => undefined };
  const [B, lengths] = [texts.length, texts.map(({ keys }) => keys[0].dim(1))];
  const S = Math.max(...lengths);
  const made: Tensor[] = [];
  const keep = (tensor: Tensor): Tensor => {
    made.push(tensor);
    return tensor;
  };
  const batch = (of: "keys" | "values"): Tensor[] =>
    texts[0][of].map((first, block) => {
      const D = first.dim(2);
      const all = keep(createTensor(gpu, [B, S, D], undefined, `text ${of}`));
      texts.forEach((text, b) => copyTensor(gpu, text[of][block], all, { to: b * S * D }));
      return all;
    });
  const [keys, values] = [batch("keys"), batch("values")];
  const seen = Uint32Array.from({ length: B * S }, (_, i) => (i % S < lengths[Math.floor(i / S)] ? 1 : 0));
  // Nothing is hidden where all are of one length, as for a prompt alone.
  const mask = seen.includes(0) ? keep(createTensor(gpu, [B, S], seen, "text mask")) : undefined;
  return {
    context: { keys, values, mask },
    release: () => made.forEach((tensor) => releaseTensor(gpu, tensor)),
  };
}
