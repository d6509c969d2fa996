/** Options of the Wan video transformer, in diffusers' names and in the original's. */
import { UsageError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";

export interface WanTransformerConfig {
  /** latent channels, and for image-to-video the mask and the reference's latents */
  readonly inChannels: number;
  readonly outChannels: number;
  readonly heads: number;
  readonly headDim: number;
  readonly layers: number;
  readonly feedForward: number;
  readonly textDim: number;
  /** text rows that count, given ones and zeros behind them; undefined: as many as are given */
  readonly textLength?: number;
  /** width of the time's sinusoid */
  readonly timeDim: number;
  /** (time, height, width) of a patch, in latents; time is 1 */
  readonly patchSize: readonly [number, number, number];
  readonly epsilon: number;
  /** whether a norm with gain and bias stands before the cross-attention */
  readonly crossNorm: boolean;
  /** width of image tokens, for models that attend to some */
  readonly imageDim?: number;
}

type Triple = [number, number, number];

/** D, the width of a token */
export const widthOf = (c: Pick<WanTransformerConfig, "heads" | "headDim">): number => c.heads * c.headDim;

/** @throws UsageError for what this project does not have: patches of several frames, odd heads */
export function checkWanConfig<C extends Pick<WanTransformerConfig, "patchSize" | "headDim" | "timeDim">>(
  config: C,
  name: string,
): C {
  const { patchSize, headDim, timeDim } = config;
  if (patchSize[0] !== 1)
    throw new UsageError(
      `${name}: patch_size ${JSON.stringify(patchSize)} joins frames; only 1 in time is supported`,
    );
  if (headDim % 2 !== 0)
    throw new UsageError(`${name}: heads of ${headDim} channels have no pairs to rotate`);
  if (timeDim % 2 !== 0) throw new UsageError(`${name}: freq_dim ${timeDim} is odd`);
  return config;
}

/**
 * Reads diffusers' `WanTransformer3DModel` configuration; absent keys take its defaults.
 * @throws FormatError for a malformed field, UsageError for an option this project does not have
 */
export function readWanTransformerConfig(json: unknown, name = "transformer"): WanTransformerConfig {
  const c = new ConfigReader(json, name);
  c.known(
    ...["patch_size", "num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "text_dim"],
    ...["freq_dim", "ffn_dim", "num_layers", "cross_attn_norm", "qk_norm", "eps", "image_dim"],
    ...["added_kv_proj_dim", "rope_max_seq_len", "pos_embed_seq_len"],
  );
  c.only("_class_name", "WanTransformer3DModel");
  c.only("qk_norm", "rms_norm_across_heads");
  // A learned table for two images, of first-and-last-frame models.
  c.only("pos_embed_seq_len", null);
  const [heads, headDim] = [c.count("num_attention_heads", 40), c.count("attention_head_dim", 128)];
  const imageDim = c.has("image_dim") ? c.count("image_dim") : undefined;
  // Keys of the image are made from image tokens, which are as wide as all others by then.
  c.only("added_kv_proj_dim", ...(imageDim === undefined ? [null] : [heads * headDim]));
  return checkWanConfig(
    {
      inChannels: c.count("in_channels", 16),
      outChannels: c.count("out_channels", 16),
      heads,
      headDim,
      layers: c.count("num_layers", 40),
      feedForward: c.count("ffn_dim", 13824),
      textDim: c.count("text_dim", 4096),
      timeDim: c.count("freq_dim", 256),
      patchSize: c.numbers("patch_size", 3, [1, 2, 2]) as Triple,
      epsilon: c.number("eps", 1e-6),
      crossNorm: c.flag("cross_attn_norm", true),
      imageDim,
    },
    name,
  );
}

/**
 * Reads the original `WanModel`'s arguments; absent keys take its defaults. `image_dim`, which is 1280 there and no argument, may be given.
 * @throws FormatError for a malformed field, UsageError for an option this project does not have
 */
export function readWanOriginalConfig(json: unknown, name = "transformer"): WanTransformerConfig {
  const c = new ConfigReader(json, name);
  c.known(
    ...["layout", "model_type", "patch_size", "text_len", "in_dim", "dim", "ffn_dim", "freq_dim", "text_dim"],
    ...[
      "out_dim",
      "num_heads",
      "num_layers",
      "window_size",
      "qk_norm",
      "cross_attn_norm",
      "eps",
      "image_dim",
    ],
  );
  c.only("layout", "original");
  c.only("model_type", "t2v", "i2v");
  c.only("qk_norm", true);
  c.only("window_size", [-1, -1]);
  const [dim, heads] = [c.count("dim", 2048), c.count("num_heads", 16)];
  if (dim % heads !== 0) throw new UsageError(`${name}: dim ${dim} does not divide into ${heads} heads`);
  const withImage = c.text("model_type", "t2v") === "i2v";
  return checkWanConfig(
    {
      inChannels: c.count("in_dim", 16),
      outChannels: c.count("out_dim", 16),
      heads,
      headDim: dim / heads,
      layers: c.count("num_layers", 32),
      feedForward: c.count("ffn_dim", 8192),
      textDim: c.count("text_dim", 4096),
      textLength: c.count("text_len", 512),
      timeDim: c.count("freq_dim", 256),
      patchSize: c.numbers("patch_size", 3, [1, 2, 2]) as Triple,
      epsilon: c.number("eps", 1e-6),
      crossNorm: c.flag("cross_attn_norm", true),
      imageDim: withImage ? c.count("image_dim", 1280) : undefined,
    },
    name,
  );
}
