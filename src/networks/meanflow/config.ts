/**
 * What the constructors of the MeanFlow networks are given, by the name of the architecture. Defaults are those of the repositories that
 * the checkpoints come from, where a field may be left out there too.
 */
import { UsageError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";

export interface ZooUNetConfig {
  readonly arch: "zoo_unet";
  readonly channels: number;
  readonly out: number;
  readonly baseChannels: number;
  readonly multipliers: readonly number[];
  readonly blocks: number;
  readonly attentionResolutions: readonly number[];
  readonly heads: number;
  readonly resolution: number;
  /** t and t − r through networks of their own; else the sum of the sinusoids of r and t through one */
  readonly separateTimes: boolean;
}

export interface DiTConfig {
  readonly arch: "zoo_dit" | "sit";
  /** rows and columns of a picture */
  readonly size: number;
  readonly patch: number;
  readonly channels: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly hidden: number;
  readonly classes: number;
  /** whether the table of classes has a last row for "no class" */
  readonly nullClass: boolean;
  readonly separateTimes: boolean;
}

export interface ZooMlpConfig {
  readonly arch: "zoo_mlp";
  readonly features: number;
  readonly hidden: number;
}

export interface ZooCnnConfig {
  readonly arch: "zoo_cnn";
  readonly channels: number;
  readonly out: number;
  readonly hidden: number;
  readonly layers: number;
  readonly kernelSize: number;
}

export interface SongUNetConfig {
  readonly arch: "song_unet";
  readonly resolution: number;
  readonly channels: number;
  readonly out: number;
  readonly baseChannels: number;
  readonly multipliers: readonly number[];
  /** width of the embedding, over that of the first level */
  readonly embedding: number;
  /** width of a time's sinusoids, over that of the first level */
  readonly sinusoids: number;
  readonly blocks: number;
  readonly attentionResolutions: readonly number[];
  /** taps of the resampling filter's one dimension */
  readonly filterTaps: number;
  /** width of the augmentation label; 0: there is none */
  readonly augment: number;
}

export interface ImfDiTConfig {
  readonly arch: "imf_dit";
  readonly size: number;
  readonly patch: number;
  readonly channels: number;
  readonly width: number;
  /** blocks that both heads share, and blocks of a head */
  readonly shared: number;
  readonly head: number;
  readonly heads: number;
  readonly hidden: number;
  readonly classes: number;
  readonly classTokens: number;
  readonly timeTokens: number;
  readonly omegaTokens: number;
  readonly intervalTokens: number;
  /** the form of training has blocks of its own for the instantaneous velocity */
  readonly twoHeads: boolean;
}

export type MeanFlowConfig =
  ZooUNetConfig | DiTConfig | ZooMlpConfig | ZooCnnConfig | SongUNetConfig | ImfDiTConfig;

const READERS: Readonly<Record<MeanFlowConfig["arch"], (c: ConfigReader, name: string) => MeanFlowConfig>> = {
  zoo_unet: (c, name) => {
    c.known(
      ...["arch", "in_channels", "out_channels", "base_channels", "time_channels", "channel_mult"],
      ...["num_res_blocks", "attention_resolutions", "dropout", "num_heads", "input_resolution"],
      "use_separate_time_embeds",
    );
    c.only("time_channels", 2);
    const channels = c.count("in_channels", 3);
    const config: ZooUNetConfig = {
      ...{ arch: "zoo_unet", channels, out: c.count("out_channels", channels) },
      baseChannels: c.count("base_channels", 128),
      multipliers: c.numbers("channel_mult", undefined, [1, 2, 2, 2]),
      blocks: c.count("num_res_blocks", 2),
      attentionResolutions: c.numbers("attention_resolutions", undefined, [16]),
      heads: c.count("num_heads", 4),
      resolution: c.count("input_resolution", 32),
      separateTimes: c.flag("use_separate_time_embeds", true),
    };
    wholeLevels(config.multipliers, config.resolution, name);
    if (config.baseChannels % 32 !== 0)
      throw new UsageError(
        `${name}: base_channels ${config.baseChannels} is no multiple of the 32 groups of every norm`,
      );
    return config;
  },
  zoo_dit: (c, name) => readDiT("zoo_dit", c, name),
  sit: (c, name) => readDiT("sit", c, name),
  zoo_mlp: (c) => {
    c.known("arch", "feature_dim", "hidden_dim", "time_channels");
    c.only("time_channels", 2);
    return { arch: "zoo_mlp", features: c.count("feature_dim"), hidden: c.count("hidden_dim", 256) };
  },
  zoo_cnn: (c, name) => {
    c.known(
      "arch",
      "in_channels",
      "out_channels",
      "base_channels",
      "num_layers",
      "kernel_size",
      "time_channels",
    );
    c.only("time_channels", 2);
    const channels = c.count("in_channels", 3);
    const config: ZooCnnConfig = {
      ...{ arch: "zoo_cnn", channels, out: c.count("out_channels", channels) },
      hidden: c.count("base_channels", 64),
      layers: c.count("num_layers", 4),
      kernelSize: c.count("kernel_size", 3),
    };
    if (config.layers < 2 || config.kernelSize % 2 === 0)
      throw new UsageError(
        `${name}: ${config.layers} layers (num_layers) of ${config.kernelSize} taps (kernel_size); from 2 layers on and an odd number of taps are needed`,
      );
    return config;
  },
  song_unet: (c, name) => {
    c.known(
      ...["arch", "img_resolution", "in_channels", "out_channels", "model_channels", "channel_mult"],
      ...["channel_mult_emb", "channel_mult_noise", "num_blocks", "attn_resolutions", "dropout"],
      ...["resample_filter", "augment_dim", "encoder_type", "decoder_type", "embedding_type", "label_dim"],
      "label_dropout",
    );
    c.only("embedding_type", "positional");
    c.only("encoder_type", "standard");
    c.only("decoder_type", "standard");
    c.only("label_dim", 0);
    const filter = c.numbers("resample_filter", undefined, [1, 1]);
    const config: SongUNetConfig = {
      ...{ arch: "song_unet", resolution: c.count("img_resolution") },
      ...{ channels: c.count("in_channels"), out: c.count("out_channels") },
      baseChannels: c.count("model_channels", 128),
      multipliers: c.numbers("channel_mult", undefined, [1, 2, 2, 2]),
      embedding: c.count("channel_mult_emb", 4),
      sinusoids: c.count("channel_mult_noise", 1),
      blocks: c.count("num_blocks", 4),
      attentionResolutions: c.numbers("attn_resolutions", undefined, [16]),
      filterTaps: filter.length,
      augment: c.number("augment_dim", 0),
    };
    wholeLevels(config.multipliers, config.resolution, name);
    if (filter.length % 2 !== 0)
      throw new UsageError(`${name}: resample_filter has ${filter.length} taps; an even number is supported`);
    return config;
  },
  imf_dit: (c, name) => {
    c.known(
      ...[
        "arch",
        "input_size",
        "patch_size",
        "in_channels",
        "hidden_size",
        "depth",
        "num_heads",
        "mlp_ratio",
      ],
      ...["num_classes", "aux_head_depth", "num_class_tokens", "num_time_tokens", "num_cfg_tokens"],
      ...["num_interval_tokens", "eval_mode"],
      // How weights begin before training.
      ...["token_init_constant", "embedding_init_constant", "weight_init_constant"],
    );
    const [depth, head] = [c.count("depth", 28), c.count("aux_head_depth", 8)];
    const width = c.count("hidden_size", 1152);
    const config: ImfDiTConfig = {
      ...{ arch: "imf_dit", size: c.count("input_size", 32), patch: c.count("patch_size", 2) },
      ...{ channels: c.count("in_channels", 4), width, shared: depth - head, head },
      ...{ heads: c.count("num_heads", 16), classes: c.count("num_classes", 1000) },
      hidden: Math.trunc(width * c.number("mlp_ratio", 8 / 3)),
      classTokens: c.count("num_class_tokens", 8),
      timeTokens: c.count("num_time_tokens", 4),
      omegaTokens: c.count("num_cfg_tokens", 4),
      intervalTokens: c.count("num_interval_tokens", 2),
      twoHeads: !c.flag("eval_mode", false),
    };
    wholePatches(config, name);
    if (config.shared < 0)
      throw new UsageError(
        `${name}: a head of ${head} blocks (aux_head_depth) in a network of ${depth} (depth)`,
      );
    if ((width / config.heads) % 2 !== 0)
      throw new UsageError(
        `${name}: heads of ${width / config.heads} channels; rotations turn pairs of them`,
      );
    return config;
  },
};

function readDiT(arch: "zoo_dit" | "sit", c: ConfigReader, name: string): DiTConfig {
  c.known(
    ...[
      "arch",
      "input_size",
      "patch_size",
      "in_channels",
      "time_channels",
      "hidden_size",
      "depth",
      "num_heads",
    ],
    ...["mlp_ratio", "num_classes", "learn_sigma", "class_dropout_prob", "use_separate_time_embeds"],
  );
  c.only("learn_sigma", false);
  c.only("time_channels", 2);
  if (arch === "sit") c.only("use_separate_time_embeds", true);
  const width = c.count("hidden_size", 1152);
  const config: DiTConfig = {
    ...{ arch, size: c.count("input_size", 32), patch: c.count("patch_size", 2) },
    ...{ channels: c.count("in_channels", 4), width },
    ...{ depth: c.count("depth", 28), heads: c.count("num_heads", 16) },
    hidden: Math.trunc(width * c.number("mlp_ratio", 4)),
    classes: c.count("num_classes", 1000),
    nullClass: c.number("class_dropout_prob", 0.1) > 0,
    separateTimes: c.flag("use_separate_time_embeds", true),
  };
  wholePatches(config, name);
  return config;
}

function wholePatches({ size, patch, width, heads }: DiTConfig | ImfDiTConfig, name: string): void {
  if (size % patch !== 0)
    throw new UsageError(
      `${name}: patches of ${patch} (patch_size) do not divide ${size} pixels (input_size)`,
    );
  if (width % heads !== 0)
    throw new UsageError(`${name}: ${heads} heads (num_heads) do not divide ${width} channels (hidden_size)`);
}

function wholeLevels(multipliers: readonly number[], resolution: number, name: string): void {
  if (multipliers.length === 0 || multipliers.some((m) => !Number.isInteger(m) || m < 1))
    throw new UsageError(
      `${name}: channel_mult is [${multipliers.join(", ")}], expected positive whole numbers`,
    );
  const least = 2 ** (multipliers.length - 1);
  if (resolution % least !== 0)
    throw new UsageError(
      `${name}: ${resolution} pixels cannot be halved ${multipliers.length - 1} times; a multiple of ${least} is needed`,
    );
}

/**
 * Reads and checks a configuration; `arch` names the architecture.
 * @throws FormatError for a field that is missing or malformed, UsageError for a value that is not supported
 */
export function readMeanFlowConfig(json: unknown, name = "model.json"): MeanFlowConfig {
  const c = new ConfigReader(json, name);
  c.only("arch", ...Object.keys(READERS));
  return READERS[c.text("arch") as MeanFlowConfig["arch"]](c, name);
}
