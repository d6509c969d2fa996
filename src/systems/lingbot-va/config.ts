/** A LingBot-VA policy's config.json, as LeRobot writes it: the transformer's options, and how it is used. */
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../../networks/config.ts";
import { LINGBOT_OPTIONS, type LingbotConfig, lingbotOptions } from "../../networks/lingbot/config.ts";

export interface PolicyConfig {
  /** folder or repository of autoencoder and text encoder */
  readonly frozen: string;
  /** the observation's keys, in the order in which cameras stand side by side */
  readonly cameras: readonly string[];
  /** whether pictures are mirrored left to right */
  readonly mirrored: boolean;
  /** (rows, columns) of a picture as the autoencoder sees it */
  readonly frameSize: readonly [number, number];
  /** F, latent frames of a chunk */
  readonly frames: number;
  /** n, actions of a latent frame */
  readonly actionsPerFrame: number;
  /** chunks of video and of actions, together, that the cache holds */
  readonly window: number;
  readonly video: StreamConfig;
  readonly action: StreamConfig;
  /** which calls of the video are made, see schedule.ts */
  readonly videoExecStep: number;
  /** rows of a text, given ones and zeros behind them */
  readonly textRows: number;
  /** channels of an action token that are actions, in the order of the statistics */
  readonly usedChannels: readonly number[];
}

/** How one stream is denoised. */
export interface StreamConfig {
  readonly steps: number;
  readonly shift: number;
  /** of the prompt against the empty prompt; at most 1: the prompt alone */
  readonly guidance: number;
}

/** What belongs to LeRobot, to training, or to the robot's own program. */
const NOT_OF_INFERENCE = [
  ...[
    "type",
    "n_obs_steps",
    "input_features",
    "output_features",
    "device",
    "use_amp",
    "use_peft",
    "push_to_hub",
  ],
  ...["repo_id", "private", "tags", "license", "pretrained_path", "pretrained_revision", "dtype"],
  ...["text_encoder_device", "save_predicted_video", "optimizer_lr", "optimizer_betas", "optimizer_eps"],
  ...["optimizer_weight_decay", "optimizer_grad_clip_norm", "scheduler_warmup_steps"],
];

const OWN = [
  ...["wan_pretrained_path", "obs_cam_keys", "image_hflip", "camera_layout", "height", "width"],
  ...["action_per_frame", "frame_chunk_size", "attn_window", "num_inference_steps", "video_exec_step"],
  ...["action_num_inference_steps", "guidance_scale", "action_guidance_scale", "snr_shift"],
  ...["action_snr_shift", "max_sequence_length", "used_action_channel_ids", "normalization_mapping"],
];

/** What the published LIBERO policy has, and LeRobot takes where a field is missing. */
const CAMERAS = ["observation.images.image", "observation.images.image2"];

/**
 * Reads the policy's own fields; those of the transformer stand beside them and are read by `readPolicyTransformer`.
 * @throws FormatError for a malformed field, UsageError for an option that is not known or not supported
 */
export function readPolicyConfig(json: unknown, name = "config.json"): PolicyConfig {
  const c = new ConfigReader(json, name);
  c.known(...LINGBOT_OPTIONS, ...OWN, ...NOT_OF_INFERENCE);
  c.only("type", "lingbot_va");
  // The other layout is RoboTwin's three cameras.
  c.only("camera_layout", "width_concat");
  const config: PolicyConfig = {
    frozen: c.text("wan_pretrained_path", "robbyant/lingbot-va-base"),
    cameras: texts(json, name, "obs_cam_keys", CAMERAS),
    mirrored: c.flag("image_hflip", false),
    frameSize: [c.count("height", 128), c.count("width", 128)],
    frames: c.count("frame_chunk_size", 4),
    actionsPerFrame: c.count("action_per_frame", 4),
    window: c.count("attn_window", 30),
    video: {
      steps: c.count("num_inference_steps", 20),
      shift: c.number("snr_shift", 5),
      guidance: c.number("guidance_scale", 5),
    },
    action: {
      steps: c.count("action_num_inference_steps", 50),
      shift: c.number("action_snr_shift", 0.05),
      guidance: c.number("action_guidance_scale", 1),
    },
    videoExecStep: c.number("video_exec_step", -1),
    textRows: c.count("max_sequence_length", 512),
    usedChannels: c.numbers("used_action_channel_ids", undefined, [0, 1, 2, 3, 4, 5, 6]),
  };
  const used = config.usedChannels;
  const dimension = c.count("action_dim", 30);
  const fits = used.every((id) => Number.isInteger(id) && id >= 0 && id < dimension);
  if (used.length === 0 || new Set(used).size !== used.length || !fits)
    throw new FormatError(
      `${name}: "used_action_channel_ids" is ${JSON.stringify(used)}, expected different channels of 0 to ${dimension - 1}`,
    );
  for (const [key, value] of Object.entries({
    snr_shift: config.video.shift,
    action_snr_shift: config.action.shift,
  }))
    if (value <= 0) throw new FormatError(`${name}: "${key}" is ${value}, expected a positive number`);
  if (!Number.isInteger(config.videoExecStep))
    throw new FormatError(`${name}: "video_exec_step" is ${config.videoExecStep}, expected a whole number`);
  return config;
}

/** The transformer's options in a policy's config.json. @throws as `lingbotOptions`; UsageError unless latents go out as they come in */
export function readPolicyTransformer(json: unknown, name = "config.json"): LingbotConfig {
  const config = lingbotOptions(new ConfigReader(json, name), name);
  if (config.inChannels !== config.outChannels)
    throw new UsageError(
      `${name}: ${config.inChannels} channels of latents come in and ${config.outChannels} go out; a flow needs as many`,
    );
  return config;
}

function texts(json: unknown, name: string, key: string, fallback: readonly string[]): readonly string[] {
  const value = (json as Record<string, unknown>)[key] ?? fallback;
  if (Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === "string")) return value;
  throw new FormatError(`${name}: "${key}" is ${JSON.stringify(value)}, expected a list of texts`);
}
