/**
 * How repositories store a network of the average velocity: under which prefix the weights to sample with lie, and what beside them belongs to training
 * alone. Told by key names.
 *
 *   iMF (Lyy-iiis/imeanflow)            net.*                                    second heads v_* are dropped
 *   py (Gsunshine/py-meanflow)          model.net_ema1.* of net, net_ema, net_ema1, net_ema2: the average of decay 0.99995
 *   sit (zhuyu-cs/MeanFlow)             ema.* of model, ema, opt
 *   zoo (kylevedder/DenoisingZoo)       model.* of {epoch, model, optimizer, scaler, config, torch_version}
 *   any                                 bare keys; `_orig_mod.` of torch.compile and `module.` of parallel training are stripped
 */
import type { MeanFlowConfig } from "../../networks/meanflow/config.ts";
import type { KeyMap } from "../../weights/key-map.ts";

export type Architecture = MeanFlowConfig["arch"];

export interface Layout {
  readonly architecture: Architecture;
  /** what stands before the network's own keys */
  readonly prefix: string;
  /** stored key → the network's own; undefined: of training alone */
  readonly map: KeyMap;
  /** whether the keys tell that several copies of the weights are stored, of which the averaged ones are taken */
  readonly averaged: boolean;
}

/** In which order prefixes are tried: an average before the weights that it is of. */
const PREFIXES: readonly { readonly prefix: string; readonly averaged: boolean }[] = [
  { prefix: "model.net_ema1.", averaged: true },
  { prefix: "net_ema1.", averaged: true },
  { prefix: "ema.", averaged: true },
  { prefix: "net.", averaged: false },
  { prefix: "model.net.", averaged: false },
  { prefix: "model.", averaged: false },
  { prefix: "", averaged: false },
];
/** What wrappers of a module put before every key. */
const WRAPPERS = ["", "_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."];

/** What only training uses. */
const TRAINING: Readonly<Partial<Record<Architecture, RegExp>>> = {
  imf_dit: /^v_(heads|final_layer)\./,
  song_unet: /^map_augment\./,
};

const LAYER = /^net\.\d+\.(weight|bias)$/;

/** @param keys without a prefix @param dimensions of a key's tensor */
function architectureOf(
  keys: ReadonlySet<string>,
  dimensions: (key: string) => number,
): Architecture | undefined {
  const all = (...wanted: string[]): boolean => wanted.every((key) => keys.has(key));
  if (all("x_embedder.proj.weight", "omega_tokens", "time_tokens")) return "imf_dit";
  if (all("x_embedder.proj.weight", "r_embedder.mlp.0.weight", "final_layer.linear.weight")) return "sit";
  if (all("x_embedder.weight", "t_embedder.mlp.0.weight", "final_layer.linear.weight")) return "zoo_dit";
  if (all("map_layer0.weight") && [...keys].some((key) => /^enc\.\d+x\d+_conv\.weight$/.test(key)))
    return "song_unet";
  if (all("input_conv.weight", "middle_block1.conv1.weight", "out_conv.weight")) return "zoo_unet";
  if (all("net.0.weight", "net.2.weight") && [...keys].every((key) => LAYER.test(key)))
    return dimensions("net.0.weight") === 4 ? "zoo_cnn" : all("net.4.weight") ? "zoo_mlp" : undefined;
  return undefined;
}

/**
 * The layout of a checkpoint, from names and shapes.
 * @returns undefined where it is none of these networks
 */
export function layoutOf(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Layout | undefined {
  for (const { prefix: outer, averaged } of PREFIXES) {
    for (const wrapper of WRAPPERS) {
      const prefix = outer + wrapper;
      const own = [...tensors.keys()].filter((key) => key.startsWith(prefix));
      if (own.length === 0) continue;
      const keys = new Set(own.map((key) => key.slice(prefix.length)));
      const architecture = architectureOf(keys, (key) => tensors.get(prefix + key)!.shape.length);
      if (architecture === undefined) continue;
      const training = TRAINING[architecture];
      const map: KeyMap = (stored) => {
        if (!stored.startsWith(prefix)) return isOfTraining(stored) ? undefined : stored;
        const key = stored.slice(prefix.length);
        return training?.test(key) ? undefined : key;
      };
      return { architecture, prefix, map, averaged };
    }
  }
  return undefined;
}

/** What lies beside the weights that are taken; anything else stays, and is refused as unexpected. */
const isOfTraining = (key: string): boolean =>
  /^(model|net|net_ema\d*|ema|opt|optimizer|scaler|lr_schedule\w*|scheduler|rng\w*)\./.test(key) ||
  /^(model\.)?(num_updates|epoch|step|steps|train_steps)$/.test(key);
