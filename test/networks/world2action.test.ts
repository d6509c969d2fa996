/** The World2Action decoder: keys, dimensions, times, and items of a batch that know nothing of one another. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { concat, slice } from "../../src/kernels/copy.ts";
import { record } from "../../src/gpu/recording.ts";
import {
  hasWorld2ActionKeys,
  world2ActionConfig,
  world2ActionWeights,
} from "../../src/networks/world2action/config.ts";
import { type ActionContext, World2ActionDecoder } from "../../src/networks/world2action/decoder.ts";
import {
  distinctPairs,
  OBSERVATION_TIME,
  sinusoid,
  stepTimes,
  videoTime,
} from "../../src/networks/world2action/times.ts";
import { readTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError, uniform } from "../support/numbers.ts";
import { world2ActionShapes } from "./released-shapes.ts";
import { parameters, sourceOf } from "./shapes-only.ts";

describe("the released World2Action decoder", () => {
  it.each([
    [16, 498_990_730],
    [61, 499_036_810],
  ])("of %i tokens gives every parameter to the model", async (tokens, count) => {
    const shapes = world2ActionShapes(tokens);
    expect(Object.keys(shapes).length).toBe(509);
    expect(hasWorld2ActionKeys(Object.keys(shapes))).toBe(true);
    const source = world2ActionWeights(sourceOf(shapes));
    const config = world2ActionConfig(source.tensors);
    expect(config).toMatchObject({ tokens, heads: 8, layers: 24, actionWidths: [47, 220, 1024] });
    const loader = WeightLoader.from(await testGpu(), source);
    new World2ActionDecoder(config, loader);
    loader.compare();
    // The token that stands for a dropped observation is not used.
    expect(parameters(loader.asked) + 1024).toBe(count);
  });

  it("names what does not fit", async () => {
    const source = world2ActionWeights(sourceOf({ ...world2ActionShapes(16), "net.blocks.0.mlp.bias": [3] }));
    const loader = WeightLoader.from(await testGpu(), source);
    new World2ActionDecoder(world2ActionConfig(source.tensors), loader);
    expect(() => loader.compare()).toThrow(/unexpected: blocks\.0\.mlp\.bias/);
    expect(() => world2ActionConfig(new Map(), "w2a.pt")).toThrow(/w2a\.pt has no tensor "pos_embedding"/);
  });
});

describe("its times", () => {
  it("are σ/(1 + σ) in float32 and sines first", () => {
    expect(videoTime(80)).toBe(Math.fround(0.98765432));
    const s = sinusoid(OBSERVATION_TIME, 1024);
    // The shortest period is 0.004: a quarter of it is 0.001.
    expect(s[0]).toBe(1);
    expect(Math.abs(s[512])).toBeLessThan(1e-4);
    // The longest is 4: 2π/4 · 0.001.
    expect(s[511]).toBeCloseTo(0.00157, 5);
    expect(s[1023]).toBe(1);
  });

  it("make two rows an item, fewer where items agree", () => {
    const two = stepTimes([1, 1], [0.5, 0.9], 1, 4);
    expect(two.pairs).toEqual([
      [OBSERVATION_TIME, 0.5],
      [1, 0.5],
      [OBSERVATION_TIME, 0.9],
      [1, 0.9],
    ]);
    expect([...two.rowOf]).toEqual([0, 1, 1, 1, 2, 3, 3, 3]);
    expect(stepTimes([1, 1], [0.5, 0.5], 1, 4).pairs.length).toBe(2);
    expect(() => distinctPairs([1, 2, 3], [1, 2])).toThrow(/3 action times/);
  });
});

describe("World2ActionDecoder", () => {
  it("computes each item of a batch as it would alone, and from blocks of rows of the context", async () => {
    const gpu = await testGpu();
    const folder = fileURLToPath(new URL("../golden-official/official-action-forward/", import.meta.url));
    const stored = await openWeights(`${folder}weights.safetensors`);
    const source = world2ActionWeights(stored);
    const loader = WeightLoader.from(gpu, source);
    const decoder = new World2ActionDecoder(world2ActionConfig(source.tensors), loader);
    await loader.load();
    await stored.close();
    const { tokens, stateDim, actionDim, contextDim } = decoder.config;
    const S = 7;
    const items = [0, 1, 2].map((i) => ({
      state: uniform(i, stateDim),
      actions: uniform(10 + i, decoder.chunkLength * actionDim),
      hidden: uniform(20 + i, S * contextDim, 3),
      time: [1, 0.4, 0.7][i],
      video: [0.98, 0.3, 0.98][i],
    }));
    const join = (parts: Float32Array[]): Float32Array<ArrayBuffer> =>
      Float32Array.from(parts.flatMap((part) => [...part]));
    /** keys and values from `rows` rows of the context at a time */
    const inRows = (hidden: Tensor, rows: number): ActionContext => {
      const starts = Array.from({ length: Math.ceil(S / rows) }, (_, i) => i * rows);
      const normed = starts.map((at) => decoder.normContext(slice(hidden, 1, at, Math.min(S, at + rows))));
      const blocks = Array.from({ length: decoder.config.layers }, (_, i) =>
        normed.map((part) => decoder.contextKeysValues(i, part)),
      );
      return {
        keys: blocks.map((parts) =>
          concat(
            parts.map(({ k }) => k),
            1,
          ),
        ),
        values: blocks.map((parts) =>
          concat(
            parts.map(({ v }) => v),
            1,
          ),
        ),
      };
    };
    const run = async (some: typeof items, rows = S, taps = some.length): Promise<Float32Array> => {
      const B = some.length;
      const shared = some.filter((_, i) => i % (B / taps) === 0);
      const state = upload(gpu, [B, 1, stateDim], join(some.map((i) => i.state)));
      const actions = upload(gpu, [B, decoder.chunkLength, actionDim], join(some.map((i) => i.actions)));
      const hidden = upload(gpu, [taps, S, contextDim], join(shared.map((i) => i.hidden)));
      const times = decoder.createTimes(gpu, B);
      times.write(
        stepTimes(
          some.map((i) => i.time),
          some.map((i) => i.video),
          1,
          tokens,
        ),
      );
      // The context is recorded once, the step apart from it, as a sampler does.
      const context = await record(gpu, "context", () =>
        rows < S ? inRows(hidden, rows) : decoder.prepareContext(hidden),
      );
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
      return values;
    };
    const together = await run(items);
    const alone = join([await run([items[0]]), await run([items[1]]), await run([items[2]])]);
    expect(relativeError(together, alone)).toBeLessThan(1e-6);
    expect(relativeError(await run(items, 3), together)).toBeLessThan(1e-6);
    // Two items on one tap, two on another, against a copy of the tap for each.
    const four = [0, 0, 1, 1].map((tap, i) => ({ ...items[i % 3], hidden: items[tap].hidden }));
    expect(relativeError(await run(four, S, 2), await run(four))).toBeLessThan(1e-6);
    loader.release();
  });
});
