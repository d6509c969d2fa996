/**
 * Derivatives of networks of the average velocity: one pass that gives u and du/dt, beside the forward pass alone, in turns. Random weights; sizes
 * that a software adapter can bear, whose proportions are those of the published networks.
 */
import { record } from "../../src/gpu/recording.ts";
import { jvp, type Moved } from "../../src/kernels/jvp.ts";
import { buildMeanFlowNetwork } from "../../src/networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../../src/networks/meanflow/config.ts";
import type { Feature, Told } from "../../src/networks/meanflow/network.ts";
import { createTensor, readTensor, releaseTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { uniform } from "../../test/support/numbers.ts";
import { measure, replaying, warmUpOf } from "../measure.ts";
import { randomModel } from "../random-weights.ts";
import type { Step } from "../report.ts";
import type { StepContext } from "./step.ts";

/** A network, how many states, and what it is told besides the times. */
export interface DerivativeCase {
  readonly config: Readonly<Record<string, unknown>>;
  readonly batch: number;
  readonly told?: (batch: number) => Partial<Told>;
}

const labels = (batch: number): Partial<Told> => ({ labels: Array.from({ length: batch }, (_, b) => b) });
const guided = (batch: number): Partial<Told> => {
  const all = (value: number): number[] => new Array<number>(batch).fill(value);
  return { ...labels(batch), omega: all(8), tMin: all(0.4), tMax: all(0.65) };
};

export const DERIVATIVES: Readonly<Record<string, DerivativeCase>> = {
  // Half the width and a quarter of the depth of B/2; 64 tokens.
  SiT: {
    config: {
      ...{
        arch: "sit",
        input_size: 16,
        patch_size: 2,
        in_channels: 4,
        hidden_size: 384,
        depth: 3,
        num_heads: 6,
      },
      num_classes: 1000,
    },
    batch: 2,
    told: labels,
  },
  "improved MeanFlow": {
    config: {
      ...{ arch: "imf_dit", input_size: 16, patch_size: 2, in_channels: 4, hidden_size: 384, depth: 3 },
      ...{ num_heads: 6, num_classes: 1000, aux_head_depth: 1, eval_mode: true },
    },
    batch: 2,
    told: guided,
  },
  SongUNet: {
    config: {
      ...{ arch: "song_unet", img_resolution: 16, in_channels: 3, out_channels: 3, model_channels: 32 },
      ...{ channel_mult: [2, 2], num_blocks: 1, attn_resolutions: [8], channel_mult_noise: 2 },
      ...{ resample_filter: [1, 3, 3, 1], augment_dim: 0 },
    },
    batch: 2,
  },
  "U-Net of the seed": {
    config: {
      ...{ arch: "zoo_unet", in_channels: 3, base_channels: 32, channel_mult: [1, 2], num_res_blocks: 1 },
      ...{ attention_resolutions: [8], num_heads: 4, input_resolution: 16 },
    },
    batch: 2,
  },
};

/** A forward pass and a derivative of it. */
export const derivativeStep =
  ({ config, batch, told = () => ({}) }: DerivativeCase) =>
  async (name: string, { gpu, rounds, budget }: StepContext): Promise<Step> => {
    const { model, loader } = randomModel(gpu, "f32", (w) =>
      buildMeanFlowNetwork(readMeanFlowConfig(config), w, [0, 0]),
    );
    await loader.load();
    const held: Tensor[] = [];
    const put = (shape: readonly number[], data: Feature["data"]): Tensor => {
      const tensor = createTensor(gpu, shape, data, "bench");
      held.push(tensor);
      return tensor;
    };
    const shape = [batch, ...model.state];
    const size = shape.reduce((a, b) => a * b, 1);
    const [x, dx] = [put(shape, uniform(1, size)), put(shape, uniform(2, size))];
    const all = (value: number): number[] => new Array<number>(batch).fill(value);
    const times = { r: all(0.25), t: all(0.75), ...told(batch) };
    const upload = (features: Readonly<Record<string, Feature>>): Record<string, Tensor> =>
      Object.fromEntries(Object.entries(features).map(([key, { shape: s, data }]) => [key, put(s, data)]));
    const features = upload(model.features(times));
    const rates = upload(model.featureTangents(times, { r: all(0), t: all(1) }));
    const moved = Object.entries(rates).map(([key, rate]): Moved => [features[key], rate]);
    const forward = await record(gpu, "forward", () => model.forward(x, features).u);
    const both = await record(gpu, name, () => jvp(() => model.forward(x, features).u, [[x, dx], ...moved]));
    try {
      await forward.run();
      await both.run();
      for (const tensor of [forward.outputs, both.outputs.value, both.outputs.tangent]) {
        const values = await readTensor(gpu, tensor);
        if (!values.every(Number.isFinite) || values.every((v) => v === 0))
          throw new Error(`${name}: a result is not finite, or all zero`);
      }
      const [, m] = await measure([replaying("forward", gpu, forward), replaying(name, gpu, both)], {
        ...{ rounds, budget, warmUp: warmUpOf(gpu) },
      });
      return {
        ...{ name, dispatches: both.dispatches.length, flop: both.flops, measure: m },
        over: { name: "the forward pass", dispatches: forward.dispatches.length, flop: forward.flops },
      };
    } finally {
      forward.dispose();
      both.dispose();
      for (const tensor of held) releaseTensor(gpu, tensor);
      loader.release();
    }
  };
