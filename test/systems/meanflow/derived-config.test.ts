/** What the shapes of a checkpoint say: the configuration that its network was built from, or all of it but what leaves no trace. */
import { expect, test } from "vitest";
import { buildMeanFlowNetwork } from "../../../src/networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../../../src/networks/meanflow/config.ts";
import { derivedConfig } from "../../../src/systems/meanflow/derived-config.ts";
import { layoutOf } from "../../../src/systems/meanflow/layouts.ts";
import { WeightLoader } from "../../../src/weights/loader.ts";
import { sourceOf } from "../../networks/shapes-only.ts";
import { testGpu } from "../../support/gpu.ts";

/** Constructors' arguments with everything that sampling does not need left out; what no shape tells, apart. */
type Arguments = Readonly<Record<string, unknown>>;
const NETWORKS: readonly (readonly [name: string, config: Arguments, unknown?: Arguments])[] = [
  [
    "CIFAR-10 of py-meanflow",
    {
      ...{ arch: "song_unet", img_resolution: 32, in_channels: 3, out_channels: 3, model_channels: 128 },
      ...{ channel_mult: [2, 2, 2], channel_mult_emb: 4, channel_mult_noise: 2, num_blocks: 4 },
      ...{ attn_resolutions: [16], resample_filter: [1, 1, 1, 1], augment_dim: 0 },
    },
  ],
  [
    "a SongUNet of other levels",
    {
      ...{ arch: "song_unet", img_resolution: 24, in_channels: 1, out_channels: 1, model_channels: 32 },
      ...{ channel_mult: [1, 3], channel_mult_emb: 2, channel_mult_noise: 1, num_blocks: 2 },
      ...{ attn_resolutions: [24, 12], resample_filter: [1, 1], augment_dim: 0 },
    },
  ],
  ...(
    [
      ["SiT-B/4", 768, 12, 12, 4],
      ["SiT-L/2", 1024, 24, 16, 2],
      ["SiT-XL/2", 1152, 28, 16, 2],
    ] as const
  ).map(
    ([name, hidden_size, depth, num_heads, patch_size]) =>
      [
        name,
        {
          ...{ arch: "sit", input_size: 32, patch_size, in_channels: 4, hidden_size, depth, num_heads },
          ...{ mlp_ratio: 4, num_classes: 1000 },
        },
      ] as const,
  ),
  [
    "a DiT of DenoisingZoo with one time embedder",
    {
      ...{ arch: "zoo_dit", input_size: 16, patch_size: 4, in_channels: 3, hidden_size: 48, depth: 3 },
      ...{ mlp_ratio: 2, use_separate_time_embeds: false },
    },
    { num_heads: 4, num_classes: 7, class_dropout_prob: 0 },
  ],
  [
    "a U-Net of DenoisingZoo",
    {
      ...{ arch: "zoo_unet", in_channels: 3, out_channels: 3, base_channels: 64, channel_mult: [1, 2, 2] },
      ...{ num_res_blocks: 3, use_separate_time_embeds: true },
    },
    { num_heads: 2, input_resolution: 16, attention_resolutions: [8] },
  ],
  [
    "a small CNN",
    { arch: "zoo_cnn", in_channels: 2, out_channels: 2, base_channels: 24, num_layers: 5, kernel_size: 5 },
  ],
  ["an MLP", { arch: "zoo_mlp", feature_dim: 3, hidden_dim: 40 }],
];

test.each(NETWORKS.map(([name, config, unknown = {}]) => ({ name, config, unknown })))(
  "$name",
  async (row) => {
    const { config, unknown } = row;
    const full = readMeanFlowConfig({ ...config, ...unknown }, "given");
    const loader = WeightLoader.from(await testGpu(), sourceOf({}));
    buildMeanFlowNetwork(full, loader, [16, 16]);
    const shapes = new Map(loader.asked.map(({ key, shape }) => [key, { shape }]));
    for (const prefix of ["", "module.", "ema."]) {
      const stored = new Map([...shapes].map(([key, value]) => [prefix + key, value]));
      expect(layoutOf(stored)).toMatchObject({ architecture: full.arch, prefix });
    }
    const derived = derivedConfig(full.arch, shapes);
    expect(derived.unknown).toEqual(Object.keys(unknown));
    expect(readMeanFlowConfig({ arch: full.arch, ...derived.config, ...unknown }, "derived")).toEqual(full);
  },
);

test("other networks are none of these", () => {
  const shapes = (...keys: string[]) => new Map(keys.map((key) => [key, { shape: [4, 4] }]));
  expect(layoutOf(shapes("net.0.weight", "net.2.weight", "head.weight"))).toBeUndefined();
  expect(layoutOf(shapes("blocks.0.attn.qkv.weight", "x_embedder.proj.1.weight"))).toBeUndefined();
  expect(layoutOf(new Map())).toBeUndefined();
});
