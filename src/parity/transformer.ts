/** Golden cases of the Cosmos transformer. */
import { record } from "../gpu/recording.ts";
import { readCosmosTransformerConfig, widthOf } from "../networks/cosmos/config.ts";
import { distinctTimes, timestepSinusoids } from "../networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../networks/cosmos/transformer.ts";
import { nearestMask } from "../networks/cosmos/masks.ts";
import { constant, type Tensor } from "../tensor/tensor.ts";
import { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input, readAll, upload } from "./case.ts";

export const transformerCase: CaseRunner = async (gpu, golden) => {
  allowOnly(golden, "inputs", [
    /hidden_states/,
    /encoder_hidden_states/,
    /timestep/,
    /padding_mask/,
    /condition_mask/,
  ]);
  allowOnly(golden, "args", [/fps/]);
  const config = readCosmosTransformerConfig(golden.config, golden.name);
  const loader = WeightLoader.from(gpu, golden.weights, { dtype: golden.dtype });
  const transformer = new CosmosTransformer(config, loader);
  await loader.load();

  const latents = upload(gpu, input(golden, "hidden_states"));
  const text = upload(gpu, input(golden, "encoder_hidden_states"));
  const [B, , T, H, W] = latents.shape;
  const timestep = input(golden, "timestep").data;
  // One time for a whole video, or one for each frame.
  const perFrame =
    timestep.length === B * T
      ? timestep
      : Array.from({ length: B * T }, (_, i) => timestep[Math.floor(i / T)]);
  const { distinct, rowOfFrame } = distinctTimes(perFrame);
  const padding = golden.inputs.get("padding_mask");
  const condition = golden.inputs.get("condition_mask");
  const fps = golden.args.fps as number | null | undefined;

  const replay = await record(gpu, golden.name, () => {
    const { captured, velocity } = transformer.forward({
      latents,
      conditionMask: condition && upload(gpu, condition),
      paddingMask:
        padding && constant([1, 1, 1, H, W], nearestMask(padding.data, padding.shape, H, W), "padding mask"),
      text: transformer.textContext(text),
      sinusoids: constant(
        [distinct.length, widthOf(config)],
        timestepSinusoids(distinct, widthOf(config)),
        "sinusoids",
      ),
      rowOfFrame,
      fps: fps ?? undefined,
      capture: Array.from({ length: config.layers }, (_, i) => i),
    });
    const outputs: Record<string, Tensor> = { sample: velocity! };
    for (const [i, x] of captured) outputs[`block.${i}`] = x;
    return outputs;
  });
  await replay.run();
  const values = await readAll(gpu, replay.outputs);
  replay.dispose();
  loader.release();
  return values;
};
