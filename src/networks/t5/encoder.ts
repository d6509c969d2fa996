/**
 * The T5 encoder (transformers `T5EncoderModel`; docs/references.md, "T5"), and UMT5's, which differs in two values of the configuration
 * (umt5.ts): token ids to text features.
 *
 * Axes: B batch, S tokens, d model width, H heads of width d_kv, F feed-forward width.
 */
import { UsageError } from "../../errors.ts";
import { scope } from "../../gpu/recording.ts";
import { gather } from "../../kernels/gather.ts";
import { norm } from "../../kernels/norm.ts";
import { constant, showShape, type Tensor } from "../../tensor/tensor.ts";
import type { WeightLoader } from "../../weights/loader.ts";
import { ConfigReader } from "../config.ts";
import { sharedBias, T5Layer } from "./layer.ts";
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
  /** whether all layers have the first one's table of relative positions, as in T5, or each its own, as in UMT5 */
  readonly sharedBias: boolean;
  /** "relu": wo(relu(wi y)), as in T5; "gated": wo(gelu(wi_0 y) ⊙ wi_1 y) with the GELU's approximation, as in UMT5 */
  readonly activation: "relu" | "gated";
}

/** What a config.json of transformers also holds: of the decoder, of training, of generating text, and of files. */
export const NOT_OF_THE_ENCODER = [
  ...[
    "architectures",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "tokenizer_class",
    "task_specific_params",
  ],
  ...["pad_token_id", "eos_token_id", "bos_token_id", "decoder_start_token_id", "use_cache", "output_past"],
  ...["num_decoder_layers", "is_encoder_decoder", "tie_word_embeddings", "scale_decoder_outputs"],
  ...["dropout_rate", "classifier_dropout", "initializer_factor", "gradient_checkpointing", "n_positions"],
];

/** What tells one kind of T5 from another: fields that must say so, sizes that may be left out, and the two values. */
export interface T5Kind extends Pick<T5Config, "sharedBias" | "activation"> {
  readonly fields: Readonly<Record<string, string | boolean>>;
  /** by field; a size that is not here is required */
  readonly defaults: Readonly<Record<string, number>>;
}

const T5: T5Kind = {
  fields: { model_type: "t5", feed_forward_proj: "relu", is_gated_act: false, dense_act_fn: "relu" },
  defaults: {},
  ...{ sharedBias: true, activation: "relu" },
};

/**
 * Reads transformers' configuration of one kind.
 * @throws FormatError for a malformed field, UsageError for another kind, too few buckets of positions, or an option that is not known
 */
export function readEncoderConfig(json: unknown, name: string, kind: T5Kind): T5Config {
  const { fields, defaults, sharedBias, activation } = kind;
  const c = new ConfigReader(json, name);
  for (const [field, value] of Object.entries(fields)) c.only(field, value);
  c.only("is_decoder", false);
  c.known(
    ...Object.keys(fields),
    ...["is_decoder", "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"],
    ...["layer_norm_epsilon", "relative_attention_num_buckets", "relative_attention_max_distance"],
    ...NOT_OF_THE_ENCODER,
  );
  const size = (field: string): number => c.count(field, defaults[field]);
  const config: T5Config = {
    vocabulary: size("vocab_size"),
    width: size("d_model"),
    headDim: size("d_kv"),
    feedForward: size("d_ff"),
    layers: size("num_layers"),
    heads: size("num_heads"),
    epsilon: c.number("layer_norm_epsilon", 1e-6),
    buckets: c.count("relative_attention_num_buckets", 32),
    maxDistance: c.count("relative_attention_max_distance", 128),
    ...{ sharedBias, activation },
  };
  checkBuckets(config.buckets, config.maxDistance, name);
  return config;
}

/** Reads transformers' T5 configuration. @throws as `readEncoderConfig` */
export const readT5Config = (json: unknown, name = "text encoder"): T5Config =>
  readEncoderConfig(json, name, T5);

/** Weights and forward pass; `forward` records operations and must be called inside `record`. */
export class T5Encoder {
  readonly config: T5Config;
  readonly #embedding: Tensor;
  readonly #sharedBias: Tensor | undefined;
  readonly #layers: readonly T5Layer[];
  readonly #finalNorm: Tensor;

  constructor(config: T5Config, w: WeightLoader) {
    const { width, vocabulary } = config;
    this.config = config;
    this.#embedding = w.tensor("shared.weight", [vocabulary, width]);
    // The same tensor under its second name, which a torch state dict repeats and safetensors drops.
    w.ignore(/encoder\.embed_tokens\.weight$/);
    this.#sharedBias = sharedBias(config, w);
    this.#layers = Array.from({ length: config.layers }, (_, i) => new T5Layer(config, w, i));
    this.#finalNorm = w.tensor("encoder.final_layer_norm.weight", [width]);
  }

  /**
   * ids (B, S) u32, mask (B, S) u32 with 0 on padding → (B, S, d). Padded positions have features too.
   * @throws UsageError when the mask has another shape
   */
  forward(ids: Tensor, mask?: Tensor): Tensor {
    const { epsilon } = this.config;
    const [, S] = ids.shape;
    if (mask && showShape(mask.shape) !== showShape(ids.shape)) {
      throw new UsageError(`T5: mask ${showShape(mask.shape)} for ids ${showShape(ids.shape)}`);
    }
    const { buckets, maxDistance } = this.config;
    const bucketOf = constant([2 * S - 1], relativeBuckets(S, buckets, maxDistance), "buckets");
    let x = scope("shared", () => gather(this.#embedding, ids)); // (B, S, d)
    const shared = this.#sharedBias && gather(this.#sharedBias, bucketOf); // (2S−1, H)
    this.#layers.forEach((layer, i) => {
      x = scope(`encoder.block.${i}`, () => {
        const relativeBias = shared ?? gather(layer.relativeBias!, bucketOf);
        return layer.forward(x, { relativeBias, mask });
      });
    });
    return norm(x, { kind: "rms", epsilon, weight: this.#finalNorm });
  }
}
