/**
 * What the tensors' shapes say of an architecture: all of it, or all but what they cannot. Values are those of the constructors that
 * networks/meanflow/config.ts reads.
 *
 * Heads of a plain attention leave no trace in shapes, nor does the size of a picture where no position has weights of its own; both are
 * known of the published sizes.
 */
import type { Architecture } from "./layouts.ts";

/** A constructor's arguments, as far as they are known, and what is not. */
export interface Derived {
  readonly config: Readonly<Record<string, unknown>>;
  readonly unknown: readonly string[];
}

type Shapes = (key: string) => readonly number[];

/** Width and depth → heads, of DiT (Peebles & Xie 2023, table 1), which SiT keeps. */
const DIT_HEADS: Readonly<Record<string, number>> = {
  ...{ "384,12": 6, "768,12": 12, "1024,24": 16, "1152,28": 16 },
};
/** Width and depth of the published iMF networks: 32 × 32 × 4 latents of ImageNet's 1000 classes. */
const IMF_PUBLISHED: readonly string[] = ["768,12", "768,24", "1024,32", "1024,48"];
const IMAGENET = 1000;

/** How many of `key.0`, `key.1` … there are. */
function countOf(keys: readonly string[], pattern: RegExp): number {
  const numbers = keys.flatMap((key) => {
    const found = pattern.exec(key);
    return found ? [Number(found[1])] : [];
  });
  return numbers.length === 0 ? 0 : Math.max(...numbers) + 1;
}

function dit(keys: readonly string[], shape: Shapes, architecture: "sit" | "zoo_dit"): Derived {
  const patches = shape(architecture === "sit" ? "x_embedder.proj.weight" : "x_embedder.weight");
  const [width, inner, patch] = patches;
  const depth = countOf(keys, /^blocks\.(\d+)\./);
  const side = Math.sqrt(shape("pos_embed")[1]);
  const rows = shape("y_embedder.embedding_table.weight")[0];
  const heads = DIT_HEADS[`${width},${depth}`] as number | undefined;
  // With or without a row for "no class": known of ImageNet.
  const classes = rows === IMAGENET + 1 ? IMAGENET : undefined;
  return {
    config: {
      ...{ input_size: side * patch, patch_size: patch, hidden_size: width, depth },
      in_channels: architecture === "sit" ? inner : inner - 2,
      mlp_ratio: shape("blocks.0.mlp.fc1.weight")[0] / width,
      ...(heads && { num_heads: heads }),
      ...(classes && { num_classes: classes }),
      ...(architecture === "zoo_dit" && {
        use_separate_time_embeds: keys.includes("r_embedder.mlp.0.weight"),
      }),
    },
    unknown: [...(heads ? [] : ["num_heads"]), ...(classes ? [] : ["num_classes", "class_dropout_prob"])],
  };
}

function imf(keys: readonly string[], shape: Shapes): Derived {
  const [width, channels, patch] = shape("x_embedder.proj.weight");
  const head = countOf(keys, /^u_heads\.(\d+)\./);
  const depth = countOf(keys, /^shared_blocks\.(\d+)\./) + head;
  const rows = shape("y_embedder.embedding_table._flax_embedding.weight")[0];
  const block = head > 0 ? "u_heads.0" : "shared_blocks.0";
  const published =
    IMF_PUBLISHED.includes(`${width},${depth}`) && patch === 2 && channels === 4 && rows === IMAGENET + 1;
  return {
    config: {
      ...{ patch_size: patch, in_channels: channels, hidden_size: width, depth, aux_head_depth: head },
      num_heads: width / shape(`${block}.attn.q_norm.weight`)[0],
      // The hidden width is cut to a whole number; half a channel more is cut off again.
      mlp_ratio: (shape(`${block}.mlp.w1._flax_linear.weight`)[0] + 0.5) / width,
      ...{ num_classes: rows - 1, eval_mode: true },
      ...{ num_class_tokens: shape("class_tokens")[0], num_time_tokens: shape("time_tokens")[0] },
      ...{ num_cfg_tokens: shape("omega_tokens")[0], num_interval_tokens: shape("t_min_tokens")[0] },
      ...(published && { input_size: 32 }),
    },
    unknown: published ? [] : ["input_size"],
  };
}

function songUNet(keys: readonly string[], shape: Shapes): Derived {
  const sides = [...new Set(keys.flatMap((key) => /^enc\.(\d+)x\d+_/.exec(key)?.[1] ?? []))]
    .map(Number)
    .sort((a, b) => b - a);
  const [top] = sides;
  const [wide, channels] = shape(`enc.${top}x${top}_conv.weight`);
  const of = (side: number): string => `enc.${side}x${side}_block0`;
  const filter = keys.find((key) => key.endsWith(".resample_filter"));
  const taps = filter ? shape(filter)[2] : 2;
  return {
    config: {
      ...{ img_resolution: top, in_channels: channels, model_channels: wide },
      out_channels: shape(`dec.${top}x${top}_aux_conv.weight`)[0],
      channel_mult: sides.map((side) => shape(`${of(side)}.conv0.weight`)[0] / wide),
      channel_mult_emb: shape("map_layer0.weight")[0] / wide,
      channel_mult_noise: shape("map_layer0.weight")[1] / (2 * wide),
      num_blocks: countOf(keys, new RegExp(`^enc\\.${top}x${top}_block(\\d+)\\.`)),
      attn_resolutions: sides.filter((side) => keys.includes(`${of(side)}.qkv.weight`)),
      // The filter itself is stored; what counts is its length.
      resample_filter: new Array<number>(taps).fill(1),
      augment_dim: 0,
    },
    unknown: [],
  };
}

function zooUNet(keys: readonly string[], shape: Shapes): Derived {
  const [base, inner] = shape("input_conv.weight");
  const levels = countOf(keys, /^down_blocks\.(\d+)\./);
  const level = Array.from({ length: levels }, (_, l) => l);
  return {
    config: {
      ...{ in_channels: inner - 2, out_channels: shape("out_conv.weight")[0], base_channels: base },
      channel_mult: level.map((l) => shape(`down_blocks.${l}.0.conv1.weight`)[0] / base),
      num_res_blocks: keys.filter((key) => /^down_blocks\.0\.\d+\.conv1\.weight$/.test(key)).length,
      use_separate_time_embeds: keys.some((key) => key.startsWith("time_embed_proj.")),
    },
    unknown: ["num_heads", "input_resolution", "attention_resolutions"],
  };
}

/** @param tensors of a network's own keys */
export function derivedConfig(
  architecture: Architecture,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Derived {
  const keys = [...tensors.keys()];
  const shape: Shapes = (key) => tensors.get(key)?.shape ?? [];
  switch (architecture) {
    case "sit":
    case "zoo_dit":
      return dit(keys, shape, architecture);
    case "imf_dit":
      return imf(keys, shape);
    case "song_unet":
      return songUNet(keys, shape);
    case "zoo_unet":
      return zooUNet(keys, shape);
    case "zoo_mlp": {
      const [hidden] = shape("net.0.weight");
      return { config: { feature_dim: shape("net.4.weight")[0], hidden_dim: hidden }, unknown: [] };
    }
    case "zoo_cnn": {
      const layers = keys.filter((key) => key.endsWith(".weight")).length;
      const [hidden, inner, taps] = shape("net.0.weight");
      return {
        config: {
          ...{ in_channels: inner - 2, out_channels: shape(`net.${2 * (layers - 1)}.weight`)[0] },
          ...{ base_channels: hidden, num_layers: layers, kernel_size: taps },
        },
        unknown: [],
      };
    }
  }
}
