/** The networks of the release where an adapter is small: in blocks they compute what they do at once, and the released size fits. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { countingGpu } from "../../src/gpu/counting.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { cosmosConfigFromShapes } from "../../src/networks/cosmos/original-config.ts";
import { cosmosWeights } from "../../src/networks/cosmos/original-keys.ts";
import { timestepSinusoids } from "../../src/networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../../src/networks/cosmos/transformer.ts";
import { constant, createTensor, readTensor } from "../../src/tensor/tensor.ts";
import { world2ActionConfig, world2ActionWeights } from "../../src/networks/world2action/config.ts";
import { type ContextStorage, World2ActionDecoder } from "../../src/networks/world2action/decoder.ts";
import { distinctPairs, stepTimes, videoTime } from "../../src/networks/world2action/times.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import type { TensorSource } from "../../src/weights/source.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";
import { cosmosShapes, world2ActionShapes } from "./released-shapes.ts";
import { drawnSource, sourceOf } from "./shapes-only.ts";

interface Clip {
  readonly batch: number;
  /** latent frames, rows, columns */
  readonly size: readonly [number, number, number];
  readonly textTokens: number;
}

/** One evaluation of a clip: the velocity, and what every block leaves. */
function evaluate(transformer: CosmosTransformer, { batch: B, size: [T, H, W], textTokens }: Clip) {
  const { config } = transformer;
  const C = config.outChannels;
  const draw = (seed: number, ...shape: number[]) =>
    constant(
      shape,
      uniform(
        seed,
        shape.reduce((a, b) => a * b),
      ),
      "test input",
    );
  const width = config.heads * config.headDim;
  const { velocity, captured } = transformer.forward({
    latents: draw(1, B, C, T, H, W),
    conditionMask: draw(2, 1, 1, T, H, W),
    paddingMask: draw(3, 1, 1, 1, H, W),
    text: transformer.textContext(draw(4, B, textTokens, config.textDim)),
    sinusoids: constant([2, width], timestepSinusoids([1e-4, 0.9], width, config.tables), "sinusoids"),
    rowOfFrame: Uint32Array.from({ length: B * T }, (_, i) => Number(i % T > 0)),
    capture: [config.layers - 1],
  });
  return [velocity!, captured.get(config.layers - 1)!];
}

async function valuesOn(gpu: Gpu, source: TensorSource, clip: Clip) {
  const loader = WeightLoader.from(gpu, source);
  const transformer = new CosmosTransformer(cosmosConfigFromShapes(source.tensors), loader);
  await loader.load();
  const replay = await record(gpu, "forward", () => evaluate(transformer, clip));
  await replay.run();
  const values = await Promise.all(replay.outputs.map((tensor) => readTensor(gpu, tensor)));
  const { length } = replay.dispatches;
  replay.dispose();
  loader.release();
  return { values, dispatches: length };
}

describe("the Cosmos transformer in blocks", () => {
  const source = cosmosWeights(drawnSource(cosmosShapes(128, 32, 2, 24, 8, 300), 1));
  const two: Clip = { batch: 2, size: [4, 10, 10], textTokens: 7 };
  const long: Clip = { batch: 1, size: [8, 10, 10], textTokens: 3 };
  // The bytes that the patches take, which are bound as a whole.
  const maxBindingBytes = 57_600;
  const naive = { variants: { linear: "naive", attention: "naive" } };

  it.each([
    ["small bindings", two, {}, { maxBindingBytes }],
    ["keys larger than a binding", long, {}, { maxBindingBytes }],
    ["short dispatches", two, {}, { dispatchFlops: 2e5 }],
    ["both", long, {}, { maxBindingBytes, dispatchFlops: 1e6 }],
    ["naive kernels", long, naive, { maxBindingBytes }],
  ])("computes what it does at once: %s", { timeout: 120_000 }, async (_, clip, options, limits) => {
    const whole = await valuesOn(await testGpu(options), source, clip);
    const blocked = await valuesOn(await testGpu({ ...options, ...limits }), source, clip);
    expect(blocked.dispatches).toBeGreaterThan(1.3 * whole.dispatches);
    whole.values.forEach((values, i) => expect(relativeError(blocked.values[i], values)).toBeLessThan(1e-6));
  });
});

