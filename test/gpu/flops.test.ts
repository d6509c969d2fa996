/**
 * The count of operations: of each kind from its equation, whatever program runs; of whole networks as the benchmarks count them on paper; and what
 * the grid costs at the published size. On a device that computes nothing.
 */
import { describe, expect, it, test } from "vitest";
import { backboneShapes, decoderShapes, PUBLISHED, vaeShapes } from "../../bench/release/layout.ts";
import { randomModel } from "../../bench/random-weights.ts";
import { decoderFlop } from "../../bench/steps/decoder.ts";
import { transformerFlop } from "../../bench/steps/transformer.ts";
import { countingGpu } from "../../src/gpu/counting.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { attention } from "../../src/kernels/attention.ts";
import { conv3d } from "../../src/kernels/conv3d.ts";
import { gram } from "../../src/kernels/gram.ts";
import { linear } from "../../src/kernels/linear.ts";
import { wideAttention } from "../../src/kernels/wide-attention.ts";
import { readCosmosTransformerConfig, widthOf } from "../../src/networks/cosmos/config.ts";
import { cosmosWeights } from "../../src/networks/cosmos/original-keys.ts";
import { CosmosTransformer } from "../../src/networks/cosmos/transformer.ts";
import { readActionConfig } from "../../src/networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../../src/networks/lucidrains-action/decoder.ts";
import { wanWeights } from "../../src/networks/wan-vae/original-keys.ts";
import { world2ActionWeights } from "../../src/networks/world2action/config.ts";
import { sample } from "../../src/sampling/sample.ts";
import { CONTEXT_LATENTS, clipOf } from "../../src/systems/mimic-video-release/clip.ts";
import { ReleaseModel } from "../../src/systems/mimic-video-release/model.ts";
import { readOut } from "../../src/systems/mimic-video-release/read-out.ts";
import { Normaliser } from "../../src/systems/mimic-video-release/statistics.ts";
import {
  VIDEO_STEPS,
  VideoDenoiser,
  videoScheduler,
} from "../../src/systems/mimic-video-release/video-denoiser.ts";
import { Matrix } from "../../src/tensor/matrix.ts";
import { createTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { sourceOf } from "../networks/shapes-only.ts";
import { COMPRESSION } from "../systems/mimic-video-release/miniatures.ts";

const counting = (variants?: Readonly<Record<string, string>>, dispatchFlops?: number): Promise<Gpu> =>
  countingGpu({ features: new Set(["subgroups"]), limits: {}, software: false, variants, dispatchFlops });

const count = async (gpu: Gpu, body: () => unknown): Promise<number> => {
  const replay = await record(gpu, "counted", body);
  const before = gpu.counters.flops;
  await replay.run();
  await replay.run();
  expect(gpu.counters.flops - before).toBe(2 * replay.flops);
  return replay.flops;
};

function matrix(gpu: Gpu, out: number, inner: number): Matrix {
  const made = new Matrix(gpu, out, inner, "f32", "w");
  made.upload(gpu, new Float32Array(out * inner));
  return made;
}

describe("operations", () => {
  it.each([[undefined], [{ linear: "naive", attention: "naive", conv3d: "naive" }]])(
    "of one of each, by its equation: %j",
    async (variants) => {
      // So few operations a dispatch that everything runs in blocks.
      for (const dispatchFlops of [undefined, 5000]) {
        const gpu = await counting(variants, dispatchFlops);
        const x = createTensor(gpu, [2, 9, 16]);
        expect(await count(gpu, () => linear(x, matrix(gpu, 12, 16)))).toBe(2 * 18 * 16 * 12);
        const heads = { heads: 2, headDim: 8 };
        const keys = createTensor(gpu, [2, 5, 16]);
        expect(
          await count(gpu, () => attention({ tensor: x }, { tensor: keys }, { tensor: keys }, heads)),
        ).toBe(4 * 2 * 9 * 5 * 16);
        expect(
          await count(gpu, () => wideAttention({ tensor: x }, { tensor: keys }, { tensor: keys }, 16)),
        ).toBe(4 * 2 * 9 * 5 * 16);
        expect(await count(gpu, () => gram(x))).toBe(2 * 2 * 9 * 9 * 16);
        const frames = createTensor(gpu, [1, 3, 6, 5, 4]);
        const w = matrix(gpu, 7, 27 * 4);
        expect(await count(gpu, () => conv3d(frames, w, { kernel: [3, 3, 3], padding: 1, lead: 2 }))).toBe(
          2 * 3 * 6 * 5 * 7 * 27 * 4,
        );
      }
    },
  );

  it("of a video transformer are those on paper", async () => {
    const gpu = await counting();
    const config = readCosmosTransformerConfig({
      _class_name: "CosmosTransformer3DModel",
      ...{ in_channels: 4, out_channels: 4, num_attention_heads: 2, attention_head_dim: 16, num_layers: 3 },
      ...{ text_embed_dim: 8, adaln_lora_dim: 4, max_size: [8, 16, 16], concat_padding_mask: true },
    });
    const { model, loader } = randomModel(gpu, "f32", (w) => new CosmosTransformer(config, w));
    loader.reserve();
    const [batch, frames, rows, columns, words, width] = [2, 3, 4, 6, 5, widthOf(config)];
    const each = (): Tensor[] =>
      Array.from({ length: config.layers }, () => createTensor(gpu, [batch, words, width]));
    const inputs = {
      latents: createTensor(gpu, [batch, config.inChannels, frames, rows, columns]),
      paddingMask: createTensor(gpu, [1, 1, 1, rows, columns]),
      text: { keys: each(), values: each() },
      sinusoids: createTensor(gpu, [2, width]),
      rowOfFrame: Uint32Array.from({ length: batch * frames }, (_, i) => (i % frames < 2 ? 0 : 1)),
    };
    const tokens = (frames * rows * columns) / 4;
    expect(await count(gpu, () => model.forward(inputs).velocity)).toBe(
      transformerFlop(config, { batch, tokens, text: words, times: 2 }),
    );
  });

  it.each([["fused"], ["mixed"], ["naive"]])(
    "of an action decoder are those on paper, pools %s",
    async (historyPool) => {
      const gpu = await counting({ historyPool });
      const config = readActionConfig({ dim: 64, dim_video_hidden: 48, depth: 3, ada_ln_zero_bias: -5 });
      const { model, loader } = randomModel(gpu, "f32", (w) => new ActionDecoder(config, w));
      loader.reserve();
      const { chunkLength, actionDim, jointDim, videoLayers, videoDim } = config;
      const captured = Math.max(...videoLayers.map((layer) => (layer < 0 ? -layer : layer + 1)));
      const hiddens = Array.from({ length: captured }, () => createTensor(gpu, [1, 20, videoDim]));
      const times = model.createTimes(gpu, 1, chunkLength + 1);
      const context = await record(gpu, "context", () => model.prepareContext(hiddens));
      const actions = createTensor(gpu, [1, chunkLength, actionDim]);
      const jointState = createTensor(gpu, [1, jointDim]);
      const inputs = { actions, jointState, times, context: context.outputs };
      expect(await count(gpu, () => model.forward(inputs).flow)).toBe(decoderFlop(config, 20).all);
    },
  );
});

/** The published networks, 5 + 56 frames of 480 × 640, of which nothing can be read. */
async function published(positions: number): Promise<ReleaseModel> {
  const gpu = await countingGpu({
    features: new Set(["subgroups"]),
    limits: { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 - 4 },
    software: false,
  });
  const backbone = Object.fromEntries(
    Object.entries(backboneShapes(PUBLISHED)).filter(([key]) => !key.includes("pos_embedder")),
  );
  const sizes = { ...PUBLISHED, decoder: { ...PUBLISHED.decoder, chunk: positions } };
  const checkpoints = {
    tokenizer: wanWeights(sourceOf(vaeShapes(PUBLISHED))),
    backbone: cosmosWeights(sourceOf(backbone)),
    decoder: world2ActionWeights(sourceOf(decoderShapes(sizes))),
  };
  const paths = { decoder: "w2a.pt", backboneName: "b", backbone: "v2w.pt", statistics: "s.json" };
  const model = ReleaseModel.of(
    gpu,
    checkpoints,
    { dtype: "bf16" },
    {
      policy: { name: "bridge", layer: 20, ...paths },
      clip: () => clipOf({ future_frames: 56 }, "clip.json", COMPRESSION),
      statistics: () => ({ family: "bridge", state: new Normaliser(1), action: new Normaliser(positions) }),
    },
  );
  return model.counted(gpu);
}

test.each([[15], [60]])(
  "the grid of every step of the published model with chunks of %i adds less than 15 in a hundred to its trajectory",
  { timeout: 120_000 },
  async (positions) => {
    const model = await published(positions);
    const { gpu, transformer, latentShape, policy } = model;
    const flops = (): number => gpu.counters.flops;
    const frame = new Float32Array(3 * 5 * 480 * 640);
    const prepared = await model.prepare(frame, new Float32Array(77 * model.textWidth), 1);
    const latents = createTensor(gpu, [1, ...latentShape]);
    const denoiser = new VideoDenoiser(gpu, transformer, {
      ...{ text: prepared.text, given: prepared.latents, givenFrames: CONTEXT_LATENTS, layer: policy.layer },
    });
    const constrain = denoiser.constrain.bind(denoiser);
    const options = { scheduler: videoScheduler(), last: VIDEO_STEPS - 1, constrain };
    let [trajectory, reading, calls, before] = [0, 0, 0, flops()];
    for await (const state of sample(gpu, denoiser, latents, options)) {
      const tap = await state.tapped();
      trajectory += flops() - before;
      calls++;
      if (reading === 0) {
        const read = flops();
        const robot = new Float32Array(model.statistics.state.shift.length);
        const noise = [[new Float32Array(positions * 10)]];
        await readOut(model, [{ tap, time: 1 }], robot, noise, 10, "float32", {});
        reading = flops() - read;
      }
      before = flops();
    }
    expect(calls).toBe(VIDEO_STEPS);
    // A call of two billion parameters on 19,200 tokens, and its attention.
    expect(trajectory / calls).toBeGreaterThan(2 * 1.9e9 * 19_200);
    // Keys and values of the tap alone are more than the ten steps that use them.
    expect(reading).toBeGreaterThan(2 * 19_200 * 2048 * 2 * 1024);
    expect((calls * reading) / trajectory).toBeLessThan(0.15);
  },
);
