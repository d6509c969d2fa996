/** The configuration of diffusers' `AutoencoderKLWan`, of Wan 2.1 and 2.2, and what follows from it for each level. */
import { FormatError } from "../../errors.ts";
import { bfloat16 } from "../../weights/rounded.ts";
import { ConfigReader } from "../config.ts";
import type { LatentStatistics } from "../vae.ts";

export interface WanVaeConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** widths of the encoder's and the decoder's levels, from full resolution down */
  readonly encoderWidths: readonly number[];
  readonly decoderWidths: readonly number[];
  /** width between the first convolution and the first level of the encoder */
  readonly encoderStart: number;
  /** residual blocks a level; the decoder has one more */
  readonly blocks: number;
  /** scales (1, ½, ¼, …) at which the encoder has attention after each residual block; the decoder has none */
  readonly attentionScales: readonly number[];
  /** whether the step down from level i halves the frames too; one fewer than levels */
  readonly halvesTime: readonly boolean[];
  /** the same for the decoder's steps up, from the deepest */
  readonly doublesTime: readonly boolean[];
  /** Wan 2.2: levels are grouped, each with a shortcut around it, and steps up keep their width */
  readonly residual: boolean;
  /** pixels folded into channels before the encoder; 1 = none */
  readonly patchSize: number;
  readonly latentsMean: readonly number[];
  readonly latentsStd: readonly number[];
}

/** Statistics of the published checkpoint's 16 latent channels, the reference's defaults. */
export const PUBLISHED = {
  mean: [
    ...[-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508],
    ...[0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921],
  ],
  std: [
    ...[2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743],
    ...[3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916],
  ],
} as const;

/** The statistics as numbers, for latents that are computed in float32 throughout. */
export const latentStatistics = (config: WanVaeConfig): LatentStatistics => ({
  mean: config.latentsMean,
  inverseStd: config.latentsStd.map((std) => 1 / std),
});

/** The statistics as a program has them that keeps mean, deviation and its reciprocal in bfloat16. */
export const bf16LatentStatistics = (config: WanVaeConfig): LatentStatistics => ({
  mean: config.latentsMean.map(bfloat16),
  inverseStd: config.latentsStd.map((std) => bfloat16(1 / bfloat16(std))),
});

/**
 * The original layout's arguments: `dim`, `z_dim`, `dim_mult`, `num_res_blocks`, `attn_scales`, `temperal_downsample`.
 * @throws UsageError or FormatError naming the first value that is wrong or not supported
 */
export function readWanOriginalConfig(json: unknown, name = "Wan VAE"): WanVaeConfig {
  const read = new ConfigReader(json, name);
  read.known(
    "layout",
    "dim",
    "z_dim",
    "dim_mult",
    "num_res_blocks",
    "attn_scales",
    "temperal_downsample",
    "dropout",
  );
  read.only("layout", "original");
  // There the decoder has attention too, at other scales; no published model has any.
  read.only("attn_scales", []);
  const diffusers: Record<string, unknown> = { ...(json as Record<string, unknown>) };
  if (read.has("dim")) diffusers.base_dim = diffusers.dim;
  delete diffusers._class_name;
  delete diffusers.layout;
  delete diffusers.dim;
  return readWanVaeConfig(diffusers, name);
}

/**
 * Reads and checks a config.json; absent keys take the reference's defaults.
 * @throws UsageError or FormatError naming the first value that is wrong or not supported
 */
export function readWanVaeConfig(json: unknown, name = "Wan VAE"): WanVaeConfig {
  const read = new ConfigReader(json, name);
  read.known(
    ...["base_dim", "decoder_base_dim", "z_dim", "dim_mult", "num_res_blocks", "attn_scales"],
    ...["temperal_downsample", "dropout", "latents_mean", "latents_std", "is_residual", "in_channels"],
    ...["out_channels", "patch_size", "scale_factor_temporal", "scale_factor_spatial"],
  );
  read.only("_class_name", "AutoencoderKLWan");
  const base = read.count("base_dim", 96);
  const decoderBase = read.count("decoder_base_dim", base);
  const multipliers = read.numbers("dim_mult", undefined, [1, 2, 4, 4]);
  if (multipliers.length === 0 || multipliers.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new FormatError(
      `${name}: "dim_mult" is ${JSON.stringify(multipliers)}, expected positive whole numbers`,
    );
  }
  const steps = multipliers.length - 1;
  const inTime = flags(json as Record<string, unknown>, name, "temperal_downsample", [false, true, true]);
  if (inTime.length < steps) {
    throw new FormatError(`${name}: "temperal_downsample" has ${inTime.length} values for ${steps} steps`);
  }
  const residual = read.flag("is_residual", false);
  // The residual levels have none in any file.
  if (residual) read.only("attn_scales", []);
  const latentChannels = read.count("z_dim", 16);
  const patchSize = read.count("patch_size", 1);
  // They repeat what the levels do.
  read.only("scale_factor_spatial", patchSize * 2 ** steps);
  read.only("scale_factor_temporal", 2 ** inTime.slice(0, steps).filter(Boolean).length);
  const statistics = (key: string, fallback: readonly number[]): number[] =>
    read.numbers(key, read.has(key) ? latentChannels : undefined, fallback);
  return {
    inChannels: read.count("in_channels", 3),
    outChannels: read.count("out_channels", 3),
    latentChannels,
    encoderStart: base,
    encoderWidths: multipliers.map((m) => base * m),
    decoderWidths: multipliers.map((m) => decoderBase * m),
    blocks: read.count("num_res_blocks", 2),
    attentionScales: read.numbers("attn_scales", undefined, []),
    halvesTime: inTime.slice(0, steps),
    // The reference reverses the whole list before it cuts it to length.
    doublesTime: [...inTime].reverse().slice(0, steps),
    residual,
    patchSize,
    latentsMean: statistics("latents_mean", PUBLISHED.mean),
    latentsStd: statistics("latents_std", PUBLISHED.std),
  };
}

function flags(
  json: Readonly<Record<string, unknown>>,
  name: string,
  key: string,
  fallback: readonly boolean[],
): readonly boolean[] {
  const value = json[key] ?? fallback;
  if (!Array.isArray(value) || value.some((v) => typeof v !== "boolean")) {
    throw new FormatError(`${name}: "${key}" is ${JSON.stringify(value)}, expected a list of true and false`);
  }
  return value as boolean[];
}
