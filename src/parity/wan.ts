/** Golden cases of the Wan 2.1 transformer, in diffusers' layout and the original's. */
import { readWanOriginalConfig, readWanTransformerConfig } from "../networks/wan/config.ts";
import { timeSinusoids } from "../networks/wan/embedders.ts";
import { wanTransformerWeights } from "../networks/wan/original-keys.ts";
import { WanTransformer } from "../networks/wan/transformer.ts";
import { constant, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input } from "./case.ts";
import { compute } from "./compute.ts";

const transformerCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/hidden_states/, /encoder_hidden_states(_image)?/, /timestep/]);
  allowOnly(golden, "args", []);
  const { layout, ...given } = golden.config;
  const config =
    layout === "original"
      ? readWanOriginalConfig(golden.config, golden.name)
      : readWanTransformerConfig(given, golden.name);
  const build = (w: WeightLoader) => new WanTransformer(config, w);
  return compute(
    gpu,
    golden,
    build,
    (transformer, run) => {
      const latents = run.upload("hidden_states");
      const text = run.upload("encoder_hidden_states");
      const image = run.uploadIfGiven("encoder_hidden_states_image");
      const times = [...input(golden, "timestep").data];
      return run.values(() => {
        const { velocity, temb, captured } = transformer.forward({
          latents,
          context: transformer.context(text, image),
          sinusoids: constant(
            [times.length, config.timeDim],
            timeSinusoids(times, config.timeDim),
            "sinusoids",
          ),
          capture: Array.from({ length: config.layers }, (_, i) => i),
        });
        const outputs: Record<string, Tensor> = { sample: velocity, temb };
        for (const [i, x] of captured) outputs[`block.${i}`] = x;
        return outputs;
      });
    },
    wanTransformerWeights(golden.weights),
  );
};

export const kinds: Readonly<Record<string, CaseRunner>> = { "wan.transformer": transformerCase };
