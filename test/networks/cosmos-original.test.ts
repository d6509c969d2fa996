/** The Cosmos transformer as the release has it: keys, dimensions, tables. */
import { describe, expect, it } from "vitest";
import { UsageError, WeightsError } from "../../src/errors.ts";
import { record } from "../../src/gpu/recording.ts";
import {
  cosmosConfigFromShapes,
  readCosmosOriginalConfig,
} from "../../src/networks/cosmos/original-config.ts";
import { cosmosKeys, cosmosWeights } from "../../src/networks/cosmos/original-keys.ts";
import { rotary, rotaryAngles } from "../../src/networks/cosmos/positions.ts";
import { timestepSinusoids } from "../../src/networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../../src/networks/cosmos/transformer.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { bfloat16 } from "../../src/weights/rounded.ts";
import { testGpu } from "../support/gpu.ts";
import { cosmosShapes } from "./released-shapes.ts";
import { parameters, sourceOf } from "./shapes-only.ts";

const FULL = cosmosShapes(2048, 128, 28, 1024, 256, 8192);

describe("Cosmos' own layout", () => {
  it("of the released size gives every parameter to the model, and nothing is left over", async () => {
    const gpu = await testGpu();
    const source = cosmosWeights(sourceOf(FULL));
    const config = cosmosConfigFromShapes(source.tensors);
    expect(config).toMatchObject({ heads: 16, headDim: 128, layers: 28, textDim: 1024, adalnLoraDim: 256 });
    expect(config).toMatchObject({ inChannels: 17, outChannels: 16, mlpRatio: 4, qkEpsilon: 1e-6 });
    const loader = WeightLoader.from(gpu, source);
    new CosmosTransformer(config, loader);
    loader.compare();
    expect(parameters(loader.asked)).toBe(1_956_413_440);
  });

  it("leaves the blocks behind the tapped one unread", async () => {
    const source = cosmosWeights(sourceOf(FULL));
    const loader = WeightLoader.from(await testGpu(), source);
    new CosmosTransformer(cosmosConfigFromShapes(source.tensors), loader, 20);
    loader.compare();
    const blocks = new Set(loader.asked.map(({ key }) => /^transformer_blocks\.(\d+)/.exec(key)?.[1]));
    expect(blocks.size).toBe(21); // and undefined
    expect(loader.asked.some(({ key }) => key.startsWith("norm_out"))).toBe(false);
  });

  it("reports what it does not know, and takes diffusers' names as they are", async () => {
    const odd = { ...FULL, "net.blocks.3.self_attn.gate.weight": [2], "net.accum.weight": [1], fps: [1] };
    const source = cosmosWeights(sourceOf(odd));
    const loader = WeightLoader.from(await testGpu(), source);
    new CosmosTransformer(cosmosConfigFromShapes(source.tensors), loader);
    expect(() => loader.compare()).toThrow(/unexpected: transformer_blocks\.3\.attn1\.gate\.weight/);
    expect(() => loader.compare()).toThrow(/unexpected: accum\.weight/);
    expect(() => loader.compare()).toThrow(/unexpected: fps/);
    const renamed = Object.fromEntries(
      Object.entries(FULL).flatMap(([key, shape]) => {
        const name = cosmosKeys(key);
        return name === undefined ? [] : [[name, shape]];
      }),
    );
    const diffusers = sourceOf(renamed);
    expect(cosmosWeights(diffusers)).toBe(diffusers);
    expect(cosmosConfigFromShapes(diffusers.tensors)).toEqual(cosmosConfigFromShapes(source.tensors));
  });

  it("takes averaged weights, but not beside the others", () => {
    const averaged = Object.fromEntries(
      Object.entries(FULL).map(([key, shape]) => [key.replace("net.", "net_ema."), shape]),
    );
    expect(cosmosWeights(sourceOf(averaged)).tensors.has("patch_embed.proj.weight")).toBe(true);
    expect(() => cosmosWeights(sourceOf({ ...FULL, ...averaged }))).toThrow(WeightsError);
  });

  it("reads other sizes from shapes too", () => {
    const { tensors } = cosmosWeights(sourceOf(cosmosShapes(96, 24, 5, 40, 8, 200)));
    const config = cosmosConfigFromShapes(tensors);
    expect(config).toMatchObject({ heads: 4, headDim: 24, layers: 5, textDim: 40, adalnLoraDim: 8 });
    expect(Math.trunc(96 * config.mlpRatio)).toBe(200);
    expect(() => cosmosConfigFromShapes(new Map())).toThrow(/has no tensor "patch_embed.proj.weight"/);
  });

  it("names an argument that it does not have", () => {
    const arguments_ = {
      ...{
        max_img_h: 48,
        max_img_w: 48,
        max_frames: 16,
        in_channels: 16,
        out_channels: 16,
        patch_spatial: 2,
      },
      ...{ model_channels: 64, num_blocks: 3, num_heads: 2 },
    };
    expect(readCosmosOriginalConfig(arguments_)).toMatchObject({ inChannels: 17, headDim: 32 });
    const fps = { ...arguments_, rope_enable_fps_modulation: true };
    expect(() => readCosmosOriginalConfig(fps)).toThrow(/rope_enable_fps_modulation = true/);
    expect(() => readCosmosOriginalConfig({ ...arguments_, sac_config: 1 })).toThrow(UsageError);
  });
});

