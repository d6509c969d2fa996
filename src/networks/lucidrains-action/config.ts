/** The options of the reference's action model (docs/references.md, "options"), as far as inference depends on them. */
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";

/** Options of the state autoencoder's encoder (docs/references.md, "state autoencoder"). */
export interface StateAutoencoderConfig {
  /** V, width of the hidden states */
  readonly dim: number;
  readonly depth: number;
  readonly maxTokens: number;
  readonly latentDim: number;
  readonly heads: number;
  readonly headDim: number;
}

export interface ActionConfig {
  /** D, model width */
  readonly dim: number;
  /** V, width of the video hidden states */
  readonly videoDim: number;
  /** n, actions in a chunk */
  readonly chunkLength: number;
  /** A */
  readonly actionDim: number;
  /** J */
  readonly jointDim: number;
  /** L */
  readonly depth: number;
  /** H query heads of width h, on two key-value heads */
  readonly heads: number;
  readonly headDim: number;
  /** R heads of width r of the history pools */
  readonly poolHeads: number;
  readonly poolHeadDim: number;
  /** F, width inside the feed-forward */
  readonly feedForward: number;
  /** C, width of the time condition */
  readonly timeDim: number;
  /** whether actions are normalised on every call */
  readonly normalized: boolean;
  /** whether the network predicts the clean action (and not the flow) */
  readonly predictsClean: boolean;
  /** lower limit of 1 − t when a clean action becomes a flow */
  readonly epsilon: number;
  readonly taskIds: number;
  readonly advantageIds: number;
  /** per layer: which of the captured hidden states it attends to; negative counts from the end */
  readonly videoLayers: readonly number[];
  readonly views: number;
  readonly stateAutoencoder?: StateAutoencoderConfig;
  /** which of the captured hidden states the state autoencoder encodes */
  readonly stateLayer: number;
  readonly hasJointDynamics: boolean;
  /** added to every gate of the adaptive norms before its sigmoid; no tensor of a checkpoint tells it */
  readonly gateBias: number;
}

/** Options that matter in training only. */
const TRAINING = [
  ...["proprio_mask_prob", "train_time_rtc", "train_time_rtc_max_delay", "advantage_cfg_dropout"],
  ...["video_time_denoise_mu", "video_time_denoise_sigma", "state_autoencoder_loss_weight"],
  ...["joint_latent_dynamics_loss_weight"],
];

/** Options that no JSON can hold a supported value of, or that the reference itself cannot run with. */
const UNSUPPORTED = ["video_predict_wrapper", "pred_head", "sample_time_fn", "joint_mean_std"];

/**
 * Reads the reference's constructor arguments.
 * @throws FormatError for a malformed field, UsageError for an option or value that is not supported
 */
