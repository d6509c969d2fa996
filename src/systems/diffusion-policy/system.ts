/** LeRobot's Diffusion Policy, such as lerobot/diffusion_pusht: actions denoised directly, from pictures and states. */
import { AdapterError, FormatError, UsageError } from "../../errors.ts";
import { Recordings } from "../../data/lerobot/recordings.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { System, SystemOptions } from "../system.ts";
import { givenNoise } from "./given-noise.ts";
import { CONFIG, DiffusionPolicyModel, WEIGHTS } from "./model.ts";
import { robotPolicy } from "./policy.ts";
import { processorFiles } from "./statistics.ts";
import { DiffusionPolicySubject } from "./subject.ts";
import { freshDraws } from "./walk-plan.ts";
import { recordedWindows } from "./recorded.ts";
import { INPUTS, openInputs } from "./windows.ts";

/** Says among much else which data the policy was trained on. */
const TRAINING = "train_config.json";

export const diffusionPolicy: System = {
  name: "diffusion-policy",
  // A miniature's inputs lie beside its folders.
  items: ({ paths }) => Promise.resolve(paths.includes(INPUTS) ? "." : ".."),

  async recognise(files) {
    const missing = [CONFIG, WEIGHTS].filter((path) => !files.paths.includes(path));
    if (missing.length > 0) return { missing };
    const json = (await files.json(CONFIG)) as Readonly<Record<string, unknown>> | null;
    const { type } = json ?? {};
    // Before February 2025 a configuration had no type; opening it says so.
    const older =
      type === undefined && json !== null && "noise_scheduler_type" in json && "down_dims" in json;
    return type === "diffusion" || older
      ? { found: true }
      : { missing: [`"type": "diffusion" in ${CONFIG}, which says ${JSON.stringify(type ?? "nothing")}`] };
  },

  async dataSet(files) {
    if (!files.paths.includes(TRAINING)) return undefined;
    const { dataset } = ((await files.json(TRAINING)) ?? {}) as { dataset?: { repo_id?: unknown } };
    return typeof dataset?.repo_id === "string" ? dataset.repo_id : undefined;
  },

  needed: async (files) => [
    ...[CONFIG, WEIGHTS, ...(await processorFiles(files))],
    ...[TRAINING].filter((path) => files.paths.includes(path)),
  ],

  async open(gpu, files, options) {
    refuse(options);
    const { dtype = "f32", unexpected, rename } = options;
    const model = await DiffusionPolicyModel.open(gpu, files, { dtype, unexpected, rename });
    try {
      const { config, plans, bytes, largest } = model;
      gpu.checkBinding(largest.bytes, largest.label, SMALLER_WEIGHTS);
      const peak = await model.peak(Math.max(1, options.trajectories ?? 1));
      if (options.gpuMemory !== undefined && peak > options.gpuMemory)
        throw new AdapterError(
          `${files.name} needs ${formatBytes(peak)} of GPU memory; --gpu-memory says ${formatBytes(options.gpuMemory)}. ${SMALLER_WEIGHTS}`,
        );
      const states = (await processorFiles(files)).filter((path) => path.endsWith(".safetensors"));
      const { kind, trained, predicts } = plans.schedule;
      return {
        name: files.name,
        trainedOn: "pretrained",
        weightFiles: [WEIGHTS, ...states],
        dtype,
        stamp: {
          schedule: `${kind}, ${plans.evaluations} of ${trained} noise levels, predicts ${predicts}`,
          plan: `${config.horizon} positions, ${config.actionSteps} carried out, ${config.observations} observations`,
        },
        plan: {
          weights: bytes,
          peak,
          lines: [
            `${files.name} (revision ${files.revision}) needs ${formatBytes(bytes)} of GPU memory for its weights, ${formatBytes(peak)} in all`,
            `a plan of ${config.horizon} positions takes ${plans.evaluations} evaluations (${kind}); ${config.actionSteps} are carried out`,
          ],
        },
        load: (loading) => model.load(loading),
        subject: async (data, noise) => {
          const statistics = await model.statistics();
          const windows =
            data instanceof Recordings
              ? await recordedWindows(data, config, statistics, options.onNote)
              : await openWindows(data, model);
          try {
            const given =
              noise && (await givenNoise(noise, windows.count, model.planShape, freshDraws(model)));
            return new DiffusionPolicySubject(model, windows, statistics, given);
          } catch (error) {
            await windows.close();
            throw error;
          }
        },
        policy: async () =>
          robotPolicy(model, await model.statistics(), files.name, await stepSeconds(files)),
        release: async () => {
          model.release();
          await model.close();
        },
      };
    } catch (error) {
      await model.close();
      throw error;
    }
  },
};

/** Seconds between two environment steps, as training said; 0 where nothing says. */
async function stepSeconds(files: ModelFiles): Promise<number> {
  if (!files.paths.includes(TRAINING)) return 0;
  const { env } = ((await files.json(TRAINING)) ?? {}) as { env?: { fps?: unknown } };
  return typeof env?.fps === "number" && env.fps > 0 ? 1 / env.fps : 0;
}

/** Data by what lies in their folder. */
function openWindows(data: ModelFiles, { config }: DiffusionPolicyModel) {
  if (data.paths.includes(INPUTS)) return openInputs(data, config);
  throw new FormatError(
    `${data.name} holds no ${INPUTS} with "frames" and "states". Give with --data a folder that does, or a LeRobot data set such as lerobot/pusht.`,
  );
}

/** Options of other systems. @throws UsageError naming the first that is set */
function refuse({ policy, text, encodeText, oracle }: SystemOptions): void {
  const set = Object.entries({ policy, text, "encode-text": encodeText, oracle }).find(([, value]) => value);
  if (set) throw new UsageError(`--${set[0]} does not apply to a Diffusion Policy; leave it out.`);
}