describe("the World2Action decoder", () => {
  const source = world2ActionWeights(
    drawnSource(world2ActionShapes(6, { D: 64, headDim: 16, layers: 2, V: 48, rank: 8 }), 3),
  );
  const [B, S] = [4, 150];

  /** Velocities of four items on two taps. */
  async function velocities(gpu: Gpu, storage: ContextStorage): Promise<Float32Array> {
    const loader = WeightLoader.from(gpu, source);
    const decoder = new World2ActionDecoder(world2ActionConfig(source.tensors), loader);
    await loader.load();
    const { tokens, stateDim, actionDim, contextDim } = decoder.config;
    const draw = (seed: number, ...shape: number[]) =>
      upload(
        gpu,
        shape,
        uniform(
          seed,
          shape.reduce((a, b) => a * b),
          2,
        ),
      );
    const [state, actions] = [draw(1, B, 1, stateDim), draw(2, B, tokens - 1, actionDim)];
    const hidden = draw(3, 2, S, contextDim);
    const times = decoder.createTimes(gpu, B);
    times.write(stepTimes([1, 0.5, 0.3, 0.1], [0.9, 0.9, 0.4, 0.4], 1, tokens));
    const context = await record(gpu, "context", () => decoder.prepareContext(hidden, storage));
    const step = await record(gpu, "step", () =>
      decoder.forward({ state, actions, times, context: context.outputs }),
    );
    await context.run();
    await step.run();
    const values = await readTensor(gpu, step.outputs);
    step.dispose();
    context.dispose();
    times.release();
    release(gpu, state, actions, hidden);
    loader.release();
    return values;
  }

  it("computes the same from keys and values kept, halved and made anew, whole and in blocks", async () => {
    const whole = await velocities(await testGpu(), "float32");
    const halved = await velocities(await testGpu(), "half");
    expect(relativeError(halved, whole)).toBeLessThan(1e-3);
    expect(relativeError(halved, whole)).toBeGreaterThan(0);
    expect(relativeError(await velocities(await testGpu(), "recompute"), whole)).toBeLessThan(1e-6);
    // Neither the hidden states of both taps nor the keys of one fit.
    const small = await testGpu({ maxBindingBytes: 33_000, dispatchFlops: 1e6 });
    expect(relativeError(await velocities(small, "float32"), whole)).toBeLessThan(1e-6);
    expect(relativeError(await velocities(small, "recompute"), whole)).toBeLessThan(1e-6);
    expect(relativeError(await velocities(small, "half"), halved)).toBeLessThan(1e-6);
  });

  it.each(["float32", "half", "recompute"] as const)(
    "has the reference's velocity with %s",
    async (storage) => {
      const gpu = await testGpu();
      const folder = fileURLToPath(new URL("../golden-official/official-action-forward/", import.meta.url));
      const files = await Promise.all(
        ["weights", "inputs", "outputs"].map((name) => openWeights(`${folder}${name}.safetensors`)),
      );
      const [weights, inputs, outputs] = files;
      const read = async (from: TensorSource, name: string) => ({
        shape: from.tensors.get(name)!.shape,
        data: toFloat32(await from.read(name), from.tensors.get(name)!.dtype),
      });
      const mapped = world2ActionWeights(weights);
      const loader = WeightLoader.from(gpu, mapped);
      const decoder = new World2ActionDecoder(world2ActionConfig(mapped.tensors), loader);
      await loader.load();
      const given = await Promise.all(
        ["state", "noisy_actions", "crossattn_emb", "timesteps", "video_sigma"].map((name) =>
          read(inputs, name),
        ),
      );
      const [state, actions, hidden] = given.slice(0, 3).map(({ shape, data }) => upload(gpu, shape, data));
      const pairs = distinctPairs(given[3].data, Array.from(given[4].data, videoTime));
      const times = decoder.createTimes(gpu, actions.dim(0), pairs.pairs.length);
      times.write(pairs);
      const replay = await record(gpu, "step", () =>
        decoder.forward({ state, actions, times, context: decoder.prepareContext(hidden, storage) }),
      );
      await replay.run();
      const truth = (await read(outputs, "velocity")).data;
      const error = relativeError(await readTensor(gpu, replay.outputs), truth);
      expect(error).toBeLessThan(storage === "half" ? 1e-3 : 2e-5);
      replay.dispose();
      times.release();
      release(gpu, state, actions, hidden);
      loader.release();
      for (const file of files) await file.close();
    },
  );

  it("keeps what it says", async () => {
    const gpu = await countingGpu({ features: new Set(), limits: {}, software: false });
    const released = world2ActionWeights(sourceOf(world2ActionShapes(16)));
    const decoder = new World2ActionDecoder(
      world2ActionConfig(released.tensors),
      WeightLoader.from(gpu, released, { dtype: "bf16" }),
    );
    expect(decoder.contextBytes(19_200, "float32")).toBe(24 * 2 * 19_200 * 1024 * 4);
    expect(decoder.contextBytes(19_200, "half", 2)).toBe(24 * 2 * 19_200 * 1024 * 4);
    expect(decoder.contextBytes(19_200, "recompute")).toBe(19_200 * 2048 * 4);
  });

  it.each([
    ["float32", 3.8e9, 0.5e9],
    ["half", 1.9e9, 0.5e9],
    ["recompute", 0.16e9, 0.5e9],
  ] as const)("fits with %s on the least limits of WebGPU", async (storage, kept, besides) => {
    const gpu = await countingGpu({ features: new Set(), limits: {}, software: false });
    const released = world2ActionWeights(sourceOf(world2ActionShapes(61)));
    const loader = WeightLoader.from(gpu, released, { dtype: "bf16" });
    const decoder = new World2ActionDecoder(world2ActionConfig(released.tensors), loader);
    loader.reserve();
    const hidden = createTensor(gpu, [1, 19_200, 2048]);
    const [state, actions] = [createTensor(gpu, [1, 1, 10]), createTensor(gpu, [1, 60, 10])];
    const times = decoder.createTimes(gpu, 1);
    const before = gpu.memory.usage.peak;
    const context = await record(gpu, "context", () => decoder.prepareContext(hidden, storage));
    await record(gpu, "step", () => decoder.forward({ state, actions, times, context: context.outputs }));
    const peak = gpu.memory.usage.peak - before;
    // Buffers are up to an eighth larger than what they hold.
    expect(peak).toBeGreaterThan(kept);
    expect(peak).toBeLessThan(1.125 * kept + besides);
  });
});

