/** The options of the reference's action model (docs/references.md, "options"), as far as inference depends on them. */
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";
import { parseVersion, type Version } from "./version.ts";

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
  /** for messages */
  readonly name: string;
  /** D, model width */
  readonly dim: number;
  /** V, width of the video hidden states */
  readonly videoDim: number;
  /** n, actions in a chunk */
  readonly chunkLength: number;
  /** which of the embodiments this is, from 0: projections, head and statistics are its own */
  readonly body: number;
  /** E, embodiments of the checkpoint */
  readonly bodies: number;
  /** A of the embodiment */
  readonly actionDim: number;
  /** J of the embodiment */
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
  /** whether the joint state is normalised */
  readonly jointNormalized: boolean;
  /** whether the network predicts the clean action (and not the flow) */
  readonly predictsClean: boolean;
  /** lower limit of 1 − t when a clean action becomes a flow */
  readonly epsilon: number;
  readonly taskIds: number;
  readonly advantageIds: number;
  /** rows of the table of bodies, whose row `body` is a condition token always; 0: no table */
  readonly bodyIds: number;
  /** width of an external description of the body, which may be given as a condition token; 0: none */
  readonly bodyCondDim: number;
  /** tokens of no input, in front of the actions */
  readonly registers: number;
  /** per layer: which of the captured hidden states it attends to; negative counts from the end */
  readonly videoLayers: readonly number[];
  readonly views: number;
  readonly stateAutoencoder?: StateAutoencoderConfig;
  /** which of the captured hidden states the state autoencoder encodes */
  readonly stateLayer: number;
  readonly hasJointDynamics: boolean;
  /** what is stated of the gate bias and of the package's version, see edition.ts; no tensor of a checkpoint tells them */
  readonly gateBias?: number;
  readonly version?: Version;
  /** the most steps of the sampler, where it is stated */
  readonly mostSteps?: number;
  /** options that no tensor tells and the configuration leaves to the package's default: "eps = 0.00001" */
  readonly assumed: readonly string[];
}

/** Options that matter in training only. */
const TRAINING = [
  ...["proprio_mask_prob", "train_time_rtc", "train_time_rtc_max_delay", "advantage_cfg_dropout"],
  ...["video_time_denoise_mu", "video_time_denoise_sigma", "state_autoencoder_loss_weight"],
  ...["joint_latent_dynamics_loss_weight", "explore_candidates"],
];

/** Options that no JSON can hold a supported value of, or that the reference itself cannot run with. */
const UNSUPPORTED = ["video_predict_wrapper", "pred_head", "sample_time_fn"];

/** Options that decide the numbers and that no tensor tells, with the package's defaults. */
const SILENT: Readonly<Record<string, unknown>> = {
  action_chunk_len: 32,
  model_output_clean: true,
  eps: 1e-5,
  extracted_video_layer_indices: "the first of the captured layers throughout",
};

/**
 * Reads the reference's constructor arguments; `_mimic_video_version` beside them may name the package's version.
 * @param body which embodiment, where `dim_action` is a list of several
 * @throws FormatError for a malformed field, UsageError for an option or value that is not supported, or no such embodiment
 */
