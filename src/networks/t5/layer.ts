/**
 * One layer of the T5 encoder (transformers' `modeling_t5.py`), whether all layers lie on the GPU or one at a time.
 *
 * Axes: B batch, S tokens, d model width, H heads of width d_kv.
 */
import { attention } from "../../kernels/attention.ts";
import { multiply } from "../../kernels/elementwise.ts";
import { linear } from "../../kernels/linear.ts";
import { norm } from "../../kernels/norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import type { T5Config } from "./encoder.ts";

const BIAS_KEY = "SelfAttention.relative_attention_bias.weight";

/** The first layer's table of relative positions (buckets, H), where all layers share it. */
export const sharedBias = (
  { sharedBias: shared, buckets, heads }: T5Config,
  w: WeightLoader,
): Tensor | undefined =>
  shared ? w.tensor(`encoder.block.0.layer.0.${BIAS_KEY}`, [buckets, heads]) : undefined;

/** What every layer sees besides its input. */
export interface T5Surroundings {
  /** (2S − 1, H) */
  readonly relativeBias: Tensor;
  /** (B, S) u32, 0 on padding */
  readonly mask?: Tensor;
}

/** Self-attention and feed-forward, each behind a norm and around a residual; `forward` must be called inside `record`. */
export class T5Layer {
  /** (buckets, H): the table of relative positions, where layers have one each */
  readonly relativeBias?: Tensor;
  readonly #config: T5Config;
  readonly #attentionNorm: Tensor;
  readonly #attention: Readonly<Record<"q" | "k" | "v" | "o", Matrix>>;
  readonly #feedForwardNorm: Tensor;
  /** one map, or the gate's and the value's */
  readonly #wi: readonly Matrix[];
  readonly #wo: Matrix;

  /** Asks for the weights of layer `index`. */
  constructor(config: T5Config, w: WeightLoader, index: number) {
    const { width, heads, headDim, feedForward, buckets } = config;
    const inner = heads * headDim;
    const self = w.within(`encoder.block.${index}.layer.0`);
    const ff = w.within(`encoder.block.${index}.layer.1`);
    this.#config = config;
    this.#attentionNorm = self.tensor("layer_norm.weight", [width]);
    this.#attention = {
      q: self.linear("SelfAttention.q.weight", inner, width),
      k: self.linear("SelfAttention.k.weight", inner, width),
      v: self.linear("SelfAttention.v.weight", inner, width),
      o: self.linear("SelfAttention.o.weight", width, inner),
    };
    if (!config.sharedBias) this.relativeBias = self.tensor(BIAS_KEY, [buckets, heads]);
    this.#feedForwardNorm = ff.tensor("layer_norm.weight", [width]);
    const maps = config.activation === "gated" ? ["wi_0", "wi_1"] : ["wi"];
    this.#wi = maps.map((name) => ff.linear(`DenseReluDense.${name}.weight`, feedForward, width));
    this.#wo = ff.linear("DenseReluDense.wo.weight", width, feedForward);
  }

  /** (B, S, d) → (B, S, d) */
  forward(x: Tensor, { relativeBias, mask }: T5Surroundings): Tensor {
    const { heads, headDim, epsilon } = this.#config;
    const { q, k, v, o } = this.#attention;
    const y = norm(x, { kind: "rms", epsilon, weight: this.#attentionNorm });
    const [tq, tk, tv] = [q, k, v].map((w) => ({ tensor: linear(y, w) })); // (B, S, H·d_kv)
    // T5 does not divide the logits by √d.
    const context = attention(tq, tk, tv, { heads, headDim, scale: 1, mask, relativeBias });
    const z = linear(context, o, { residual: x });
    const hidden = norm(z, { kind: "rms", epsilon, weight: this.#feedForwardNorm });
    return linear(this.#activated(hidden), this.#wo, { residual: z });
  }

  /** (B, S, d) → (B, S, F) */
  #activated(y: Tensor): Tensor {
    const [first, value] = this.#wi;
    if (!value) return linear(y, first, { activation: "relu" });
    return multiply(linear(y, first, { activation: "geluTanh" }), linear(y, value));
  }
}