/** 61 frames of 480 × 640. */
const RELEASED: Clip = { batch: 1, size: [16, 60, 80], textTokens: 512 };
const MIB = 2 ** 20;

describe("the released transformer", () => {
  it.each([
    ["the least limits of WebGPU", 128 * MIB, 256 * MIB],
    ["a large adapter", 2048 * MIB, 2048 * MIB],
  ])("fits on %s", async (_, maxStorageBufferBindingSize, maxBufferSize) => {
    const gpu = await countingGpu({
      features: new Set(),
      limits: { maxStorageBufferBindingSize, maxBufferSize },
      software: false,
    });
    const source = cosmosWeights(sourceOf(cosmosShapes(2048, 128, 28, 1024, 256, 8192)));
    const loader = WeightLoader.from(gpu, source, { dtype: "bf16" });
    const transformer = new CosmosTransformer(cosmosConfigFromShapes(source.tensors), loader);
    loader.reserve();
    const weights = gpu.memory.usage.peak;
    await record(gpu, "forward", () => evaluate(transformer, RELEASED));
    const activations = gpu.memory.usage.peak - weights;
    expect(weights).toBeLessThan(4.2e9);
    // Keys and values of the text are 235 MB, the residual stream 157: it, its norm, queries, keys, values, what is made of them.
    expect(activations).toBeLessThan(1.5e9);
  });
});
