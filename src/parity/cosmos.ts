/** Golden cases of the Cosmos transformer as diffusers has it. */
import { readCosmosTransformerConfig, widthOf } from "../networks/cosmos/config.ts";
import { nearestMask } from "../networks/cosmos/masks.ts";
import { distinctTimes, timestepSinusoids } from "../networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../networks/cosmos/transformer.ts";
import { constant, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input } from "./case.ts";
import { compute } from "./compute.ts";

const transformerCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/hidden_states/, /encoder_hidden_states/, /timestep/, /padding_mask/, /condition_mask/],
  ]);
  allowOnly(golden, "args", [/fps/]);
  const config = readCosmosTransformerConfig(golden.config, golden.name);
  const build = (w: WeightLoader) => new CosmosTransformer(config, w);
  return compute(gpu, golden, build, (transformer, run) => {
    const latents = run.upload("hidden_states");
    const text = run.upload("encoder_hidden_states");
    const conditionMask = run.uploadIfGiven("condition_mask");
    const [B, , T, H, W] = latents.shape;
    const timestep = input(golden, "timestep").data;
    // One time for a whole video, or one for each frame.
    const perFrame =
      timestep.length === B * T
        ? timestep
        : Array.from({ length: B * T }, (_, i) => timestep[Math.floor(i / T)]);
    const { distinct, rowOfFrame } = distinctTimes(perFrame);
    const padding = golden.inputs.get("padding_mask");
    const fps = golden.args.fps as number | null | undefined;
    const sinusoids = timestepSinusoids(distinct, widthOf(config), config.tables);

    return run.values(() => {
      const { captured, velocity } = transformer.forward({
        latents,
        conditionMask,
        paddingMask:
          padding &&
          constant([1, 1, 1, H, W], nearestMask(padding.data, padding.shape, H, W), "padding mask"),
        text: transformer.textContext(text),
        sinusoids: constant([distinct.length, widthOf(config)], sinusoids, "sinusoids"),
        rowOfFrame,
        fps: fps ?? undefined,
        capture: Array.from({ length: config.layers }, (_, i) => i),
      });
      const outputs: Record<string, Tensor> = { sample: velocity! };
      for (const [i, x] of captured) outputs[`block.${i}`] = x;
      return outputs;
    });
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = { "cosmos.transformer": transformerCase };