/** Hexadecimal patterns of bfloat16 values. */
const patterns = (text: string): number[] =>
  text.split(" ").map((hex) => new Float32Array(Uint32Array.of(parseInt(hex, 16) << 16).buffer)[0]);

describe("tables in bfloat16", () => {
  // Frequencies of heads of 128 as PyTorch computes them when the buffers are bfloat16.
  const SPACE =
    "3f80 3f1c 3ebf 3e6a 3e0e 3dad 3d55 3d01 3c9e 3c43 3bea 3b90 3b31 3ada 3a81 3a1f 39c3 3971 3914 38ae 3856";
  const TIME =
    "3f80 3f29 3edd 3e92 3e41 3dfc 3da5 3d5a 3d10 3cbf 3c78 3c24 3bd5 3b8f 3b3a 3af3 3aa3 3a53 3a0e 39b9 3971 3921";

  it("have the frequencies and angles of the release", () => {
    const base = 10_000 * 3 ** (42 / 40);
    expect(rotaryAngles(base, 42, [1], "bfloat16")[0]).toEqual(patterns(SPACE));
    expect(rotaryAngles(10_000, 44, [1], "bfloat16")[0]).toEqual(patterns(TIME));
    expect(rotaryAngles(10_000, 44, [15], "bfloat16")[0].slice(0, 4)).toEqual([15, 9.875, 6.46875, 4.28125]);
    const [h, w] = rotaryAngles(base, 42, [29, 39], "bfloat16");
    expect(h.slice(0, 4)).toEqual([29, 17.625, 10.8125, 6.625]);
    expect(w.slice(0, 4)).toEqual([39, 23.75, 14.5625, 8.9375]);
  });

  it("differ from float32's by 0.09 rad at the far corner of the released clip", async () => {
    const gpu = await testGpu();
    const config = cosmosConfigFromShapes(cosmosWeights(sourceOf(FULL)).tensors);
    const cos = async (tables: "bfloat16" | "float32") => {
      const replay = await record(gpu, "rotary", () => rotary({ ...config, tables }, [16, 30, 40]));
      const values = await readTensor(gpu, replay.outputs.cos);
      replay.dispose();
      return values;
    };
    const [coarse, fine] = [await cos("bfloat16"), await cos("float32")];
    const most = coarse.reduce((most, value, i) => Math.max(most, Math.abs(value - fine[i])), 0);
    expect(most).toBeGreaterThan(0.09);
    expect(most).toBeLessThan(0.092);
  });

  it("have the sinusoids of the release, cosines first", () => {
    const s = timestepSinusoids([80 / 81], 2048, "bfloat16");
    expect([...s.slice(0, 4)]).toEqual([0.55078125, 0.55859375, 0.56640625, 0.5703125]);
    expect([...s.slice(1024, 1028)]).toEqual([0.8359375, 0.83203125, 0.82421875, 0.8203125]);
    expect(bfloat16(1e-4 / (1 + 1e-4))).toBe(1.0013580322265625e-4);
  });
});
