/** A config value that is not understood is refused, never ignored: every reader, with keys it does not know and values that contradict it. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FormatError, UsageError } from "../../src/errors.ts";
import { readCosmosTransformerConfig } from "../../src/networks/cosmos/config.ts";
import { readCosmosOriginalConfig } from "../../src/networks/cosmos/original-config.ts";
import { readCosmosVaeConfig } from "../../src/networks/cosmos-vae/config.ts";
import { readActionConfig } from "../../src/networks/lucidrains-action/config.ts";
import { readDiffusionPolicyConfig } from "../../src/networks/diffusion-policy/config.ts";
import { readMeanFlowConfig } from "../../src/networks/meanflow/config.ts";
import { readT5Config } from "../../src/networks/t5/encoder.ts";
import { readLingbotConfig } from "../../src/networks/lingbot/config.ts";
import { readTextEncoderConfig, readUmt5OriginalConfig } from "../../src/networks/t5/umt5.ts";
import {
  readWanOriginalConfig as readWanOriginalTransformer,
  readWanTransformerConfig,
} from "../../src/networks/wan/config.ts";
import { readWanOriginalConfig, readWanVaeConfig } from "../../src/networks/wan-vae/config.ts";
import { readModelDescription } from "../../src/systems/mimic-video/description.ts";
import { readPlanSchedule } from "../../src/systems/diffusion-policy/schedule.ts";
import { clipOf } from "../../src/systems/mimic-video-release/clip.ts";

const json = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
const golden = (path: string) => json(`test/${path}/case.json`).config as Record<string, unknown>;

const without = (config: Record<string, unknown>, key: string) =>
  Object.fromEntries(Object.entries(config).filter(([name]) => name !== key));

const toy = "weights/toy";
const lingbot = "test/lingbot-mini/libero/robbyant/lingbot-va-base";
const clipBy = { spatial: 8, temporal: 4, patch: 2 };
const READERS: Readonly<Record<string, [Record<string, unknown>, (config: unknown) => unknown]>> = {
  "T5 of the toy": [json(`${toy}/text_encoder/config.json`), (c) => readT5Config(c)],
  "T5 of the release": [
    json("test/release-mini/bridge/text_encoder/t5-11b/config.json"),
    (c) => readT5Config(c),
  ],
  "Cosmos transformer": [json(`${toy}/transformer/config.json`), (c) => readCosmosTransformerConfig(c)],
  "Cosmos' own": [golden("golden-official/official-video-forward"), (c) => readCosmosOriginalConfig(c)],
  "Cosmos VAE": [json(`${toy}/vae/config.json`), (c) => readCosmosVaeConfig(c)],
  "Wan VAE": [golden("golden/vae-wan-small"), (c) => readWanVaeConfig(c)],
  "Wan VAE of 2.2": [golden("golden-lingbot/vae22-five"), (c) => readWanVaeConfig(c)],
  UMT5: [json(`${lingbot}/text_encoder/config.json`), (c) => readTextEncoderConfig(c)],
  "UMT5, original": [golden("golden-wan/umt5-original"), (c) => readUmt5OriginalConfig(c)],
  "Wan transformer": [
    without(golden("golden-wan/wan-t2v-diffusers"), "layout"),
    (c) => readWanTransformerConfig(c),
  ],
  "Wan transformer, original": [golden("golden-wan/wan-inp-original"), (c) => readWanOriginalTransformer(c)],
  "LingBot-VA's transformer": [golden("golden-lingbot/transformer-video"), (c) => readLingbotConfig(c)],
  "Wan VAE, original": [golden("golden-wan/vae-wan-original"), (c) => readWanOriginalConfig(c)],
  "action decoder": [json(`${toy}/action_decoder/config.json`), (c) => readActionConfig(c)],
  "state autoencoder": [
    golden("golden/action-state-tokens").state_autoencoder as Record<string, unknown>,
    (c) => readActionConfig({ ...golden("golden/action-state-tokens"), state_autoencoder: c }),
  ],
  "Diffusion Policy": [json("test/pusht-mini/published/config.json"), (c) => readDiffusionPolicyConfig(c)],
  "MeanFlow, SongUNet": [golden("golden-meanflow/song-unet"), (c) => readMeanFlowConfig(c)],
  "MeanFlow, SiT": [golden("golden-meanflow/sit"), (c) => readMeanFlowConfig(c)],
  "MeanFlow, improved": [golden("golden-meanflow/imf"), (c) => readMeanFlowConfig(c)],
  "MeanFlow, U-Net": [golden("golden-meanflow/zoo-unet"), (c) => readMeanFlowConfig(c)],
  "MeanFlow, DiT": [golden("golden-meanflow/zoo-dit"), (c) => readMeanFlowConfig(c)],
  "MeanFlow, MLP": [golden("golden-meanflow/zoo-mlp"), (c) => readMeanFlowConfig(c)],
  "MeanFlow, CNN": [{ arch: "zoo_cnn", num_layers: 3 }, (c) => readMeanFlowConfig(c)],
  "model.json": [json(`${toy}/model.json`), (c) => readModelDescription(c, "toy")],
  "model.json, action": [
    json(`${toy}/model.json`).action as Record<string, unknown>,
    (c) => readModelDescription({ ...json(`${toy}/model.json`), action: c }, "toy"),
  ],
  "clip.json": [json("test/release-mini/bridge/clip.json"), (c) => clipOf(c, "clip.json", clipBy)],
};

describe.each(Object.entries(READERS))("%s", (_, [config, read]) => {
  test("what is known is read, what is not is refused by name", () => {
    expect(() => read(config)).not.toThrow();
    expect(() => read({ ...config, of_next_year: 0.5 })).toThrow(UsageError);
    expect(() => read({ ...config, of_next_year: 0.5 })).toThrow(/"of_next_year" is not supported/);
  });
});

test.each<[string, Record<string, unknown>, RegExp]>([
  ["T5 of the toy", { is_decoder: true }, /is_decoder = true/],
  ["T5 of the toy", { feed_forward_proj: "gated-gelu" }, /feed_forward_proj/],
  ["Cosmos transformer", { _class_name: "WanTransformer3DModel" }, /_class_name/],
  [
    "Cosmos transformer",
    { use_crossattn_projection: true, encoder_hidden_states_channels: 65 },
    /encoder_hidden_states_channels = 65 is not supported; supported: 64/,
  ],
  ["Cosmos VAE", { _class_name: "AutoencoderKLWan" }, /_class_name/],
  ["Cosmos VAE", { scaling_factor: 0.5 }, /scaling_factor = 0\.5/],
  ["Wan VAE", { _class_name: "AutoencoderKLCosmos" }, /_class_name/],
  ["Wan VAE", { scale_factor_spatial: 3 }, /scale_factor_spatial = 3 .*supported: \d/],
  ["Wan VAE", { scale_factor_temporal: 3 }, /scale_factor_temporal = 3/],
  ["Wan VAE", { is_residual: "yes" }, /is_residual/],
  ["Wan VAE of 2.2", { attn_scales: [0.5] }, /attn_scales/],
  ["UMT5", { feed_forward_proj: "relu" }, /feed_forward_proj/],
  ["UMT5, original", { shared_pos: true }, /shared_pos/],
  ["Wan transformer", { qk_norm: "rms_norm" }, /qk_norm/],
  ["Wan transformer", { added_kv_proj_dim: 24 }, /added_kv_proj_dim/],
  ["Wan transformer, original", { window_size: [8, 8] }, /window_size/],
  ["LingBot-VA's transformer", { patch_size: [2, 2, 2] }, /patch_size/],
  ["action decoder", { _class_name: "World2Action" }, /_class_name/],
  ["action decoder", { sample_time_fn: "cosine" }, /sample_time_fn/],
  ["Diffusion Policy", { type: "act" }, /type = "act"/],
  ["Diffusion Policy", { resize_shape: [96, 96] }, /resize_shape/],
  ["Diffusion Policy", { crop_ratio: 0.9 }, /crop_ratio = 0\.9/],
  ["Diffusion Policy", { vision_backbone: "vit_b_16" }, /vision_backbone = "vit_b_16"/],
  [
    "Diffusion Policy",
    { normalization_mapping: { VISUAL: "QUANTILES" } },
    /normalization_mapping\.VISUAL = "QUANTILES" is not supported/,
  ],
  ["Diffusion Policy", { kernel_size: 4 }, /kernel_size 4 is even/],
  ["Diffusion Policy", { horizon: 12 }, /horizon 12 is no multiple of 8/],
  ["Diffusion Policy", { n_groups: 5 }, /n_groups 5 does not divide/],
  ["MeanFlow, SongUNet", { encoder_type: "residual" }, /encoder_type = "residual"/],
  ["MeanFlow, SongUNet", { resample_filter: [1, 2, 1] }, /resample_filter has 3 taps/],
  ["MeanFlow, SiT", { learn_sigma: true }, /learn_sigma = true/],
  ["MeanFlow, SiT", { use_separate_time_embeds: false }, /use_separate_time_embeds = false/],
  ["MeanFlow, SiT", { patch_size: 3 }, /patches of 3 .* do not divide 8/],
  ["MeanFlow, improved", { aux_head_depth: 4 }, /a head of 4 blocks .* of 3/],
  ["MeanFlow, U-Net", { base_channels: 48 }, /base_channels 48 is no multiple of the 32 groups/],
  ["MeanFlow, U-Net", { channel_mult: [1, 1, 1, 1, 1] }, /8 pixels cannot be halved 4 times/],
  ["MeanFlow, CNN", { num_layers: 1 }, /1 layers/],
  ["MeanFlow, MLP", { arch: "zoo_gnn" }, /arch = "zoo_gnn" is not supported; supported: "zoo_unet"/],
  ["model.json", { trained_on: "earth" }, /trained_on/],
  ["clip.json", { trained_on: "earth" }, /trained_on/],
])("%s with %j", (reader, change, message) => {
  const [config, read] = READERS[reader];
  expect(() => read({ ...config, ...change })).toThrow(message);
});

test("an action normaliser is means and deviations of every dimension", () => {
  const [config, read] = READERS["action decoder"];
  const with_ = (action_mean_std: unknown) => () => read({ ...config, action_mean_std });
  const row = [0.5, 0.25, 2];
  expect(with_([row, row])).not.toThrow();
  for (const wrong of [true, [row], [row, [1, 2]], [row, ["a", 1, 2]]])
    expect(with_(wrong)).toThrow(FormatError);
});

test("the schedule of a Diffusion Policy is read whole", () => {
  const [config] = READERS["Diffusion Policy"];
  const with_ = (change: Record<string, unknown>) => () => readPlanSchedule({ ...config, ...change });
  expect(with_({})()).toMatchObject({ evaluations: 100, schedule: { kind: "DDPM", trained: 100, clip: 1 } });
  expect(with_({ clip_sample: false })().schedule.clip).toBeUndefined();
  expect(with_({ num_inference_steps: 10 })().evaluations).toBe(10);
  expect(with_({ num_inference_steps: 101 })).toThrow(/101 is more than the 100 noise levels/);
  expect(with_({ noise_scheduler_type: "DPM" })).toThrow(/noise_scheduler_type = "DPM" is not supported/);
  expect(with_({ beta_schedule: "sigmoid" })).toThrow(/beta_schedule = "sigmoid"/);
  expect(with_({ prediction_type: "v_prediction" })).toThrow(/prediction_type = "v_prediction"/);
  expect(with_({ num_train_timesteps: undefined })).toThrow(/"num_train_timesteps" is missing/);
});

test("factors that repeat what the levels of a Wan VAE do", () => {
  expect(() => readWanVaeConfig({ scale_factor_spatial: 8, scale_factor_temporal: 4 })).not.toThrow();
});
