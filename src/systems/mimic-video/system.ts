/** Models of lucidrains' mimic-video on a diffusers video transformer, composed by a `model.json`: the toy that ships is one. */
import { AdapterError, UsageError } from "../../errors.ts";
import { Recordings } from "../../data/lerobot/recordings.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { System, SystemOptions } from "../system.ts";
import { readModelDescription } from "./description.ts";
import { EpisodeData } from "./episodes.ts";
import { MimicVideo } from "./model.ts";
import { Policies } from "./policy.ts";
import { recordedEpisodes } from "./recorded.ts";
import { MimicVideoSubject } from "./subject.ts";

export const mimicVideo: System = {
  name: "mimic-video",
  items: async (files) => readModelDescription(await files.json("model.json"), files.name).episodes,

  async recognise(files) {
    if (!files.paths.includes("model.json")) return { missing: ["model.json"] };
    const json = (await files.json("model.json")) as { kind?: unknown } | null;
    const kind = json?.kind;
    return kind === "mimic-video"
      ? { found: true }
      : {
          missing: [
            `"kind": "mimic-video" in model.json, which describes ${JSON.stringify(kind ?? "nothing")}`,
          ],
        };
  },

  async needed(files) {
    const { parts, episodes } = readModelDescription(await files.json("model.json"), files.name);
    const folders = [...new Set([...Object.values(parts), episodes])].map((folder) => `${folder}/`);
    return files.paths.filter((path) => path === "model.json" || folders.some((f) => path.startsWith(f)));
  },

  async open(gpu: Gpu, files: ModelFiles, options: SystemOptions) {
    refuse(options);
    const plan = await MimicVideo.plan(gpu, files, options);
    const { model } = plan;
    if (options.gpuMemory !== undefined && plan.bytes > options.gpuMemory) {
      await plan.close();
      throw new AdapterError(
        `${plan.name} needs ${formatBytes(plan.bytes)} of GPU memory for its weights alone; --gpu-memory says ` +
          `${formatBytes(options.gpuMemory)}. ${SMALLER_WEIGHTS}`,
      );
    }
    const { description } = model;
    const policies = new Policies(model);
    return {
      name: description.name,
      trainedOn: description.trainedOn,
      weightFiles: Object.values(description.parts),
      dtype: options.dtype ?? "f32",
      stamp: {},
      plan: {
        weights: plan.bytes,
        peak: plan.bytes,
        lines: [
          `${plan.name} needs ${formatBytes(plan.bytes)} of GPU memory for its weights, the largest ` +
            `${formatBytes(plan.largest.bytes)} (${plan.largest.label})`,
        ],
      },
      load: async (loading) => void (await plan.load(loading)),
      subject: async (data, noise) => {
        const episodes =
          data instanceof Recordings
            ? await recordedEpisodes(data, description, model.episodeShape, options.onNote)
            : await EpisodeData.open(data, "", description, model.episodeShape);
        try {
          return await MimicVideoSubject.bind(model, episodes, noise);
        } catch (error) {
          await episodes.close();
          throw error;
        }
      },
      policy: () => Promise.resolve(policies.policy()),
      release: async () => {
        model.release();
        await plan.close();
      },
    };
  },
};

/** Options of other systems. @throws UsageError naming the first that is set */
function refuse({ policy, text, encodeText, oracle }: SystemOptions): void {
  const set = Object.entries({ policy, text, "encode-text": encodeText, oracle }).find(([, value]) => value);
  if (set)
    throw new UsageError(`--${set[0]} does not apply to a model of the kind "mimic-video"; leave it out.`);
}
