/** Golden cases of the official release's networks: one call of its video transformer, one of its action decoder. */
import { readCosmosOriginalConfig } from "../networks/cosmos/original-config.ts";
import { widthOf } from "../networks/cosmos/config.ts";
import { cosmosWeights } from "../networks/cosmos/original-keys.ts";
import { distinctTimes, timestepSinusoids } from "../networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../networks/cosmos/transformer.ts";
import { ConfigReader } from "../networks/config.ts";
import {
  world2ActionConfig,
  type World2ActionConfig,
  world2ActionWeights,
} from "../networks/world2action/config.ts";
import { World2ActionDecoder } from "../networks/world2action/decoder.ts";
import { distinctPairs, videoTime } from "../networks/world2action/times.ts";
import { UsageError } from "../errors.ts";
import { constant, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input } from "./case.ts";
import { type CaseRun, compute } from "./compute.ts";

const videoTransformerCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/latents/, /condition_mask/, /timesteps/, /crossattn_emb/]);
  allowOnly(golden, "args", [/up_to/]);
  const config = readCosmosOriginalConfig(golden.config, golden.name);
  const { up_to: upTo } = golden.args as { up_to?: number | null };
  if (typeof upTo === "number" && !(Number.isInteger(upTo) && upTo >= 0))
    throw new UsageError(`${golden.name}: args.up_to = ${upTo} is no number of blocks`);
  // The reference looks before each block whether it has to stop, so that it never does behind the last.
  const stops = typeof upTo === "number" && upTo < config.layers;
  const blocks = stops ? upTo : config.layers;
  const build = (w: WeightLoader) => new CosmosTransformer(config, w, blocks);
  const body = (transformer: CosmosTransformer, run: CaseRun) => {
    const latents = run.upload("latents");
    const conditionMask = run.upload("condition_mask");
    const text = run.upload("crossattn_emb");
    const [, , , H, W] = latents.shape;
    const { distinct, rowOfFrame } = distinctTimes(input(golden, "timesteps").data);
    const width = widthOf(config);
    return run.values(() => {
      const { captured, velocity } = transformer.forward({
        latents,
        conditionMask,
        paddingMask: constant([1, 1, 1, H, W], new Float32Array(H * W), "padding mask"),
        text: transformer.textContext(text),
        sinusoids: constant(
          [distinct.length, width],
          timestepSinusoids(distinct, width, config.tables),
          "sinusoids",
        ),
        rowOfFrame,
        // Hidden state i has passed i blocks.
        capture: Array.from({ length: blocks + 1 }, (_, i) => i - 1),
        velocity: !stops,
      });
      const outputs: Record<string, Tensor> = velocity ? { output: velocity } : {};
      for (const [block, x] of captured) outputs[`hidden.${block + 1}`] = x;
      return outputs;
    });
  };
  return compute(gpu, golden, build, body, cosmosWeights(golden.weights));
};

/** The dimensions come from the tensors, as for the release; what the case says of them must agree. */
export function actionConfig(golden: GoldenCase): World2ActionConfig {
  const config = world2ActionConfig(world2ActionWeights(golden.weights).tensors, golden.name);
  const c = new ConfigReader(golden.config, golden.name);
  const counts = {
    max_horizon: config.tokens,
    in_channels: config.actionDim,
    out_channels: config.actionDim,
    model_channels: config.width,
    num_blocks: config.layers,
    num_heads: config.heads,
    crossattn_emb_channels: config.contextDim,
    adaln_lora_dim: config.adalnLoraDim,
    pair_timestep_feature_rank: config.timeDim,
    mlp_ratio: config.feedForward / config.width,
  };
  c.known("use_adaln_lora", ...Object.keys(counts));
  c.only("use_adaln_lora", true);
  for (const [key, value] of Object.entries(counts)) c.only(key, value);
  return config;
}

const actionTransformerCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/state/, /noisy_actions/, /timesteps/, /video_sigma/, /crossattn_emb/]);
  allowOnly(golden, "args", []);
  const config = actionConfig(golden);
  const build = (w: WeightLoader) => new World2ActionDecoder(config, w);
  const body = (decoder: World2ActionDecoder, run: CaseRun) => {
    const [state, actions] = [run.upload("state"), run.upload("noisy_actions")];
    const hidden = run.upload("crossattn_emb");
    const video = Array.from(input(golden, "video_sigma").data, videoTime);
    const pairs = distinctPairs(input(golden, "timesteps").data, video);
    const times = decoder.createTimes(gpu, actions.dim(0), pairs.pairs.length);
    run.onRelease(() => times.release());
    times.write(pairs);
    return run.values(() => ({
      velocity: decoder.forward({ state, actions, times, context: decoder.prepareContext(hidden) }),
    }));
  };
  return compute(gpu, golden, build, body, world2ActionWeights(golden.weights));
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "official.video_transformer": videoTransformerCase,
  "official.action_transformer": actionTransformerCase,
};
