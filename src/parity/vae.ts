/** Golden cases of the video autoencoders: encode, then decode what was encoded. */
import { record } from "../gpu/recording.ts";
import { CosmosVae } from "../model/cosmos-vae.ts";
import { readCosmosVaeConfig } from "../model/cosmos-vae-config.ts";
import { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input, readAll, upload } from "./case.ts";

export const cosmosVaeCase: CaseRunner = async (gpu, golden) => {
  allowOnly(golden, "inputs", [/video/]);
  allowOnly(golden, "args", []);
  const config = readCosmosVaeConfig(golden.config, golden.name);
  const loader = WeightLoader.from(gpu, golden.weights);
  const vae = new CosmosVae(config, loader);
  await loader.load();
  const video = upload(gpu, input(golden, "video"));
  const replay = await record(gpu, golden.name, () => {
    const latents = vae.encode(video);
    return { latents, decoded: vae.decode(latents) };
  });
  await replay.run();
  const values = await readAll(gpu, replay.outputs);
  replay.dispose();
  loader.release();
  return values;
};
