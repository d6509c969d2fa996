/**
 * UMT5's encoder as values of T5's: a table of relative positions in every layer, and a gated feed-forward (transformers
 * `UMT5EncoderModel`; Wan's own `umt5-xxl` in the original layout). Keys of the original become transformers'.
 */
import { UsageError } from "../../errors.ts";
import { type KeyMap, mapKeys, renaming } from "../../weights/key-map.ts";
import type { TensorSource } from "../../weights/source.ts";
import { ConfigReader } from "../config.ts";
import { checkBuckets } from "./buckets.ts";
import { readEncoderConfig, readT5Config, type T5Config, type T5Kind } from "./encoder.ts";

const UMT5: T5Kind = {
  fields: {
    model_type: "umt5",
    feed_forward_proj: "gated-gelu",
    is_gated_act: true,
    dense_act_fn: "gelu_new",
  },
  defaults: { vocab_size: 250112, d_model: 512, d_kv: 64, d_ff: 1024, num_layers: 8, num_heads: 6 },
  ...{ sharedBias: false, activation: "gated" },
};

/** Reads transformers' UMT5 configuration; absent sizes take its defaults. @throws as `readEncoderConfig` */
export const readUmt5Config = (json: unknown, name = "text encoder"): T5Config =>
  readEncoderConfig(json, name, UMT5);

/**
 * The original's arguments: `vocab`, `dim`, `dim_attn`, `dim_ffn`, `num_heads`, `num_layers`, `num_buckets`, `shared_pos`.
 * @throws FormatError for a malformed field, UsageError for what does not divide or is not known
 */
export function readUmt5OriginalConfig(json: unknown, name = "text encoder"): T5Config {
  const c = new ConfigReader(json, name);
  c.known(
    ...["layout", "vocab", "dim", "dim_attn", "dim_ffn", "num_heads", "num_layers", "num_buckets"],
    ...["shared_pos", "dropout"],
  );
  c.only("layout", "original");
  c.only("shared_pos", false);
  const [inner, heads] = [c.count("dim_attn", 4096), c.count("num_heads", 64)];
  if (inner % heads !== 0)
    throw new UsageError(`${name}: dim_attn ${inner} does not divide into ${heads} heads`);
  const config: T5Config = {
    vocabulary: c.count("vocab", 256384),
    width: c.count("dim", 4096),
    headDim: inner / heads,
    feedForward: c.count("dim_ffn", 10240),
    layers: c.count("num_layers", 24),
    heads,
    epsilon: 1e-6,
    buckets: c.count("num_buckets", 32),
    maxDistance: 128,
    sharedBias: false,
    activation: "gated",
  };
  checkBuckets(config.buckets, config.maxDistance, name);
  return config;
}

/** T5's or UMT5's, whichever the `model_type` says. @throws as the two readers do */
export const readTextEncoderConfig = (json: unknown, name?: string): T5Config =>
  (json as { model_type?: unknown } | null)?.model_type === "umt5"
    ? readUmt5Config(json, name)
    : readT5Config(json, name);

const rename: KeyMap = renaming([
  [/^token_embedding\./, "shared."],
  [/^norm\./, "encoder.final_layer_norm."],
  [/^blocks\.(\d+)\.norm1\./, "encoder.block.$1.layer.0.layer_norm."],
  [/^blocks\.(\d+)\.attn\.([qkvo])\./, "encoder.block.$1.layer.0.SelfAttention.$2."],
  [
    /^blocks\.(\d+)\.pos_embedding\.embedding\./,
    "encoder.block.$1.layer.0.SelfAttention.relative_attention_bias.",
  ],
  [/^blocks\.(\d+)\.norm2\./, "encoder.block.$1.layer.1.layer_norm."],
  [/^blocks\.(\d+)\.ffn\.gate\.0\./, "encoder.block.$1.layer.1.DenseReluDense.wi_0."],
  [/^blocks\.(\d+)\.ffn\.fc1\./, "encoder.block.$1.layer.1.DenseReluDense.wi_1."],
  [/^blocks\.(\d+)\.ffn\.fc2\./, "encoder.block.$1.layer.1.DenseReluDense.wo."],
]);

/** The checkpoint under transformers' names, whichever of the two layouts it has. */
export const umt5Weights = (source: TensorSource): TensorSource =>
  source.tensors.has("token_embedding.weight") ? mapKeys(source, rename) : source;