export function readActionConfig(json: unknown, name = "action decoder"): ActionConfig {
  const c = new ConfigReader(json, name);
  c.only("_class_name", "MimicVideo");
  for (const key of UNSUPPORTED) c.only(key, null);
  c.only("is_flow_model", true);
  c.known(
    ...["dim", "dim_video_hidden", "action_chunk_len", "dim_action", "dim_joint_state", "depth", "dim_head"],
    ...[
      "heads",
      "attention_residual_heads",
      "attention_residual_dim_head",
      "expansion_factor",
      "dim_time_cond",
    ],
    ...["action_mean_std", "model_output_clean", "num_task_ids", "num_advantage_ids", "eps", "is_flow_model"],
    ...["extracted_video_layer_indices", "num_video_viewpoints", "state_autoencoder"],
    ...["state_autoencoder_video_layer_index", "has_joint_latent_dynamics", "ada_ln_zero_bias"],
    ...TRAINING,
    ...UNSUPPORTED,
  );
  const dim = c.count("dim");
  const depth = c.count("depth", 8);
  const actionDim = c.count("dim_action", 20);
  const videoDim = c.count("dim_video_hidden");
  const videoLayers = c.numbers("extracted_video_layer_indices", depth, new Array<number>(depth).fill(0));
  const [stateLayer] = c.has("state_autoencoder_video_layer_index")
    ? [c.number("state_autoencoder_video_layer_index")]
    : [videoLayers[Math.floor(depth / 3)]];
  const even = (key: string, fallback: number): number => {
    const heads = c.count(key, fallback);
    if (heads % 2 !== 0)
      throw new UsageError(`${name}: ${key} = ${heads} is not a multiple of the two key-value heads`);
    return heads;
  };
  for (const layer of [...videoLayers, stateLayer]) {
    if (!Number.isInteger(layer))
      throw new UsageError(`${name}: ${layer} is not the number of a video layer`);
  }
  return {
    ...{ dim, depth, actionDim, videoDim, videoLayers, stateLayer },
    chunkLength: c.count("action_chunk_len", 32),
    jointDim: c.count("dim_joint_state", 32),
    heads: even("heads", 8),
    headDim: c.count("dim_head", 64),
    poolHeads: even("attention_residual_heads", 4),
    poolHeadDim: c.count("attention_residual_dim_head", 64),
    // Truncated, not rounded, in this order of operations.
    feedForward: Math.trunc((dim * c.number("expansion_factor", 4) * 2) / 3),
    timeDim: c.count("dim_time_cond", 2 * dim),
    normalized: hasMeanStd(json, actionDim, name),
    predictsClean: c.flag("model_output_clean", true),
    epsilon: c.number("eps", 1e-5),
    taskIds: ids(c, "num_task_ids", name),
    advantageIds: ids(c, "num_advantage_ids", name),
    views: c.count("num_video_viewpoints", 1),
    stateAutoencoder: c.has("state_autoencoder")
      ? readStateAutoencoder((json as Record<string, unknown>).state_autoencoder, videoDim, name)
      : undefined,
    hasJointDynamics: c.flag("has_joint_latent_dynamics", false),
    // Of the package up to 0.3.12, whose keys these are; from 0.3.14 on the default is −2 and the option counts.
    gateBias: c.number("ada_ln_zero_bias", -5),
  };
}

/** Whether actions are normalised. With what, the checkpoint's own tensors say: they replace what the constructor was given. */
function hasMeanStd(json: unknown, actionDim: number, name: string): boolean {
  const { action_mean_std: given } = json as { action_mean_std?: unknown };
  if (given === undefined || given === null) return false;
  const fits = (row: unknown): boolean =>
    Array.isArray(row) && row.length === actionDim && row.every(Number.isFinite);
  if (Array.isArray(given) && given.length === 2 && given.every(fits)) return true;
  throw new FormatError(
    `${name}: "action_mean_std" is ${JSON.stringify(given).slice(0, 80)}, expected means and deviations of ${actionDim} dimensions`,
  );
}

function ids(c: ConfigReader, key: string, name: string): number {
  const value = c.number(key, 0);
  if (!Number.isInteger(value) || value < 0)
    throw new UsageError(`${name}: ${key} = ${value} is not a whole number`);
  return value;
}

function readStateAutoencoder(json: unknown, dim: number, name: string): StateAutoencoderConfig {
  const c = new ConfigReader(json, `${name}.state_autoencoder`);
  c.only("bottleneck", null);
  // A variational bottleneck draws its latents at random even in inference.
  c.only("bottleneck_type", "deterministic");
  for (const key of ["deterministic_bottleneck_kwargs", "variational_bottleneck_kwargs"]) c.only(key, {});
  for (const key of ["enc_kwargs", "dec_kwargs"]) c.only(key, {});
  c.only("dim_input", null, dim);
  c.known(
    ...["enc_depth", "dec_depth", "max_seq_len", "dim_latent", "heads", "attn_dim_head", "dim_input"],
    ...["bottleneck", "bottleneck_type", "deterministic_bottleneck_kwargs", "variational_bottleneck_kwargs"],
    ...["enc_kwargs", "dec_kwargs", "loss_type", "latents_dropout_prob"],
  );
  return {
    dim,
    depth: c.count("enc_depth"),
    maxTokens: c.count("max_seq_len"),
    latentDim: c.count("dim_latent", dim),
    heads: c.count("heads", 8),
    headDim: c.count("attn_dim_head", 64),
  };
}
