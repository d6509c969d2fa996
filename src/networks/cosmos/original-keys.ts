/** Checkpoints of the Cosmos-Predict2 transformer in Cosmos' own layout: their keys as diffusers names them. */
import { type KeyMap, mapKeys, renaming } from "../../weights/key-map.ts";
import type { TensorSource } from "../../weights/source.ts";

/** Counters of the training, tables that are computed again, and the inert state of an attention library. */
const WITHOUT_USE = [/^accum_[^.]+$/, /^pos_embedder\.[^.]+$/, /(^|\.)_extra_state$/];

const rename = renaming([
  [/^t_embedder\.1\.(linear_[12])\./, "time_embed.t_embedder.$1."],
  [/^t_embedding_norm\./, "time_embed.norm."],
  [/^x_embedder\.proj\.1\./, "patch_embed.proj."],
  [/^final_layer\.linear\./, "proj_out."],
  [/^final_layer\.adaln_modulation\.([12])\./, "norm_out.linear_$1."],
  [/^blocks\.(\d+)\./, "transformer_blocks.$1."],
  [/\.adaln_modulation_self_attn\.([12])\./, ".norm1.linear_$1."],
  [/\.adaln_modulation_cross_attn\.([12])\./, ".norm2.linear_$1."],
  [/\.adaln_modulation_mlp\.([12])\./, ".norm3.linear_$1."],
  [/\.self_attn\./, ".attn1."],
  [/\.cross_attn\./, ".attn2."],
  [/\.([qkv])_proj\./, ".to_$1."],
  [/\.output_proj\./, ".to_out.0."],
  [/\.([qk])_norm\./, ".norm_$1."],
  [/\.mlp\.layer1\./, ".ff.net.0.proj."],
  [/\.mlp\.layer2\./, ".ff.net.2."],
]);

/** Cosmos' key without `net.` or `net_ema.`, under which the whole network is stored. */
export const withoutNet = (stored: string): string => stored.replace(/^net(?:_ema)?\./, "");

/** Cosmos' names → diffusers'; a name that is not Cosmos' stays, so that a loader reports it. */
export const cosmosKeys: KeyMap = (stored) => {
  const key = withoutNet(stored);
  return WITHOUT_USE.some((pattern) => pattern.test(key)) ? undefined : rename(key);
};

/** Whether the keys are in Cosmos' own layout and not in diffusers'. */
export function hasCosmosKeys(keys: Iterable<string>): boolean {
  for (const key of keys) if (/^(?:x_embedder\.proj\.1|t_embedder\.1)\./.test(withoutNet(key))) return true;
  return false;
}

/** The checkpoint under diffusers' names, whichever of the two layouts it has. */
export const cosmosWeights = (source: TensorSource): TensorSource =>
  hasCosmosKeys(source.tensors.keys()) ? mapKeys(source, cosmosKeys) : source;
