/**
 * The configuration of a Cosmos-Predict2 transformer in Cosmos' own layout: from the arguments of its class, or, as the released files have
 * nothing beside them, from the shapes of its tensors.
 */
import { UsageError, WeightsError } from "../../errors.ts";
import type { TensorInfo } from "../../weights/source.ts";
import { ConfigReader } from "../config.ts";
import { axes, numbered } from "../shapes.ts";
import type { CosmosTransformerConfig } from "./config.ts";

/** What such models have in common. */
const ORIGINAL = { paddingMask: true, learnedPositions: false, qkEpsilon: 1e-6, tables: "bfloat16" } as const;

/**
 * The configuration of a released Cosmos-Predict2 transformer, from the shapes of its tensors under diffusers' names. What shapes do not
 * tell is as released: patches of 2 × 2, a condition and a padding mask, tables of 128 frames and 240 × 240 latents, rotary bases for
 * three times the trained height and width, norms of 1e-6, tables in bfloat16.
 * @throws WeightsError naming the tensor that is missing or has a shape no such model has
 */
export function cosmosConfigFromShapes(
  tensors: ReadonlyMap<string, TensorInfo>,
  name = "the video checkpoint",
): CosmosTransformerConfig {
  const matrix = (key: string): readonly [number, number] => {
    const [rows, columns] = axes(tensors, name, key, 2);
    return [rows, columns];
  };
  const block = "transformer_blocks.0.";
  const patch = 2 * 2;
  const [width, inner] = matrix("patch_embed.proj.weight");
  const [outer] = matrix("proj_out.weight");
  const [headDim] = axes(tensors, name, `${block}attn1.norm_q.weight`, 1);
  const [feedForward] = matrix(`${block}ff.net.0.proj.weight`);
  const [adalnLoraDim] = matrix(`${block}norm1.linear_1.weight`);
  const [, textDim] = matrix(`${block}attn2.to_k.weight`);
  for (const [what, count, divisor] of [
    ["patch_embed.proj.weight columns", inner, patch],
    ["proj_out.weight rows", outer, patch],
    ["width of a token", width, headDim],
  ] as const) {
    if (count % divisor !== 0)
      throw new WeightsError(`${name}: ${what}, ${count}, is no multiple of ${divisor}`);
  }
  return {
    inChannels: inner / patch - 1,
    outChannels: outer / patch,
    heads: width / headDim,
    headDim,
    layers: numbered(tensors.keys(), /^transformer_blocks\.(\d+)\./),
    mlpRatio: ratio(feedForward, width),
    textDim,
    adalnLoraDim,
    patchSize: [1, 2, 2],
    maxSize: [128, 240, 240],
    ropeScale: [1, 3, 3],
    ...ORIGINAL,
    textProjectionFrom: tensors.has("crossattn_proj.0.weight")
      ? matrix("crossattn_proj.0.weight")[1]
      : undefined,
  };
}

/** a / b as a number that gives a again when multiplied by b and truncated. */
function ratio(a: number, b: number): number {
  const exact = a / b;
  return Math.trunc(exact * b) === a ? exact : exact * (1 + Number.EPSILON);
}

/**
 * Reads the arguments of Cosmos' `MinimalV1LVGDiT`; `in_channels` counts neither the condition mask nor the padding mask.
 * @throws FormatError for a missing or malformed field, UsageError for an option this project does not have
 */
export function readCosmosOriginalConfig(json: unknown, name = "video transformer"): CosmosTransformerConfig {
  const c = new ConfigReader(json, name);
  c.known(
    ...["max_img_h", "max_img_w", "max_frames", "in_channels", "out_channels", "patch_spatial"],
    ...["patch_temporal", "concat_padding_mask", "model_channels", "num_blocks", "num_heads", "mlp_ratio"],
    ...["crossattn_emb_channels", "crossattn_proj_in_channels", "use_crossattn_projection", "pos_emb_cls"],
    ...["pos_emb_learnable", "pos_emb_interpolation", "use_adaln_lora", "adaln_lora_dim", "atten_backend"],
    ...["rope_h_extrapolation_ratio", "rope_w_extrapolation_ratio", "rope_t_extrapolation_ratio"],
    ...["extra_per_block_abs_pos_emb", "rope_enable_fps_modulation", "min_fps", "max_fps"],
  );
  // Without positions a block, without a modulation by the frame rate, and with whatever runs the attention, these mean nothing:
  // pos_emb_learnable, pos_emb_interpolation, min_fps, max_fps, atten_backend.
  c.only("patch_temporal", 1);
  c.only("concat_padding_mask", true);
  c.only("pos_emb_cls", "rope3d");
  c.only("use_adaln_lora", true);
  c.only("extra_per_block_abs_pos_emb", false);
  c.only("rope_enable_fps_modulation", false);
  const width = c.count("model_channels");
  const heads = c.count("num_heads");
  if (width % (2 * heads) !== 0)
    throw new UsageError(
      `${name}: model_channels ${width} do not divide into ${heads} heads of an even width`,
    );
  const patch = c.count("patch_spatial");
  return {
    inChannels: c.count("in_channels") + 1,
    outChannels: c.count("out_channels"),
    heads,
    headDim: width / heads,
    layers: c.count("num_blocks"),
    mlpRatio: c.number("mlp_ratio", 4),
    textDim: c.count("crossattn_emb_channels", 1024),
    adalnLoraDim: c.count("adaln_lora_dim", 256),
    patchSize: [1, patch, patch],
    maxSize: [c.count("max_frames"), c.count("max_img_h"), c.count("max_img_w")],
    ropeScale: [
      c.number("rope_t_extrapolation_ratio", 1),
      c.number("rope_h_extrapolation_ratio", 1),
      c.number("rope_w_extrapolation_ratio", 1),
    ],
    ...ORIGINAL,
    textProjectionFrom: c.flag("use_crossattn_projection", false)
      ? c.count("crossattn_proj_in_channels", 1024)
      : undefined,
  };
}
