/** Options of the Cosmos transformer, under their names in diffusers' config.json. */
import { UsageError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";

export interface CosmosTransformerConfig {
  /** latent channels, and the condition mask where the model has one; the padding mask comes on top */
  readonly inChannels: number;
  readonly outChannels: number;
  readonly heads: number;
  readonly headDim: number;
  readonly layers: number;
  readonly mlpRatio: number;
  readonly textDim: number;
  readonly adalnLoraDim: number;
  /** (time, height, width) of a patch, in latents; time is 1 */
  readonly patchSize: readonly [number, number, number];
  /** largest latent video the position tables cover: (frames, rows, columns) */
  readonly maxSize: readonly [number, number, number];
  /** extrapolation factor of the rotary base: (time, height, width) */
  readonly ropeScale: readonly [number, number, number];
  readonly learnedPositions: boolean;
  readonly paddingMask: boolean;
  /** of the norms of queries and keys: 1e-5 in diffusers, 1e-6 in Cosmos' own code */
  readonly qkEpsilon: number;
  /** what rotary tables and the sinusoids of the times are made of; bfloat16: each intermediate result is rounded to it */
  readonly tables: "float32" | "bfloat16";
  /** width of the text input before its projection to `textDim`, where there is one (Predict2.5) */
  readonly textProjectionFrom?: number;
}

type Triple = [number, number, number];

/**
 * Reads diffusers' `CosmosTransformer3DModel` configuration.
 * @throws FormatError for a missing or malformed field, UsageError for an option this project does not have
 */
export function readCosmosTransformerConfig(json: unknown, name = "transformer"): CosmosTransformerConfig {
  const c = new ConfigReader(json, name);
  c.only("_class_name", "CosmosTransformer3DModel");
  c.known(
    ...[
      "in_channels",
      "out_channels",
      "num_attention_heads",
      "attention_head_dim",
      "num_layers",
      "mlp_ratio",
    ],
    ...["text_embed_dim", "adaln_lora_dim", "max_size", "patch_size", "rope_scale", "concat_padding_mask"],
    ...[
      "extra_pos_embed_type",
      "use_crossattn_projection",
      "crossattn_proj_in_channels",
      "encoder_hidden_states_channels",
    ],
    ...["controlnet_block_every_n", "img_context_dim_in", "img_context_num_tokens", "img_context_dim_out"],
  );
  c.only("extra_pos_embed_type", null, "learnable");
  c.only("controlnet_block_every_n", null);
  c.only("img_context_dim_in", null);
  const projected = c.flag("use_crossattn_projection", false);
  const textDim = c.count("text_embed_dim", 1024);
  // The width behind the projection, which the attention reads; without one it means nothing.
  if (projected) c.only("encoder_hidden_states_channels", textDim);
  const config: CosmosTransformerConfig = {
    inChannels: c.count("in_channels", 16),
    outChannels: c.count("out_channels", 16),
    heads: c.count("num_attention_heads", 32),
    headDim: c.count("attention_head_dim", 128),
    layers: c.count("num_layers", 28),
    mlpRatio: c.number("mlp_ratio", 4),
    textDim,
    adalnLoraDim: c.count("adaln_lora_dim", 256),
    patchSize: c.numbers("patch_size", 3, [1, 2, 2]) as Triple,
    maxSize: c.numbers("max_size", 3, [128, 240, 240]) as Triple,
    ropeScale: c.numbers("rope_scale", 3, [2, 1, 1]) as Triple,
    learnedPositions: c.has("extra_pos_embed_type") && c.text("extra_pos_embed_type") === "learnable",
    paddingMask: c.flag("concat_padding_mask", true),
    qkEpsilon: 1e-5,
    tables: "float32",
    textProjectionFrom: projected ? c.count("crossattn_proj_in_channels", 1024) : undefined,
  };
  if (config.patchSize[0] !== 1) {
    throw new UsageError(
      `${name}: patch_size ${JSON.stringify(config.patchSize)} joins frames; only 1 in time is supported`,
    );
  }
  if (config.headDim % 2 !== 0) throw new UsageError(`${name}: attention_head_dim ${config.headDim} is odd`);
  return config;
}

/** D, the width of a token */
export const widthOf = (c: CosmosTransformerConfig): number => c.heads * c.headDim;
