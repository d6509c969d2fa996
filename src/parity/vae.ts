/** Golden cases of the video autoencoders: encode, then decode what was encoded. */
import type { Gpu } from "../gpu/gpu.ts";
import { record } from "../gpu/recording.ts";
import { CosmosVae, readCosmosVaeConfig } from "../networks/cosmos-vae/vae.ts";
import { readWanVaeConfig, WanVae } from "../networks/wan-vae/vae.ts";
import { releaseTensor, type Tensor } from "../tensor/tensor.ts";
import { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input, readAll, upload } from "./case.ts";

/** Loads what `build` asks for, runs what it returns on the case's video, and reads the named results. */
async function run(
  gpu: Gpu,
  golden: GoldenCase,
  build: (loader: WeightLoader) => (video: Tensor) => Record<string, Tensor>,
): Promise<Map<string, Float32Array>> {
  allowOnly(golden, "inputs", [/video/]);
  allowOnly(golden, "args", []);
  const loader = WeightLoader.from(gpu, golden.weights, { dtype: golden.dtype });
  const compute = build(loader);
  await loader.load();
  const video = upload(gpu, input(golden, "video"));
  const replay = await record(gpu, golden.name, () => compute(video));
  await replay.run();
  const values = await readAll(gpu, replay.outputs);
  replay.dispose();
  releaseTensor(gpu, video);
  loader.release();
  return values;
}

export const cosmosVaeCase: CaseRunner = (gpu, golden) =>
  run(gpu, golden, (loader) => {
    const vae = new CosmosVae(readCosmosVaeConfig(golden.config, golden.name), loader);
    return (video) => {
      const latents = vae.encode(video);
      return { latents, decoded: vae.decode(latents) };
    };
  });

export const wanVaeCase: CaseRunner = (gpu, golden) =>
  run(gpu, golden, (loader) => {
    const vae = new WanVae(readWanVaeConfig(golden.config, golden.name), loader);
    return (video) => {
      const { mean, logvar } = vae.encode(video);
      return { mean, logvar, decoded: vae.decode(mean) };
    };
  });
