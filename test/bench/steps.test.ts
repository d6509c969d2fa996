import { describe, expect, it } from "vitest";
import { randomModel, randomSource } from "../../bench/random-weights.ts";
import { decoderFlop } from "../../bench/steps/decoder.ts";
import { encoderFlop } from "../../bench/steps/encoder.ts";
import { tooMuch } from "../../bench/steps/step.ts";
import { transformerFlop } from "../../bench/steps/transformer.ts";
import { readActionConfig } from "../../src/networks/lucidrains-action/config.ts";
import { readCosmosTransformerConfig } from "../../src/networks/cosmos/config.ts";
import { CosmosTransformer } from "../../src/networks/cosmos/transformer.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { testGpu } from "../support/gpu.ts";

const SMALL = {
  _class_name: "CosmosTransformer3DModel",
  ...{ in_channels: 4, out_channels: 4, num_attention_heads: 2, attention_head_dim: 16, num_layers: 3 },
  ...{ text_embed_dim: 8, adaln_lora_dim: 4, max_size: [8, 16, 16], concat_padding_mask: true },
};

describe("operation counts", () => {
  it("of the transformer are twice the matrices that a step multiplies with, and attention", async () => {
    const config = readCosmosTransformerConfig(SMALL);
    const { loader } = randomModel(await testGpu(), "f32", (w) => new CosmosTransformer(config, w));
    const [tokens, text, times] = [6, 5, 2];
    let expected = config.layers * tokens * 4 * (tokens + text) * 32;
    for (const { key, shape } of loader.asked) {
      // The keys and values of the text are ready.
      if (shape.length < 2 || /attn2\.to_[kv]/.test(key)) continue;
      expected += 2 * sizeOf(shape) * (/norm|time_embed/.test(key) ? times : tokens);
    }
    expect(transformerFlop(config, { batch: 1, tokens, text, times })).toBe(expected);
  });

  it("of the decoder's pools grow with the square of its depth, and less as we compute them", () => {
    const at = (depth: number) =>
      decoderFlop(readActionConfig({ dim: 512, dim_video_hidden: 64, depth }), 96);
    const [shallow, deep] = [at(4), at(8)];
    expect(deep.pools / shallow.pools).toBeGreaterThan(2);
    expect(deep.pools / deep.all).toBeLessThan(deep.reference);
    // Without pools a layer costs the same wherever it stands.
    const layers = (d: typeof deep) => d.all - d.pools;
    const more = layers(at(12)) - layers(deep);
    expect(more).toBeCloseTo(layers(deep) - layers(shallow), 0);
  });

  it("of an encoder take each matrix at every pixel of its level", () => {
    const asked = [
      { key: "a.weight", shape: [2, 3, 1, 3, 3] },
      { key: "b.weight", shape: [4, 2] },
      { key: "b.bias", shape: [4] },
    ];
    const level = (key: string): number => (key.startsWith("a") ? 0 : 1);
    const grids = [
      [1, 4, 4],
      [1, 2, 2],
    ] as const;
    expect(encoderFlop(asked, level, grids)).toBe(2 * 54 * 16 + 2 * 8 * 4);
  });
});

describe("tooMuch", () => {
  const roof = { flopPerSecond: 1e9, flopPerCpuSecond: 1, bytesPerSecond: 1, bytesPerCpuSecond: 1 };

  it("says with numbers what a step would take", async () => {
    const context = { gpu: await testGpu({ adapter: "software" }), roof, limit: 10, note: () => {} };
    expect(tooMuch(context, 9e9, 1e6)).toBeUndefined();
    expect(tooMuch(context, 90e9, 1e6)).toMatch(
      /90\.0 GFLOP take at least 90 s .* 1\.00 GFLOP\/s.*whole name/,
    );
    expect(tooMuch(context, 1, 1e15)).toMatch(/are free$/);
  });
});

describe("random weights", () => {
  const asked = [
    { key: "w", shape: [2000, 600] },
    { key: "gain", shape: [64] },
  ];

  it("keep the size of what they are multiplied with, in both types", async () => {
    for (const dtype of ["F32", "BF16"] as const) {
      const source = randomSource(dtype, asked);
      const bytes = await source.read("w");
      expect(bytes.byteLength).toBe(source.tensors.get("w")!.bytes);
      const values =
        dtype === "F32"
          ? new Float32Array(bytes.buffer)
          : new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (b) => b << 16).buffer);
      const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length;
      expect(variance * 600).toBeCloseTo(1, 1);
      expect(new Set(values.subarray(0, 1000)).size).toBeGreaterThan(500);
    }
    const gain = new Float32Array((await randomSource("F32", asked).read("gain")).buffer);
    expect(gain.every((v) => v > 0.8 && v < 1.2)).toBe(true);
  });
});
