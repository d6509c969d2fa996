/** Networks of the average velocity (MeanFlow), such as weights/digits: samples of a class in one call of the network, or in many. */
import { Recordings } from "../../data/lerobot/recordings.ts";
import { UsageError } from "../../errors.ts";
import { SMALLER_WEIGHTS } from "../../tensor/matrix.ts";
import { formatBytes } from "../../weights/listing.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { BoundSubject, System, SystemOptions } from "../system.ts";
import { type Evaluation, openEvaluation } from "./evaluation.ts";
import { conversionOf } from "./conversion.ts";
import { choose, DESCRIPTION, EVALUATION, missing } from "./files.ts";
import { MeanFlowModel, RULES } from "./model.ts";
import { populationOf } from "./population.ts";
import { readNoise } from "./given-noise.ts";
import { samplerOf } from "./sampler.ts";
import { judge } from "./judge.ts";
import { MeanFlowSubject } from "./subject.ts";

export const meanFlowSystem: System = {
  name: "meanflow",
  // What evaluates its samples lies beside the weights.
  items: () => Promise.resolve("."),

  convert: conversionOf,

  async recognise(files) {
    const lacks = await missing(files);
    return lacks.length === 0 ? { found: true } : { missing: lacks };
  },

  async needed(files, { policy }) {
    const { weights } = await choose(files, policy);
    return [weights, ...[DESCRIPTION, EVALUATION].filter((path) => files.paths.includes(path))];
  },

  async open(gpu, files, options) {
    refuse(options);
    const { dtype = "f32", unexpected, rename, policy, stateTime, gpuMemory } = options;
    const { weights, json } = await choose(files, policy);
    const stored = await files.weights(weights);
    const model = await MeanFlowModel.open(gpu, stored, json, files.name, {
      ...{ dtype, unexpected, rename, stateTime },
    });
    try {
      const { bytes, largest, description } = model;
      gpu.checkBinding(largest.bytes, largest.label, SMALLER_WEIGHTS);
      const { batch, peak } = await model.together(gpuMemory);
      const { config, contents } = description;
      return {
        name: files.name,
        trainedOn: description.trainedOn,
        weightFiles: [weights],
        dtype,
        stamp: {
          network: description.words,
          ...(stateTime && { "state-time": stateTime }),
          samples: `${contents} of ${model.shape.join(" × ")}${model.classes > 0 ? `, ${model.classes} classes` : ""}`,
        },
        plan: {
          weights: bytes,
          peak,
          lines: [
            `${files.name} (revision ${files.revision}) needs ${formatBytes(bytes)} of GPU memory for its weights, ${formatBytes(peak)} with ${batch} samples at once`,
            `a ${config.arch}; samples by the ${model.rules.map((rule) => RULES[rule].words).join(", or the ")}`,
          ],
        },
        load: (loading) => model.load(loading),
        subject: (data, noise) => subjectOf(model, batch, data, noise),
        sampler: () => samplerOf(model, files.name, batch),
        release: async () => {
          model.release();
          await model.close();
        },
      };
    } catch (error) {
      model.release();
      await model.close();
      throw error;
    }
  },
};

/**
 * Binds what judges samples, where it lies in the folder: nothing else is read of it.
 * @throws UsageError for recorded robot data, or a network that does not say how it was trained
 */
async function subjectOf(
  model: MeanFlowModel,
  together: number,
  data: ModelFiles | Recordings,
  noise: TensorSource | undefined,
): Promise<BoundSubject> {
  if (data instanceof Recordings)
    throw new UsageError("--data with recorded robot data does not apply to a MeanFlow model; leave it out.");
  model.checkRule(model.rules[0]);
  const given = noise && (await readNoise(noise, model.shape, model.classes));
  const { pictures } = model.description;
  if (!pictures || model.classes === 0 || !data.paths.includes(EVALUATION))
    return new MeanFlowSubject(model, together, { noise: given, dataFiles: [] });
  const source = await data.weights(EVALUATION);
  let evaluation: Evaluation | undefined;
  try {
    const { gpu, shape, classes } = model;
    evaluation = await openEvaluation(gpu, source, { pictures, shape, classes });
    const judged = await judge(evaluation, await populationOf(evaluation));
    return new MeanFlowSubject(model, together, { judged, noise: given, dataFiles: [EVALUATION] });
  } catch (error) {
    evaluation?.release();
    throw error;
  } finally {
    await source.close();
  }
}

/** Options of other systems. @throws UsageError naming the first that is set */
function refuse({ text, encodeText, oracle }: SystemOptions): void {
  const set = Object.entries({ text, "encode-text": encodeText, oracle }).find(([, value]) => value);
  if (set) throw new UsageError(`--${set[0]} does not apply to a MeanFlow model; leave it out.`);
}
