/** Whole steps of models, as the probe runs them: time and the number of dispatches. */
import { existsSync } from "node:fs";
import type { Gpu } from "../src/gpu/gpu.ts";
import { record } from "../src/gpu/recording.ts";
import { readCosmosTransformerConfig, widthOf } from "../src/model/cosmos/config.ts";
import { timestepSinusoids } from "../src/model/cosmos/timesteps.ts";
import { CosmosTransformer } from "../src/model/cosmos/transformer.ts";
import { createTensor } from "../src/tensor/tensor.ts";
import { WeightLoader } from "../src/weights/loader.ts";
import { openModelFolder } from "../src/weights/model-files.node.ts";
import { uniform } from "../test/support/numbers.ts";
import { measure, replaying } from "./measure.ts";
import type { Step } from "./report.ts";

const TOY = "weights/toy";

/** One step of the toy's transformer for two windows: 2 × 80 tokens, two of five frames clean. */
async function transformerStep(gpu: Gpu, name: string, rounds: number): Promise<Step> {
  const files = await openModelFolder(TOY);
  const loader = WeightLoader.from(gpu, await files.weights("transformer"), "f32");
  const config = readCosmosTransformerConfig(await files.json("transformer/config.json"));
  const transformer = new CosmosTransformer(config, loader);
  await loader.load();
  const [batch, frames, tokens, textWidth] = [2, 5, 25, 64];
  const latents = createTensor(gpu, [batch, 16, frames, 8, 8], uniform(1, batch * 16 * frames * 64));
  const text = createTensor(gpu, [batch, tokens, textWidth], uniform(2, batch * tokens * textWidth));
  const width = widthOf(config);
  const sinusoids = createTensor(gpu, [2, width], timestepSinusoids([0, 500], width));
  const rowOfFrame = Uint32Array.from({ length: frames * batch }, (_, i) => (i % frames < 2 ? 0 : 1));
  const replay = await record(
    gpu,
    name,
    () =>
      transformer.forward({
        latents,
        text: transformer.textContext(text),
        sinusoids,
        rowOfFrame,
        capture: [3],
      }).velocity,
  );
  await replay.run();
  const [first] = await measure([replaying(name, gpu, replay)], rounds);
  const step = { name, dispatches: replay.dispatches.length, measure: first };
  replay.dispose();
  loader.release();
  return step;
}

/** The steps whose names are wanted. */
export async function measureSteps(
  gpu: Gpu,
  wanted: (name: string) => boolean,
  rounds: number,
): Promise<Step[]> {
  const name = "toy transformer step, batch 2";
  if (!wanted(name) || !existsSync(TOY)) return [];
  return [await transformerStep(gpu, name, rounds)];
}
