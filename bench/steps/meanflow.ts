/** Samples of a MeanFlow network in one call: the digits that ship, the call alone and all that `node dist/generate.js` does for them. */
import { existsSync } from "node:fs";
import { record } from "../../src/gpu/recording.ts";
import { MeanFlowDenoiser } from "../../src/systems/meanflow/denoiser.ts";
import { MeanFlowModel } from "../../src/systems/meanflow/model.ts";
import { joined } from "../../src/systems/arrays.ts";
import { createTensor, releaseTensor, sizeOf } from "../../src/tensor/tensor.ts";
import { openModelFolder } from "../../src/weights/model-files.node.ts";
import { meanFlowSystem } from "../../src/systems/meanflow/system.ts";
import { uniform } from "../../test/support/numbers.ts";
import { measure, warmUpOf } from "../measure.ts";
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

/** From the files to samples in this process's memory: opened, planned, loaded, recorded, drawn and read. Programs are compiled before. */
export async function digitsFromFiles(name: string, context: StepContext): Promise<Step | Skipped> {
  if (!existsSync(DIGITS)) return { name, reason: `the folder ${DIGITS} is not here` };
  const { gpu, rounds, budget } = context;
  const labels = Array.from({ length: SAMPLES }, (_, i) => i % 10);
  const job = async (): Promise<void> => {
    const opened = await meanFlowSystem.open(gpu, await openModelFolder(DIGITS), {});
    try {
      await opened.load({});
      const sampler = opened.sampler!();
      const noise = joined(labels.map((label, i) => sampler.noise(label, i)));
      for await (const drawn of sampler.draw({ labels, noise, calls: 1 }))
        if (drawn.step === 1) await drawn.read();
    } finally {
      await opened.release();
    }
  };
  await job();
  const before = { ...gpu.counters };
  await job();
  const dispatches = gpu.counters.dispatches - before.dispatches;
  const flop = gpu.counters.flops - before.flops;
  const [m] = await measure(
    [
      {
        name,
        run: async (times) => {
          for (let i = 0; i < times; i++) await job();
        },
      },
    ],
    { rounds, budget, warmUp: warmUpOf(gpu) },
  );
  return { name, dispatches, flop, measure: m };
}