export function readActionConfig(json: unknown, name = "action decoder", body = 0): ActionConfig {
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
    ...[
      "action_mean_std",
      "joint_mean_std",
      "model_output_clean",
      "eps",
      "is_flow_model",
      "ada_ln_zero_bias",
    ],
    ...["num_task_ids", "num_advantage_ids", "num_body_ids", "dim_body_cond", "num_register_tokens"],
    ...["extracted_video_layer_indices", "num_video_viewpoints", "state_autoencoder", "max_sample_steps"],
    ...["state_autoencoder_video_layer_index", "has_joint_latent_dynamics"],
    ...TRAINING,
    ...UNSUPPORTED,
  );
  const dim = c.count("dim");
  const depth = c.count("depth", 8);
  const embodiment = readEmbodiment(c, json, name, body);
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
  const bodyIds = ids(c, "num_body_ids", name);
  if (bodyIds > 0 && body >= bodyIds)
    throw new UsageError(`${name}: embodiment ${body} has no row in a table of num_body_ids = ${bodyIds}`);
  return {
    ...{ name, dim, depth, videoDim, videoLayers, stateLayer, bodyIds },
    ...embodiment,
    chunkLength: c.count("action_chunk_len", 32),
    heads: even("heads", 8),
    headDim: c.count("dim_head", 64),
    poolHeads: even("attention_residual_heads", 4),
    poolHeadDim: c.count("attention_residual_dim_head", 64),
    // Truncated, not rounded, in this order of operations.
    feedForward: Math.trunc((dim * c.number("expansion_factor", 4) * 2) / 3),
    timeDim: c.count("dim_time_cond", 2 * dim),
    predictsClean: c.flag("model_output_clean", true),
    epsilon: c.number("eps", 1e-5),
    taskIds: ids(c, "num_task_ids", name),
    advantageIds: ids(c, "num_advantage_ids", name),
    bodyCondDim: c.has("dim_body_cond") ? c.count("dim_body_cond") : 0,
    registers: ids(c, "num_register_tokens", name),
    views: c.count("num_video_viewpoints", 1),
    stateAutoencoder: c.has("state_autoencoder")
      ? readStateAutoencoder((json as Record<string, unknown>).state_autoencoder, videoDim, name)
      : undefined,
    hasJointDynamics: c.flag("has_joint_latent_dynamics", false),
    gateBias: c.has("ada_ln_zero_bias") ? c.number("ada_ln_zero_bias") : undefined,
    version: c.has("_mimic_video_version") ? parseVersion(c.text("_mimic_video_version"), name) : undefined,
    mostSteps: c.has("max_sample_steps") ? c.count("max_sample_steps") : undefined,
    assumed: Object.entries(SILENT).flatMap(([key, value]) =>
      c.has(key) ? [] : [`${key} = ${String(value)}`],
    ),
  };
}

/** Widths and normalisers of one embodiment; options of several are lists, one entry an embodiment. */
function readEmbodiment(c: ConfigReader, json: unknown, name: string, body: number) {
  const given = json as Readonly<Record<string, unknown>>;
  const widths = (key: string, fallback: number): number[] => {
    const value = given[key];
    if (!Array.isArray(value)) return [c.count(key, fallback)];
    const fits = value.length > 0 && value.every((width) => Number.isInteger(width) && (width as number) > 0);
    if (!fits)
      throw new FormatError(
        `${name}: "${key}" is ${JSON.stringify(value).slice(0, 80)}, expected a positive whole number or a list of them, one an embodiment`,
      );
    return value as number[];
  };
  const [actions, joints] = [widths("dim_action", 20), widths("dim_joint_state", 32)];
  if (actions.length !== joints.length)
    throw new FormatError(
      `${name}: dim_action has ${actions.length} embodiments, dim_joint_state ${joints.length}; the two lists belong together`,
    );
  if (!Number.isInteger(body) || body < 0 || body >= actions.length)
    throw new UsageError(
      `${name}: there is no embodiment ${body}; the checkpoint has ${actions.length}, counted from 0`,
    );
  return {
    ...{ body, bodies: actions.length, actionDim: actions[body], jointDim: joints[body] },
    normalized: hasMeanStd(given.action_mean_std, "action_mean_std", actions, name),
    jointNormalized: hasMeanStd(given.joint_mean_std, "joint_mean_std", joints, name),
  };
}

/** Whether there is a normaliser. With what it works, the checkpoint's own tensors say: they replace what the constructor was given. */
function hasMeanStd(given: unknown, key: string, widths: readonly number[], name: string): boolean {
  if (given === undefined || given === null) return false;
  const fits = (pair: unknown, width: number): boolean =>
    Array.isArray(pair) &&
    pair.length === 2 &&
    pair.every((row) => Array.isArray(row) && row.length === width && row.every(Number.isFinite));
  const each =
    Array.isArray(given) && given.length === widths.length && given.every((p, e) => fits(p, widths[e]));
  if (each || (widths.length === 1 && fits(given, widths[0]))) return true;
  const many = widths.length > 1 ? `${widths.length} embodiments of ` : "";
  throw new FormatError(
    `${name}: "${key}" is ${JSON.stringify(given).slice(0, 80)}, expected means and deviations of ${many}${widths.join(" and ")} dimensions`,
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
