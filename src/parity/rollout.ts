/** Golden cases of the video tower: prefix frames, Euler steps on the future latents, tapped hidden states. */
import { permute } from "../kernels/copy.ts";
import { CosmosVae } from "../networks/cosmos-vae/vae.ts";
import { readCosmosVaeConfig } from "../networks/cosmos-vae/config.ts";
import { readCosmosTransformerConfig } from "../networks/cosmos/config.ts";
import { CosmosTransformer } from "../networks/cosmos/transformer.ts";
import { SINGLE_PASS_TIMESTEP, thousandfold, VideoTower } from "../systems/mimic-video/video-tower.ts";
import { sampleFlow } from "../sampling/flow.ts";
import { VideoFlow } from "../systems/mimic-video/video-flow.ts";
import { videoGrid } from "../sampling/grid.ts";
import { readTensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input } from "./case.ts";
import { compute, type Values } from "./compute.ts";

// From this target on the reference makes a single pass from pure noise.
const PURE_NOISE = 0.9999;

const rolloutCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    /video/,
    /encoder_hidden_states/,
    /latents_mean/,
    /latents_std/,
    /future_noise/,
  ]);
  allowOnly(golden, "args", [/target_tau/, /steps/, /extract_layers/]);
  allowOnly(golden, "config", [/transformer/, /vae/]);
  const {
    target_tau: target,
    steps,
    extract_layers: extractLayers,
  } = golden.args as {
    target_tau: number;
    steps: number;
    extract_layers: number[];
  };
  const build = (w: WeightLoader) => ({
    transformer: new CosmosTransformer(
      readCosmosTransformerConfig(golden.config.transformer, "transformer"),
      w.within("transformer"),
    ),
    vae: new CosmosVae(readCosmosVaeConfig(golden.config.vae, "vae"), w.within("vae")),
  });
  return compute(gpu, golden, build, async ({ transformer, vae }, run) => {
    const onePass = target >= PURE_NOISE;
    const tower = new VideoTower(vae, transformer, {
      latentsMean: [...input(golden, "latents_mean").data],
      latentsStd: [...input(golden, "latents_std").data],
      extractLayers,
      timestepOf: (tau) => (onePass && tau === 1 ? SINGLE_PASS_TIMESTEP : thousandfold(tau)),
    });
    const video = run.upload("video"); // (1, frames, 3, rows, columns)
    const text = run.upload("encoder_hidden_states");
    const future = run.upload("future_noise");
    const prepared = await run.replay(() => ({
      context: tower.encode(permute(video, 0, 2, 1, 3, 4)),
      text: transformer.textContext(text),
    }));
    const { context } = prepared.outputs;
    const prefix = await readTensor(gpu, context);

    const trajectory: number[] = [];
    const values: Values = new Map([["latents", prefix]]);
    const flow = new VideoFlow(gpu, tower, prepared.outputs.text, context);
    run.onRelease(() => flow.dispose());
    await sampleFlow(gpu, flow, future, {
      grid: onePass ? [1] : videoGrid(steps, target),
      onStep: async ({ latents, tapped, nextTime }) => {
        trajectory.push(...joinFrames(prefix, context.shape, await readTensor(gpu, latents), latents.shape));
        if (nextTime !== undefined) return;
        const layers = [...extractLayers].sort((a, b) => a - b);
        for (const [i, layer] of layers.entries())
          values.set(`hidden.${layer}`, await readTensor(gpu, tapped[i]));
      },
    });
    values.set("trajectory", Float32Array.from(trajectory));
    return values;
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = { "cosmos.video_rollout": rolloutCase };

/** (B, C, T1, …) and (B, C, T2, …) joined on the frame axis. */
function joinFrames(
  a: Float32Array,
  shapeA: readonly number[],
  b: Float32Array,
  shapeB: readonly number[],
): number[] {
  const rows = shapeA[0] * shapeA[1];
  const [widthA, widthB] = [a.length / rows, b.length / (shapeB[0] * shapeB[1])];
  const joined: number[] = [];
  for (let r = 0; r < rows; r++) {
    joined.push(...a.subarray(r * widthA, (r + 1) * widthA), ...b.subarray(r * widthB, (r + 1) * widthB));
  }
  return joined;
}
