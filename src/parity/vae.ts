/** Golden cases of the video autoencoders: encode, then decode what was encoded. */
import type { Gpu } from "../gpu/gpu.ts";
import { CosmosVae, readCosmosVaeConfig } from "../networks/cosmos-vae/vae.ts";
import { standardize } from "../networks/vae.ts";
import { latentStatistics, readWanOriginalConfig } from "../networks/wan-vae/config.ts";
import { wanWeights } from "../networks/wan-vae/original-keys.ts";
import { readWanVaeConfig, WanVae } from "../networks/wan-vae/vae.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";

/** Loads what `build` asks for, runs what it returns on the case's video, and reads the named results. */
const onVideo = (
  gpu: Gpu,
  golden: GoldenCase,
  build: (w: WeightLoader) => (video: Tensor) => Record<string, Tensor>,
  weights = golden.weights,
): Promise<Values> => {
  allowOnly(golden, "inputs", [/video/]);
  allowOnly(golden, "args", []);
  const body = (codec: ReturnType<typeof build>, run: CaseRun) => {
    const video = run.upload("video");
    return run.values(() => codec(video));
  };
  return compute(gpu, golden, build, body, weights);
};

const cosmosVaeCase: CaseRunner = (gpu, golden) =>
  onVideo(gpu, golden, (w) => {
    const vae = new CosmosVae(readCosmosVaeConfig(golden.config, golden.name), w);
    return (video) => {
      const latents = vae.encode(video);
      return { latents, decoded: vae.decode(latents) };
    };
  });

const wanVaeCase: CaseRunner = (gpu, golden) =>
  onVideo(gpu, golden, (w) => {
    const vae = new WanVae(readWanVaeConfig(golden.config, golden.name), w);
    return (video) => {
      const { mean, logvar } = vae.encode(video);
      return { mean, logvar, decoded: vae.decode(mean) };
    };
  });

/** The layout of the published file; `mean` is standardised there. */
const wanOriginalCase: CaseRunner = (gpu, golden) => {
  const config = readWanOriginalConfig(golden.config, golden.name);
  const build = (w: WeightLoader) => {
    const vae = new WanVae(config, w);
    return (video: Tensor) => {
      const { mean, logvar } = vae.encode(video);
      return { mean: standardize(mean, latentStatistics(config)), logvar, decoded: vae.decode(mean) };
    };
  };
  return onVideo(gpu, golden, build, wanWeights(golden.weights));
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "cosmos.vae": cosmosVaeCase,
  "wan.vae": (gpu, golden) =>
    (golden.config.layout === "original" ? wanOriginalCase : wanVaeCase)(gpu, golden),
};
