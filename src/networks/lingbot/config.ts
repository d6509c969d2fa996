/** Options of LingBot-VA's transformer: Wan's, with a second kind of token. */
import { ConfigReader } from "../config.ts";
import { checkWanConfig, type WanTransformerConfig } from "../wan/config.ts";

export interface LingbotConfig extends Omit<WanTransformerConfig, "textLength" | "imageDim"> {
  /** A, numbers of an action token */
  readonly actionDim: number;
}

/** The options' names, which a policy's config.json repeats among its own. */
export const LINGBOT_OPTIONS = [
  ...["patch_size", "num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "action_dim"],
  ...[
    "text_dim",
    "freq_dim",
    "ffn_dim",
    "num_layers",
    "cross_attn_norm",
    "eps",
    "rope_max_seq_len",
    "attn_mode",
  ],
] as const;

/**
 * Reads them from a reader that has already said which keys are known; absent keys take the published sizes. `attn_mode` names programs
 * for the same mathematics, and `rope_max_seq_len` is no bound on positions.
 * @throws FormatError for a malformed field, UsageError for what this project does not have
 */
export function lingbotOptions(c: ConfigReader, name: string): LingbotConfig {
  return checkWanConfig(
    {
      inChannels: c.count("in_channels", 48),
      outChannels: c.count("out_channels", 48),
      actionDim: c.count("action_dim", 30),
      heads: c.count("num_attention_heads", 24),
      headDim: c.count("attention_head_dim", 128),
      layers: c.count("num_layers", 30),
      feedForward: c.count("ffn_dim", 14336),
      textDim: c.count("text_dim", 4096),
      timeDim: c.count("freq_dim", 256),
      patchSize: c.numbers("patch_size", 3, [1, 2, 2]) as [number, number, number],
      epsilon: c.number("eps", 1e-6),
      crossNorm: c.flag("cross_attn_norm", true),
    },
    name,
  );
}

/** Reads a config.json of the transformer alone. @throws as `lingbotOptions`, and UsageError for an unknown option */
export function readLingbotConfig(json: unknown, name = "transformer"): LingbotConfig {
  const c = new ConfigReader(json, name);
  c.known(...LINGBOT_OPTIONS);
  c.only("_class_name", "WanTransformer3DModel");
  return lingbotOptions(c, name);
}
