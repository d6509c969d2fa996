/**
 * The Wan 2.1 autoencoder in its original layout (`Wan2.1_VAE.pth`, `tokenizer.pth`): its keys as diffusers names them, and its dimensions from the
 * shapes of its tensors, as no configuration lies beside it.
 *
 * The encoder's layers are numbered through in both layouts. The decoder's are too in the original, where diffusers numbers levels and the blocks in
 * them: a level ends with a layer that resamples, so the keys themselves tell where.
 */
import { WeightsError } from "../../errors.ts";
import { type KeyMap, mapKeys, renaming } from "../../weights/key-map.ts";
import type { TensorInfo, TensorSource } from "../../weights/source.ts";
import { axes, numbered } from "../shapes.ts";
import { PUBLISHED, type WanVaeConfig } from "./config.ts";

const rename = renaming([
  [/^conv1\./, "quant_conv."],
  [/^conv2\./, "post_quant_conv."],
  [/^(encoder|decoder)\.conv1\./, "$1.conv_in."],
  [/^(encoder|decoder)\.head\.0\./, "$1.norm_out."],
  [/^(encoder|decoder)\.head\.2\./, "$1.conv_out."],
  [/^(encoder|decoder)\.middle\.0\./, "$1.mid_block.resnets.0."],
  [/^(encoder|decoder)\.middle\.1\./, "$1.mid_block.attentions.0."],
  [/^(encoder|decoder)\.middle\.2\./, "$1.mid_block.resnets.1."],
  [/^encoder\.downsamples\./, "encoder.down_blocks."],
  [/\.residual\.0\./, ".norm1."],
  [/\.residual\.2\./, ".conv1."],
  [/\.residual\.3\./, ".norm2."],
  [/\.residual\.6\./, ".conv2."],
  [/\.shortcut\./, ".conv_shortcut."],
]);

/** Whether the keys are in the original layout and not in diffusers'. */
export function hasWanOriginalKeys(keys: Iterable<string>): boolean {
  for (const key of keys) if (/^(?:encoder\.downsamples|decoder\.upsamples)\./.test(key)) return true;
  return false;
}

/** Original names → diffusers'; a name that is not of this layout stays, so that a loader reports it. */
export function wanKeys(keys: Iterable<string>): KeyMap {
  const resamplers = new Set<number>();
  for (const key of keys) {
    const layer = /^decoder\.upsamples\.(\d+)\.resample\./.exec(key);
    if (layer) resamplers.add(Number(layer[1]));
  }
  const ends = [...resamplers].sort((a, b) => a - b);
  return (stored) =>
    rename(
      stored.replace(/^decoder\.upsamples\.(\d+)\./, (_, digits: string) => {
        const layer = Number(digits);
        const level = ends.filter((end) => end < layer).length;
        const first = level > 0 ? ends[level - 1] + 1 : 0;
        const inLevel = resamplers.has(layer) ? "upsamplers.0" : `resnets.${layer - first}`;
        return `decoder.up_blocks.${level}.${inLevel}.`;
      }),
    );
}

/** The checkpoint under diffusers' names, whichever of the two layouts it has. */
export function wanWeights(source: TensorSource): TensorSource {
  const keys = [...source.tensors.keys()];
  return hasWanOriginalKeys(keys) ? mapKeys(source, wanKeys(keys)) : source;
}

/** A level of the encoder as its tensors tell it. */
interface Level {
  /** widths behind each residual block */
  readonly widths: number[];
  /** attentions behind residual blocks */
  attentions: number;
  /** whether the step down from it halves the frames; undefined at the deepest, from which there is none */
  halvesTime?: boolean;
}

/**
 * Reads the configuration from tensors under diffusers' names. The statistics are the published ones, which are for 16 channels; a file
 * with another number of latent channels has none.
 * @throws WeightsError naming what is missing or what no such model has
 */
export function wanConfigFromShapes(
  tensors: ReadonlyMap<string, TensorInfo>,
  name = "the tokenizer",
): WanVaeConfig {
  const width = (key: string): number => axes(tensors, name, key, 5)[0];
  const levels = encoderLevels(tensors, name);
  const blocks = levels[0].widths.length;
  for (const [i, level] of levels.entries()) {
    const attended = level.attentions === 0 || level.attentions === blocks;
    if (level.widths.length !== blocks || new Set(level.widths).size !== 1 || !attended)
      throw new WeightsError(
        `${name}: level ${i} of the encoder has blocks of ${level.widths.join(", ")} channels and ${level.attentions} attentions; ` +
          `expected ${blocks} alike, all or none with attention`,
      );
  }
  const [encoderStart, inChannels] = axes(tensors, name, "encoder.conv_in.weight", 5);
  const encoderWidths = levels.map(({ widths }) => widths[0]);
  const halvesTime = levels.slice(0, -1).map((level) => level.halvesTime === true);
  const decoder = tensors.has("decoder.conv_in.weight");
  const ups = numbered(tensors.keys(), /^decoder\.up_blocks\.(\d+)\./);
  const up = Array.from({ length: ups }, (_, i) => `decoder.up_blocks.${i}.`);
  const latentChannels = width("encoder.conv_out.weight") / 2;
  // Pixels of an RGB video, folded where there are more than three channels.
  const fold = Math.sqrt(inChannels / 3);
  return {
    inChannels,
    outChannels: decoder ? width("decoder.conv_out.weight") : inChannels,
    latentChannels,
    encoderStart,
    encoderWidths,
    decoderWidths: decoder ? up.map((at) => width(`${at}resnets.0.conv1.weight`)).reverse() : encoderWidths,
    blocks,
    attentionScales: levels.flatMap(({ attentions }, i) => (attentions > 0 ? [2 ** -i] : [])),
    halvesTime,
    doublesTime: decoder
      ? up.slice(0, -1).map((at) => tensors.has(`${at}upsamplers.0.time_conv.weight`))
      : [...halvesTime].reverse(),
    residual: false,
    patchSize: Number.isInteger(fold) && fold > 0 ? fold : 1,
    latentsMean: latentChannels === PUBLISHED.mean.length ? PUBLISHED.mean : [],
    latentsStd: latentChannels === PUBLISHED.std.length ? PUBLISHED.std : [],
  };
}

function encoderLevels(tensors: ReadonlyMap<string, TensorInfo>, name: string): readonly Level[] {
  const levels: Level[] = [{ widths: [], attentions: 0 }];
  const layers = numbered(tensors.keys(), /^encoder\.down_blocks\.(\d+)\./);
  for (let i = 0; i < layers; i++) {
    const at = `encoder.down_blocks.${i}.`;
    const open = levels[levels.length - 1];
    if (tensors.has(`${at}resample.1.weight`)) {
      open.halvesTime = tensors.has(`${at}time_conv.weight`);
      levels.push({ widths: [], attentions: 0 });
    } else if (tensors.has(`${at}to_qkv.weight`)) open.attentions++;
    else open.widths.push(axes(tensors, name, `${at}conv1.weight`, 5)[0]);
  }
  return levels;
}
