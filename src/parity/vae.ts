/** Golden cases of the video autoencoders: encode, then decode what was encoded. */
import type { Gpu } from "../gpu/gpu.ts";
import { CosmosVae, readCosmosVaeConfig } from "../networks/cosmos-vae/vae.ts";
import { standardize } from "../networks/vae.ts";
import { latentStatistics, readWanOriginalConfig } from "../networks/wan-vae/config.ts";
import { wanWeights } from "../networks/wan-vae/original-keys.ts";
import { readWanVaeConfig, WanVae } from "../networks/wan-vae/vae.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { WanStream } from "../networks/wan-vae/stream.ts";
import { concat } from "../kernels/copy.ts";
import { affine } from "../kernels/elementwise.ts";
import { allowOnly, type CaseRunner, type GoldenCase, inputList } from "./case.ts";
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

/** Wan 2.2's, which is decoded from the mean as it is. */
const wan22VaeCase: CaseRunner = (gpu, golden) =>
  onVideo(gpu, golden, (w) => {
    const vae = new WanVae(readWanVaeConfig(golden.config, golden.name), w);
    return (video) => {
      const { mean, logvar } = vae.encode(video);
      return { mean, logvar, decoded: vae.decode(mean), decoded_half: vae.decode(affine(mean, 0.5)) };
    };
  });

/** The encoder on a clip that comes in pieces, each in a recording of its own. */
const wan22StreamCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/chunk\.\d+/]);
  allowOnly(golden, "args", [/chunks/]);
  const build = (w: WeightLoader) => new WanVae(readWanVaeConfig(golden.config, golden.name), w, "encoder");
  return compute(gpu, golden, build, async (vae, run) => {
    const encoder = new WanStream(gpu, vae);
    run.onRelease(() => encoder.dispose());
    const values: Values = new Map();
    for (const [i, chunk] of inputList(golden, "chunk").entries()) {
      const { mean, logvar } = await encoder.push(run.upload(chunk));
      const both = await run.values(() => ({ moments: concat([mean, logvar], 1) }));
      values.set(`latents.${i}`, both.get("moments")!);
    }
    return values;
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "cosmos.vae": cosmosVaeCase,
  "wan.vae": (gpu, golden) =>
    (golden.config.layout === "original" ? wanOriginalCase : wanVaeCase)(gpu, golden),
  "wan22.vae": wan22VaeCase,
  "wan22.vae_stream": wan22StreamCase,
};
