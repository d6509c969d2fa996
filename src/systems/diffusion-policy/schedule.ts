/** The sampler's part of a Diffusion Policy's config.json. */
import { UsageError } from "../../errors.ts";
import { ConfigReader } from "../../networks/config.ts";
import { written } from "../../networks/diffusion-policy/config.ts";
import type { DiffusionSchedule } from "../../sampling/diffusion.ts";

export interface PlanSchedule {
  readonly schedule: DiffusionSchedule;
  /** N, network evaluations of a plan */
  readonly evaluations: number;
}

/**
 * Reads and checks it; other fields are the network's.
 * @throws FormatError for a field that is missing or malformed, UsageError for a value that is not supported
 */
export function readPlanSchedule(json: unknown, name = "config.json"): PlanSchedule {
  const c = new ConfigReader(json, name);
  const raw = json as Readonly<Record<string, unknown>>;
  const one = <T extends string>(key: string, ...supported: T[]): T => {
    const value = c.text(key);
    c.only(key, ...supported);
    return value as T;
  };
  const clips = c.flag("clip_sample");
  const range = c.number("clip_sample_range");
  if (clips && range <= 0)
    throw new UsageError(`${name}: clip_sample_range = ${range}, expected more than 0`);
  const schedule: DiffusionSchedule = {
    kind: one("noise_scheduler_type", "DDPM", "DDIM"),
    trained: c.count("num_train_timesteps"),
    betas: one("beta_schedule", "squaredcos_cap_v2", "linear"),
    betaStart: c.number("beta_start"),
    betaEnd: c.number("beta_end"),
    predicts: one("prediction_type", "epsilon", "sample"),
    ...(clips && { clip: range }),
  };
  // Null means as many as there are noise levels; the field must be there all the same.
  const asked = written(raw, "num_inference_steps", name);
  const evaluations = asked === null ? schedule.trained : c.count("num_inference_steps");
  if (evaluations > schedule.trained)
    throw new UsageError(
      `${name}: num_inference_steps = ${evaluations} is more than the ${schedule.trained} noise levels of training (num_train_timesteps)`,
    );
  return { schedule, evaluations };
}
