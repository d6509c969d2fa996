/** The configuration of diffusers' `AutoencoderKLCosmos` and what follows from it for each level. */
import { FormatError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";

export interface CosmosVaeConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** widths before the first and after every level; one level fewer than widths */
  readonly encoderWidths: readonly number[];
  /** the same for the decoder, whose first level starts at the last width */
  readonly decoderWidths: readonly number[];
  /** residual blocks a level; the decoder has one more */
  readonly layers: number;
  /** a power of two */
  readonly patchSize: number;
  readonly patchType: "haar" | "rearrange";
  /** nominal resolutions at which a level has attention after each residual block */
  readonly attentionResolutions: readonly number[];
  readonly resolution: number;
  readonly spatialCompression: number;
  readonly temporalCompression: number;
  /**
   * channel-major statistics of published checkpoints, 16 channels × 16 latent frames; absent when the config has none. The autoencoder
   * itself uses none: whoever composes it says what latents are standardised with.
   */
  readonly latentsMean?: readonly number[];
  readonly latentsStd?: readonly number[];
}

/** What one level of the encoder or the decoder is made of. */
export interface CosmosVaeLevel {
  readonly in: number;
  readonly out: number;
  readonly blocks: number;
  /** attention over space and over time after every residual block */
  readonly attention: boolean;
  /** whether it changes the resolution at its end, in space and in time */
  readonly space: boolean;
  readonly time: boolean;
}

/**
 * Reads and checks a config.json; absent keys take the reference's defaults.
 * @throws UsageError or FormatError naming the first value that is wrong or not supported
 */
export function readCosmosVaeConfig(json: unknown, name = "Cosmos VAE"): CosmosVaeConfig {
  const read = new ConfigReader(json, name);
  read.known(
    ...["in_channels", "out_channels", "latent_channels", "encoder_block_out_channels"],
    ...["decode_block_out_channels", "attention_resolutions", "resolution", "num_layers", "patch_size"],
    ...["patch_type", "scaling_factor", "spatial_compression_ratio", "temporal_compression_ratio"],
    ...["latents_mean", "latents_std"],
  );
  read.only("_class_name", "AutoencoderKLCosmos");
  read.only("patch_type", "haar", "rearrange");
  // The class keeps it and never applies it; what is not 1 would be meant to be applied by somebody.
  read.only("scaling_factor", 1);
  const config: CosmosVaeConfig = {
    inChannels: read.count("in_channels", 3),
    outChannels: read.count("out_channels", 3),
    latentChannels: read.count("latent_channels", 16),
    encoderWidths: widths(read, name, "encoder_block_out_channels", [128, 256, 512, 512]),
    decoderWidths: widths(read, name, "decode_block_out_channels", [256, 512, 512, 512]),
    layers: read.count("num_layers", 2),
    patchSize: powerOfTwo(read, name, "patch_size", 4),
    patchType: read.text("patch_type", "haar") as "haar" | "rearrange",
    attentionResolutions: read.numbers("attention_resolutions", undefined, [32]),
    resolution: read.count("resolution", 1024),
    spatialCompression: read.count("spatial_compression_ratio", 8),
    temporalCompression: read.count("temporal_compression_ratio", 8),
    latentsMean: read.has("latents_mean") ? read.numbers("latents_mean") : undefined,
    latentsStd: read.has("latents_std") ? read.numbers("latents_std") : undefined,
  };
  return config;
}

function widths(read: ConfigReader, name: string, key: string, fallback: readonly number[]): number[] {
  const list = read.numbers(key, undefined, fallback);
  if (list.length < 2 || list.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new FormatError(
      `${name}: "${key}" is ${JSON.stringify(list)}, expected at least two positive whole numbers`,
    );
  }
  return list;
}

function powerOfTwo(read: ConfigReader, name: string, key: string, fallback: number): number {
  const value = read.count(key, fallback);
  if (!Number.isInteger(Math.log2(value))) {
    throw new FormatError(`${name}: "${key}" is ${value}, expected a power of two`);
  }
  return value;
}

/** How many times a ratio still halves after the patches; a ratio below the patch size never does. */
const halvings = (ratio: number, patchSize: number): number =>
  Math.floor(Math.log2(ratio)) - Math.log2(patchSize);

/** The encoder's levels, from the patched resolution down. The last one never changes the resolution. */
export function encoderLevels(config: CosmosVaeConfig): CosmosVaeLevel[] {
  const { encoderWidths: w, patchSize, spatialCompression, temporalCompression } = config;
  const last = w.length - 2;
  return w.slice(1).map((out, i) => ({
    in: w[i],
    out,
    blocks: config.layers,
    attention: config.attentionResolutions.includes(
      Math.floor(Math.floor(config.resolution / patchSize) / 2 ** i),
    ),
    space: i < last && i < halvings(spatialCompression, patchSize),
    time: i < last && i < halvings(temporalCompression, patchSize),
  }));
}

/**
 * The decoder's levels, up to the patched resolution. The reference grows time at levels 1 to n, not 0 to n − 1 (n the halvings in
 * time), and space with it; where space has more halvings than time it also grows at the levels below its own number.
 */
export function decoderLevels(config: CosmosVaeConfig): CosmosVaeLevel[] {
  const { patchSize, spatialCompression, temporalCompression } = config;
  const w = [...config.decoderWidths].reverse();
  const last = w.length - 2;
  const inSpace = halvings(spatialCompression, patchSize);
  const inTime = halvings(temporalCompression, patchSize);
  const coarsest = Math.floor(Math.floor(config.resolution / patchSize) / 2 ** last);
  return w.slice(1).map((out, i) => {
    const time = i < last && i > 0 && i < inTime + 1;
    return {
      in: w[i],
      out,
      blocks: config.layers + 1,
      attention: config.attentionResolutions.includes(coarsest * 2 ** i),
      space: time || (i < last && i < inSpace && inSpace > inTime),
      time,
    };
  });
}
