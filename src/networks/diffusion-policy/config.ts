/**
 * config.json of LeRobot's Diffusion Policy. Its defaults changed from version to version (horizon 16 or 64, crop [84, 84] or none, group
 * norm or not, one encoder or one a camera), so nothing that decides a number is filled in: every such field must be written, as it is in
 * every file that the package saves.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../config.ts";

/** What a feature is, which decides how it is normalised. */
export type FeatureType = "VISUAL" | "STATE" | "ENV" | "ACTION";

export const NORMALISATIONS = ["MEAN_STD", "MIN_MAX", "IDENTITY"] as const;
export type Normalisation = (typeof NORMALISATIONS)[number];

/** An observation or the action, by its key in the data. */
export interface Feature {
  readonly key: string;
  /** pictures (3, rows, columns), vectors (width) */
  readonly shape: readonly number[];
  readonly normalisation: Normalisation;
}

export interface DiffusionPolicyConfig {
  /** observations that are seen, the last one now */
  readonly observations: number;
  /** H, positions that are denoised; the first belongs to the oldest observation */
  readonly horizon: number;
  /** T, positions that are carried out, from the one of the last observation on */
  readonly actionSteps: number;
  /** in the order in which they are written */
  readonly cameras: readonly Feature[];
  readonly state: Feature;
  readonly environment?: Feature;
  readonly action: Feature;
  /** (rows, columns) cut from the middle of a picture; absent: all of it */
  readonly crop?: readonly [number, number];
  readonly groupNorm: boolean;
  readonly encoderPerCamera: boolean;
  /** K, expected positions that a picture becomes */
  readonly keypoints: number;
  /** channels of the U-Net's levels */
  readonly widths: readonly number[];
  readonly kernelSize: number;
  readonly groups: number;
  readonly stepWidth: number;
  /** whether the condition scales channels besides shifting them */
  readonly filmScale: boolean;
}

/** What the sampler is told in the same file; the network does not see it. */
const OF_THE_SAMPLER = [
  ...["noise_scheduler_type", "num_train_timesteps", "beta_schedule", "beta_start", "beta_end"],
  ...["prediction_type", "clip_sample", "clip_sample_range", "num_inference_steps"],
];

/** Training, hardware and book-keeping: nothing here changes what a trained network computes. */
const NOT_OF_INFERENCE = [
  ...["crop_is_random", "do_mask_loss_for_padding", "drop_n_last_frames", "pretrained_backbone_weights"],
  ...["optimizer_betas", "optimizer_eps", "optimizer_lr", "optimizer_weight_decay"],
  ...["scheduler_name", "scheduler_warmup_steps", "device", "use_amp", "compile_model", "compile_mode"],
  ...["use_peft", "push_to_hub", "repo_id", "private", "tags", "license", "pretrained_path"],
];

/**
 * Reads and checks a config.json.
 * @throws FormatError for a field that is missing or malformed, UsageError for a value that is not supported
 */
export function readDiffusionPolicyConfig(json: unknown, name = "config.json"): DiffusionPolicyConfig {
  const c = new ConfigReader(json, name);
  const raw = json as Readonly<Record<string, unknown>>;
  if (["input_shapes", "output_shapes", "input_normalization_modes"].some((key) => c.has(key))) {
    throw new UsageError(
      `${name} has the form of LeRobot before February 2025 (input_shapes, input_normalization_modes), whose revisions hold other weights. ` +
        "Take a later revision of the checkpoint.",
    );
  }
  c.known(
    ...["type", "n_obs_steps", "horizon", "n_action_steps", "input_features", "output_features"],
    ...["normalization_mapping", "vision_backbone", "resize_shape", "crop_ratio", "crop_shape"],
    ...["use_group_norm", "use_separate_rgb_encoder_per_camera", "spatial_softmax_num_keypoints"],
    ...["down_dims", "kernel_size", "n_groups", "diffusion_step_embed_dim", "use_film_scale_modulation"],
    ...OF_THE_SAMPLER,
    ...NOT_OF_INFERENCE,
  );
  c.only("type", "diffusion");
  c.only("resize_shape", null);
  // Of what resize_shape leaves; without one the package does not look at it.
  c.only("crop_ratio", 1);
  const backbone = c.text("vision_backbone");
  if (!backbone.startsWith("resnet"))
    throw new UsageError(`${name}: vision_backbone = "${backbone}" is not supported; supported: "resnet…"`);
  const features = readFeatures(raw, name);
  const config: DiffusionPolicyConfig = {
    observations: c.count("n_obs_steps"),
    horizon: c.count("horizon"),
    actionSteps: c.count("n_action_steps"),
    ...features,
    crop: written(raw, "crop_shape", name) === null ? undefined : sizes(c.numbers("crop_shape", 2), name),
    groupNorm: c.flag("use_group_norm"),
    encoderPerCamera: c.flag("use_separate_rgb_encoder_per_camera"),
    keypoints: c.count("spatial_softmax_num_keypoints"),
    widths: counts(c.numbers("down_dims"), "down_dims", name),
    kernelSize: c.count("kernel_size"),
    groups: c.count("n_groups"),
    stepWidth: c.count("diffusion_step_embed_dim"),
    filmScale: c.flag("use_film_scale_modulation"),
  };
  check(config, name);
  return config;
}

