/**
 * The Wan transformer in its original layout: its keys as diffusers names them. The two norms with a name in both layouts are swapped:
 * the original's `norm3` has the gain and bias before the cross-attention, which diffusers calls `norm2`.
 */
import { type KeyMap, mapKeys, renaming } from "../../weights/key-map.ts";
import type { TensorSource } from "../../weights/source.ts";

const rename: KeyMap = renaming([
  // What other programs put in front.
  [/^model\.diffusion_model\./, ""],
  [/^time_embedding\.0\./, "condition_embedder.time_embedder.linear_1."],
  [/^time_embedding\.2\./, "condition_embedder.time_embedder.linear_2."],
  [/^time_projection\.1\./, "condition_embedder.time_proj."],
  [/^text_embedding\.0\./, "condition_embedder.text_embedder.linear_1."],
  [/^text_embedding\.2\./, "condition_embedder.text_embedder.linear_2."],
  [/^img_emb\.proj\.0\./, "condition_embedder.image_embedder.norm1."],
  [/^img_emb\.proj\.1\./, "condition_embedder.image_embedder.ff.net.0.proj."],
  [/^img_emb\.proj\.3\./, "condition_embedder.image_embedder.ff.net.2."],
  [/^img_emb\.proj\.4\./, "condition_embedder.image_embedder.norm2."],
  [/^head\.modulation$/, "scale_shift_table"],
  [/^head\.head\./, "proj_out."],
  [/^(blocks\.\d+)\.modulation$/, "$1.scale_shift_table"],
  [/^(blocks\.\d+)\.norm3\./, "$1.norm2."],
  [/^(blocks\.\d+)\.ffn\.0\./, "$1.ffn.net.0.proj."],
  [/^(blocks\.\d+)\.ffn\.2\./, "$1.ffn.net.2."],
  [/^(blocks\.\d+)\.self_attn\./, "$1.attn1."],
  [/^(blocks\.\d+)\.cross_attn\./, "$1.attn2."],
  [/\.(attn[12])\.([qkv])\./, ".$1.to_$2."],
  [/\.(attn[12])\.o\./, ".$1.to_out.0."],
  [/\.attn2\.([kv])_img\./, ".attn2.add_$1_proj."],
  [/\.attn2\.norm_k_img\./, ".attn2.norm_added_k."],
]);

/** Whether the keys are in the original layout and not in diffusers'. */
export function hasWanOriginalKeys(keys: Iterable<string>): boolean {
  for (const key of keys) if (/blocks\.0\.self_attn\.q\.weight$/.test(key)) return true;
  return false;
}

/** The checkpoint under diffusers' names, whichever of the two layouts it has. */
export const wanTransformerWeights = (source: TensorSource): TensorSource =>
  hasWanOriginalKeys(source.tensors.keys()) ? mapKeys(source, rename) : source;
