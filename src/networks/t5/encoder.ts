/**
 * The T5 encoder (transformers `T5EncoderModel`; docs/references.md, "T5"): token ids to text features.
 *
 * Axes: B batch, S tokens, d model width, H heads of width d_kv, F feed-forward width.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { attention } from "../../kernels/attention.ts";
import { gather } from "../../kernels/gather.ts";
import { linear } from "../../kernels/linear.ts";
import { norm } from "../../kernels/norm.ts";
import type { Matrix } from "../../tensor/matrix.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { ConfigReader } from "../config.ts";
import { checkBuckets, relativeBuckets } from "./buckets.ts";

export interface T5Config {
  readonly vocabulary: number;
  readonly width: number;
  readonly headDim: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly heads: number;
  readonly epsilon: number;
  readonly buckets: number;
  readonly maxDistance: number;
}

/**
 * Reads transformers' T5 configuration.
 * @throws FormatError for a malformed field, UsageError for a feed-forward that is not the plain relu one, or too few buckets of positions
 */
export function readT5Config(json: unknown, name = "text encoder"): T5Config {
  const c = new ConfigReader(json, name);
  c.only("model_type", "t5");
  c.only("feed_forward_proj", "relu");
  c.only("is_gated_act", false);
  c.only("dense_act_fn", "relu");
  const config: T5Config = {
    vocabulary: c.count("vocab_size"),
    width: c.count("d_model"),
    headDim: c.count("d_kv"),
    feedForward: c.count("d_ff"),
    layers: c.count("num_layers"),
    heads: c.count("num_heads"),
    epsilon: c.number("layer_norm_epsilon", 1e-6),
    buckets: c.count("relative_attention_num_buckets", 32),
    maxDistance: c.count("relative_attention_max_distance", 128),
  };
  checkBuckets(config.buckets, config.maxDistance, name);
  return config;
}

interface Layer {
  readonly attentionNorm: Tensor;
  readonly attention: Readonly<Record<"q" | "k" | "v" | "o", Matrix>>;
  readonly feedForwardNorm: Tensor;
  readonly feedForward: { readonly wi: Matrix; readonly wo: Matrix };
}

/** Weights and forward pass; `forward` records operations and must be called inside `record`. */
export class T5Encoder {
  readonly config: T5Config;
  readonly #embedding: Tensor;
  readonly #relativeBias: Tensor;
  readonly #layers: readonly Layer[];
  readonly #finalNorm: Tensor;

  constructor(config: T5Config, w: WeightLoader) {
    const { width, heads, headDim, feedForward, vocabulary } = config;
    const inner = heads * headDim;
    this.config = config;
    this.#embedding = w.tensor("shared.weight", [vocabulary, width]);
    // The same tensor under its second name, which a torch state dict repeats and safetensors drops.
    w.ignore(/encoder\.embed_tokens\.weight$/);
    this.#relativeBias = w.tensor("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", [
      config.buckets,
      heads,
    ]);
    this.#layers = Array.from({ length: config.layers }, (_, i) => {
      const self = w.within(`encoder.block.${i}.layer.0`);
      const ff = w.within(`encoder.block.${i}.layer.1`);
      return {
        attentionNorm: self.tensor("layer_norm.weight", [width]),
        attention: {
          q: self.linear("SelfAttention.q.weight", inner, width),
          k: self.linear("SelfAttention.k.weight", inner, width),
          v: self.linear("SelfAttention.v.weight", inner, width),
          o: self.linear("SelfAttention.o.weight", width, inner),
        },
        feedForwardNorm: ff.tensor("layer_norm.weight", [width]),
        feedForward: {
          wi: ff.linear("DenseReluDense.wi.weight", feedForward, width),
          wo: ff.linear("DenseReluDense.wo.weight", width, feedForward),
        },
      };
    });
    this.#finalNorm = w.tensor("encoder.final_layer_norm.weight", [width]);
  }

  /**
   * ids (B, S) u32, mask (B, S) u32 with 0 on padding → (B, S, d). Padded positions have features too.
   * @throws UsageError when the mask has another shape
   */
  forward(ids: Tensor, mask?: Tensor): Tensor {
    const { heads, headDim, epsilon } = this.config;
    const [, S] = ids.shape;
    if (mask && showShape(mask.shape) !== showShape(ids.shape)) {
      throw new UsageError(`T5: mask ${showShape(mask.shape)} for ids ${showShape(ids.shape)}`);
    }
    const { buckets, maxDistance } = this.config;
    const bucketOf = constant([2 * S - 1], relativeBuckets(S, buckets, maxDistance), "buckets");
    const relativeBias = gather(this.#relativeBias, bucketOf); // (2S−1, H)
    let x = scope("shared", () => gather(this.#embedding, ids)); // (B, S, d)
    this.#layers.forEach((layer, i) => {
      x = scope(`encoder.block.${i}`, () => {
        const y = norm(x, { kind: "rms", epsilon, weight: layer.attentionNorm });
        const { q, k, v, o } = layer.attention;
        const [tq, tk, tv] = [q, k, v].map((w) => ({ tensor: linear(y, w) })); // (B, S, H·d_kv)
        // T5 does not divide the logits by √d.
        const context = attention(tq, tk, tv, { heads, headDim, scale: 1, mask, relativeBias });
        return linear(context, o, { residual: x });
      });
      x = scope(`encoder.block.${i}`, () => {
        const y = norm(x, { kind: "rms", epsilon, weight: layer.feedForwardNorm });
        const { wi, wo } = layer.feedForward;
        return linear(linear(y, wi, { activation: "relu" }), wo, { residual: x });
      });
    });
    return norm(x, { kind: "rms", epsilon, weight: this.#finalNorm });
  }
}
