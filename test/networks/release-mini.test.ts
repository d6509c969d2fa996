/** The networks of the official release on its miniatures: context latents and every tapped hidden state of the reference. */
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { record } from "../../src/gpu/recording.ts";
import { cosmosConfigFromShapes } from "../../src/networks/cosmos/original-config.ts";
import { cosmosWeights } from "../../src/networks/cosmos/original-keys.ts";
import { CosmosTransformer } from "../../src/networks/cosmos/transformer.ts";
import { standardize } from "../../src/networks/vae.ts";
import { bf16LatentStatistics } from "../../src/networks/wan-vae/config.ts";
import { wanConfigFromShapes, wanWeights } from "../../src/networks/wan-vae/original-keys.ts";
import { WanVae } from "../../src/networks/wan-vae/vae.ts";
import { world2ActionConfig, world2ActionWeights } from "../../src/networks/world2action/config.ts";
import { World2ActionDecoder } from "../../src/networks/world2action/decoder.ts";
import { RandomState } from "../../src/sampling/random-state.ts";
import { sample } from "../../src/sampling/sample.ts";
import {
  SIGMA_MAX,
  VideoDenoiser,
  videoScheduler,
} from "../../src/systems/mimic-video-release/video-denoiser.ts";
import { readTensor } from "../../src/tensor/tensor.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { WeightLoader } from "../../src/weights/loader.ts";
import { openWeights } from "../../src/weights/open.node.ts";
import { roundedToBf16 } from "../../src/weights/rounded.ts";
import { release, testGpu, upload } from "../support/gpu.ts";
import { relativeError } from "../support/numbers.ts";

const root = fileURLToPath(new URL("../release-mini/", import.meta.url));
const inFolder = async (folder: string): Promise<string> =>
  `${folder}${(await readdir(folder)).find((name) => name.endsWith(".pt"))!}`;

interface Reference {
  readonly seeds: readonly number[];
  readonly stop_after_steps: readonly number[];
}

const contextFrames = 5;

/** Context latents of episode 0, as the release's tokenizer gives them. */
async function latentsOf(gpu: Gpu, folder: string): Promise<{ shape: number[]; data: Float32Array }> {
  const file = await openWeights(`${folder}video_backbone/tokenizer/tokenizer.pth`);
  const source = wanWeights(roundedToBf16(file));
  const config = wanConfigFromShapes(source.tensors);
  const loader = WeightLoader.from(gpu, source, { dtype: "bf16" });
  const vae = new WanVae(config, loader, "encoder");
  await loader.load();
  await file.close();
  const episodes = await openWeights(`${folder}episodes/episodes.safetensors`);
  const [, frames, channels, H, W] = episodes.tensors.get("video")!.shape;
  const bytes = (await episodes.read("video")).subarray(0, frames * channels * H * W);
  await episodes.close();
  // (frames, 3, H, W) → (3, frames, H, W)
  const pixels = Float32Array.from({ length: bytes.length }, (_, i) => {
    const [at, t, c] = [i % (H * W), Math.floor(i / (H * W)) % frames, Math.floor(i / (H * W * frames))];
    return 2 * (bytes[(t * channels + c) * H * W + at] / 255 - 0.5);
  });
  const video = upload(gpu, [1, channels, frames, H, W], pixels);
  const replay = await record(gpu, "encode", () =>
    standardize(vae.encode(video).mean, bf16LatentStatistics(config)),
  );
  await replay.run();
  const latents = { shape: [...replay.outputs.shape], data: await readTensor(gpu, replay.outputs) };
  replay.dispose();
  loader.release();
  release(gpu, video);
  return latents;
}

describe.each([
  ["bridge", 3],
  ["libero", 2],
])("the miniature %s", (name, layer) => {
  it("has the reference's latents and hidden states", { timeout: 300_000 }, async () => {
    const gpu = await testGpu();
    const folder = `${root}${name}/`;
    const stored = await openWeights(`${folder}reference/reference.safetensors`);
    const expected = async (key: string): Promise<Float32Array> => toFloat32(await stored.read(key), "F32");
    const { seeds, stop_after_steps: stops } = JSON.parse(
      await readFile(`${folder}reference/reference.json`, "utf8"),
    ) as Reference;
    const { future_frames: future } = JSON.parse(await readFile(`${folder}clip.json`, "utf8")) as {
      future_frames: number;
    };

    const context = await latentsOf(gpu, folder);
    expect(relativeError(context.data, await expected("0.latents"))).toBeLessThan(2e-5);

    const file = await openWeights(await inFolder(`${folder}video_backbone/`));
    const source = cosmosWeights(file);
    const config = cosmosConfigFromShapes(source.tensors);
    const loader = WeightLoader.from(gpu, source, { dtype: "bf16" });
    const transformer = new CosmosTransformer(config, loader);
    await loader.load();
    await file.close();
    const [, C, given, H, W] = context.shape;
    const T = 1 + (contextFrames + future - 1) / 4;
    const text = await expected("0.text");
    const padded = new Float32Array(512 * config.textDim);
    padded.set(text);
    const embeddings = upload(gpu, [1, 512, config.textDim], padded);
    const known = upload(gpu, context.shape, context.data);
    const prepared = await record(gpu, "text", () => transformer.textContext(embeddings));
    await prepared.run();
    const denoiser = new VideoDenoiser(gpu, transformer, {
      ...{ text: prepared.outputs, given: known, givenFrames: given, layer },
    });
    const noise = new RandomState(seeds[0]).standardNormal(C * T * H * W).map((x) => x * SIGMA_MAX);
    const x = upload(gpu, [1, C, T, H, W], noise);
    const constrain = denoiser.constrain.bind(denoiser);
    const last = Math.max(...stops);
    for await (const state of sample(gpu, denoiser, x, { scheduler: videoScheduler(), last, constrain })) {
      if (!stops.includes(state.step)) continue;
      const [hidden] = await state.tapped();
      const error = relativeError(await readTensor(gpu, hidden), await expected(`0.hidden.${state.step}`));
      expect(error, `hidden.${state.step}`).toBeLessThan(2e-5);
    }
    expect(relativeError(await readTensor(gpu, x), await expected("0.sample"))).toBeLessThan(2e-5);
    denoiser.dispose();
    prepared.dispose();
    loader.release();
    release(gpu, embeddings, known, x);
    await stored.close();
  });
});

it.each(["bridge", "libero", "lora"])("the decoder of the miniature %s fits", async (name) => {
  const file = await openWeights(await inFolder(`${root}${name}/action_decoder/`));
  const source = world2ActionWeights(file);
  const loader = WeightLoader.from(await testGpu(), source, { dtype: "bf16" });
  new World2ActionDecoder(world2ActionConfig(source.tensors), loader);
  loader.compare();
  await file.close();
});
