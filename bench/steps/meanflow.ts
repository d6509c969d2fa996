/** Samples of a MeanFlow network in one call: the digits that ship, as `node dist/generate.js` makes them. */
import { existsSync } from "node:fs";
import { record } from "../../src/gpu/recording.ts";
import { MeanFlowDenoiser } from "../../src/systems/meanflow/denoiser.ts";
import { MeanFlowModel } from "../../src/systems/meanflow/model.ts";
import { createTensor, releaseTensor, sizeOf } from "../../src/tensor/tensor.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { uniform } from "../../test/support/numbers.ts";
import type { Skipped, Step } from "../report.ts";
import { type StepContext, timed } from "./step.ts";

const DIGITS = "weights/digits";
export const SAMPLES = 64;

/** One call for all samples: from noise to digits, but for the addition. */
export async function digitsInOneCall(name: string, context: StepContext): Promise<Step | Skipped> {
  if (!existsSync(DIGITS)) return { name, reason: `the folder ${DIGITS} is not here` };
  const { gpu } = context;
  const files = await openModelFolder(DIGITS);
  const source = await files.weights("weights.safetensors");
  const model = await MeanFlowModel.open(gpu, source, await files.json("model.json"), DIGITS, {});
  await model.load({});
  const labels = Array.from({ length: SAMPLES }, (_, i) => i % model.classes);
  const denoiser = new MeanFlowDenoiser(gpu, model.network, SAMPLES, { labels });
  const noise = createTensor(
    gpu,
    [SAMPLES, ...model.shape],
    uniform(3, SAMPLES * sizeOf(model.shape)),
    "noise",
  );
  denoiser.setCall({ at: 0, until: 1 });
  const replay = await record(gpu, name, () => denoiser.evaluate(noise).output!);
  try {
    const measure = await timed(context, name, replay);
    return { name, dispatches: replay.dispatches.length, flop: replay.flops, measure };
  } finally {
    replay.dispose();
    denoiser.dispose();
    releaseTensor(gpu, noise);
    model.release();
    await model.close();
  }
}
