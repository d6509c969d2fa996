/** What the published sizes come to, and a random model of other sizes than the miniature's through the probe's subject. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import { asked, writeRandomLingbot } from "../../../bench/lingbot/write.ts";
import { LingbotTransformer } from "../../../src/networks/lingbot/transformer.ts";
import { readWanVaeConfig, WanVae } from "../../../src/networks/wan-vae/vae.ts";
import { readPolicyTransformer } from "../../../src/systems/lingbot-va/config.ts";
import { recognise } from "../../../src/systems/registry.ts";
import type { Picture } from "../../../src/systems/policy.ts";
import { openModelFolder } from "../../../src/weights/model-files.node.ts";
import { openWeights } from "../../../src/weights/open.node.ts";
import { testGpu } from "../../support/gpu.ts";
import { relativeError } from "../../support/numbers.ts";
import { parameters } from "../../networks/shapes-only.ts";

it("parameters of the published networks", async () => {
  const transformer = await asked(
    (w) => new LingbotTransformer(readPolicyTransformer({ type: "lingbot_va" }), w),
  );
  // The file has two linear maps more, the text's for actions, which nothing reads.
  const unused = (4096 + 1) * 3072 + (3072 + 1) * 3072;
  expect(parameters(transformer) + unused).toBe(5_088_872_670);
  expect(transformer.length + 4).toBe(839);
  const config = readWanVaeConfig({
    ...{
      base_dim: 160,
      decoder_base_dim: 256,
      z_dim: 48,
      is_residual: true,
      in_channels: 12,
      out_channels: 12,
    },
    ...{ patch_size: 2, latents_mean: new Array(48).fill(0), latents_std: new Array(48).fill(1) },
  });
  const encoder = await asked((w) => new WanVae(config, w, "encoder"));
  const both = await asked((w) => new WanVae(config, w));
  expect(parameters(encoder)).toBe(149_637_088);
  expect(parameters(both) - parameters(encoder)).toBe(555_051_580);
  expect(both.length).toBe(196);
});

it("a small one of other sizes is recognised, planned, loaded and read", { timeout: 180_000 }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "lingbot-"));
  try {
    const gpu = await testGpu();
    const own = await writeRandomLingbot(folder, {
      policy: {
        ...{
          num_layers: 2,
          num_attention_heads: 3,
          attention_head_dim: 20,
          ffn_dim: 70,
          text_dim: 18,
          freq_dim: 10,
        },
        ...{
          in_channels: 12,
          out_channels: 12,
          action_dim: 9,
          used_action_channel_ids: [7, 2, 0],
          height: 32,
          width: 64,
        },
        ...{
          obs_cam_keys: ["a", "b", "c"],
          frame_chunk_size: 3,
          action_per_frame: 8,
          num_inference_steps: 3,
        },
        ...{ action_num_inference_steps: 2, max_sequence_length: 20, attn_window: 5, guidance_scale: 3 },
        // Both streams guided: the actions read the empty prompt's keys and values too.
        ...{ action_guidance_scale: 2 },
      },
      vae: {
        ...{ base_dim: 4, decoder_base_dim: 4, z_dim: 12 },
        ...{ latents_mean: new Array(12).fill(0.1), latents_std: new Array(12).fill(0.9) },
      },
    });
    const files = await openModelFolder(own);
    const system = await recognise(files);
    const opened = await system.open(gpu, files, {
      ...{ dtype: "f32", text: `${folder}/text.safetensors`, openFile: openWeights },
      openModel: (name) => openModelFolder(path.join(folder, name)),
    });
    expect(opened.trainedOn).toBe("random");
    const subject = await opened.subject(await openModelFolder(path.join(folder, "episodes")));
    await opened.load({});
    const item = await subject.items.read(0);
    const encoded = (await subject.encode(item, 1)) as { dispose(): void };
    const noises = [0, 1].map((seed) => [subject.readNoise(item, seed)]);
    const one = new Map<number, Float32Array>();
    for await (const state of subject.denoise(encoded, [subject.noise(item, 0)], {})) {
      const tap = await state.tap(subject.tapKinds[0]);
      const readings = await subject.read([{ tap, time: state.time }], encoded, noises, undefined, {});
      expect(readings.length).toBe(2);
      expect(relativeError(readings[1].values, readings[0].values)).toBeGreaterThan(1e-3);
      one.set(state.step, readings[0].values);
      expect(readings[0].values.length).toBe(16 * 3);
      expect(readings[0].iterates!.length).toBe(3 * 16 * 3);
    }
    encoded.dispose();
    // Every call leaves something of its own.
    expect(relativeError(one.get(0)!, one.get(3)!)).toBeGreaterThan(1e-6);
    expect(one.size).toBe(4);
    // The policy, which acts on the cache itself, does what is read from copies of it.
    const recorded = await openWeights(path.join(folder, "episodes/episodes.safetensors"));
    const frames: Record<string, Picture[]> = {};
    for (const camera of ["a", "b", "c"]) {
      const bytes = await recorded.read(camera);
      const area = 32 * 64;
      const rgb = Uint8Array.from({ length: 3 * area }, (_, k) => bytes[(k % 3) * area + Math.floor(k / 3)]);
      frames[camera] = [{ width: 64, height: 32, rgb }];
    }
    await recorded.close();
    const policy = await opened.policy!();
    for (const stop of [0, 3]) {
      policy.reset();
      const { actions } = await policy.act(
        { frames, state: new Float32Array(), prompt: item.prompt },
        { stop },
      );
      expect(relativeError(actions, subject.toData(one.get(stop)!, item)), `stop ${stop}`).toBeLessThan(1e-5);
    }
    policy.dispose();
    await subject.close();
    await opened.release();
  } finally {
    await rm(folder, { recursive: true });
  }
});