/** Observations and action by their types. */
function readFeatures(raw: Readonly<Record<string, unknown>>, name: string) {
  const modes = record(raw.normalization_mapping, "normalization_mapping", name);
  const list = (key: string): (Feature & { type: FeatureType })[] =>
    Object.entries(record(raw[key], key, name)).map(([feature, value]) => {
      const { type, shape } = (value ?? {}) as { type?: unknown; shape?: unknown };
      const sized =
        Array.isArray(shape) && shape.length > 0 && shape.every((n) => Number.isInteger(n) && n > 0);
      if (typeof type !== "string" || !sized)
        throw new FormatError(
          `${name}: ${key}["${feature}"] is ${JSON.stringify(value)}, expected a "type" and a "shape"`,
        );
      const known = ["VISUAL", "STATE", "ENV", "ACTION"].includes(type);
      if (!known || shape.length !== (type === "VISUAL" ? 3 : 1))
        throw new UsageError(
          `${name}: ${key}["${feature}"] of type ${type} and shape (${shape.join(", ")}) is not supported; ` +
            "supported: VISUAL (3, rows, columns), STATE, ENV and ACTION (width)",
        );
      // A type without a mode passes through.
      const normalisation = modes[type] ?? "IDENTITY";
      if (!NORMALISATIONS.some((mode) => mode === normalisation))
        throw new UsageError(
          `${name}: normalization_mapping.${type} = ${JSON.stringify(normalisation)} is not supported; supported: ${NORMALISATIONS.join(", ")}`,
        );
      return {
        ...{ key: feature, type: type as FeatureType },
        ...{ shape: shape as number[], normalisation: normalisation as Normalisation },
      };
    });
  const inputs = list("input_features");
  const of = (type: FeatureType, among = inputs): Feature[] =>
    among
      .filter((f) => f.type === type)
      .map(({ key, shape, normalisation }) => ({ key, shape, normalisation }));
  const [states, environments, actions] = [of("STATE"), of("ENV"), of("ACTION", list("output_features"))];
  if (states.length !== 1 || environments.length > 1 || actions.length !== 1)
    throw new UsageError(
      `${name}: ${states.length} STATE, ${environments.length} ENV and ${actions.length} ACTION features; one state, at most one ` +
        "environment state and one action are supported",
    );
  return {
    cameras: of("VISUAL"),
    state: states[0],
    action: actions[0],
    ...(environments.length > 0 && { environment: environments[0] }),
  };
}

/** What must fit together, as the package itself demands it. */
function check(config: DiffusionPolicyConfig, name: string): void {
  const { cameras, environment, horizon, widths, kernelSize, groups } = config;
  const wrong = (what: string): never => {
    throw new UsageError(`${name}: ${what}`);
  };
  if (cameras.length === 0 && !environment)
    wrong("input_features has neither a picture nor an environment state; the policy needs one");
  for (const { key, shape } of cameras) {
    if (shape[0] !== 3) wrong(`${key} has ${shape[0]} channels, pictures have 3`);
    if (shape.join() !== cameras[0].shape.join())
      wrong(
        `pictures of one size are needed, ${cameras[0].key} is (${cameras[0].shape.join(", ")}) and ${key} (${shape.join(", ")})`,
      );
  }
  const least = 2 ** widths.length;
  if (horizon % least !== 0)
    wrong(
      `horizon ${horizon} is no multiple of ${least}, which a U-Net of ${widths.length} levels (down_dims) needs`,
    );
  if (kernelSize % 2 === 0)
    wrong(`kernel_size ${kernelSize} is even; a convolution would change the horizon`);
  const uneven = widths.find((width) => width % groups !== 0);
  if (uneven !== undefined) wrong(`n_groups ${groups} does not divide the ${uneven} channels of down_dims`);
  if (widths[0] % FINAL_GROUPS !== 0)
    wrong(
      `the last block has ${FINAL_GROUPS} groups whatever n_groups says, which do not divide its ${widths[0]} channels`,
    );
  if (config.stepWidth % 2 !== 0 || config.stepWidth < 4)
    wrong(`diffusion_step_embed_dim ${config.stepWidth}: an even number from 4 on is needed`);
}

/** Groups of the U-Net's last normalisation, whatever the configuration says. */
export const FINAL_GROUPS = 8;

/** A field that may be null but must be there. */
export function written(raw: Readonly<Record<string, unknown>>, key: string, name: string): unknown {
  if (raw[key] !== undefined) return raw[key];
  throw new FormatError(
    `${name}: "${key}" is missing. Its default changed between versions of LeRobot; write down what the model was trained with.`,
  );
}

function record(value: unknown, key: string, name: string): Readonly<Record<string, unknown>> {
  if (value !== null && typeof value === "object" && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new FormatError(`${name}: "${key}" is ${JSON.stringify(value) ?? "missing"}, expected an object`);
}

function counts(values: readonly number[], key: string, name: string): readonly number[] {
  if (values.length > 0 && values.every((n) => Number.isInteger(n) && n > 0)) return values;
  throw new FormatError(`${name}: "${key}" is ${JSON.stringify(values)}, expected positive whole numbers`);
}

const sizes = (values: readonly number[], name: string): readonly [number, number] =>
  counts(values, "crop_shape", name) as [number, number];
