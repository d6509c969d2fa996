/**
 * Golden cases of one call from raw video: the tower's single pass, what of it the actions attend to, their flow.
 *
 * Axes: B batch, f latent frames of the video, F imagined ones, C channels, H and W latent rows and columns, V width of hidden states.
 */
import { UsageError } from "../errors.ts";
import { permute } from "../kernels/copy.ts";
import { CosmosVae } from "../networks/cosmos-vae/vae.ts";
import { readCosmosVaeConfig } from "../networks/cosmos-vae/config.ts";
import { readCosmosTransformerConfig, widthOf } from "../networks/cosmos/config.ts";
import { timestepSinusoids } from "../networks/cosmos/timesteps.ts";
import { CosmosTransformer } from "../networks/cosmos/transformer.ts";
import { ActionDecoder } from "../networks/lucidrains-action/decoder.ts";
import { attendedTokens, leadingFrames } from "../systems/mimic-video/context-frames.ts";
import { frameTimes, noisedFrames } from "../systems/mimic-video/single-pass.ts";
import { SINGLE_PASS_TIMESTEP, thousandfold, VideoTower } from "../systems/mimic-video/video-tower.ts";
import { readTensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input } from "./case.ts";
import { compute, type Values } from "./compute.ts";
import { actionConfigOf, prepareCall } from "./lucidrains-action.ts";

const videoForwardCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/video/, /encoder_hidden_states/, /latents_mean/, /latents_std/, /noise/, /video_frames_mask/],
    ...[/actions/, /joint_state/, /time/, /time_video_denoise/, /task_ids/, /advantage_ids/, /body_cond/],
  ]);
  allowOnly(golden, "args", [/context_frames/, /predict_num_future_latents/, /extract_layers/, /body_id/]);
  const { transformer: transformerConfig, vae: vaeConfig, ...action } = golden.config;
  const config = actionConfigOf({ ...golden, config: action });
  const build = (w: WeightLoader) => {
    const wrapper = w.within("video_predict_wrapper");
    return {
      transformer: new CosmosTransformer(
        readCosmosTransformerConfig(transformerConfig, "transformer"),
        wrapper.within("transformer"),
      ),
      vae: new CosmosVae(readCosmosVaeConfig(vaeConfig, "vae"), wrapper.within("vae"), "encoder"),
      decoder: new ActionDecoder(config, w),
    };
  };
  return compute(gpu, golden, build, async ({ transformer, vae, decoder }, run) => {
    const extractLayers = [...(golden.args.extract_layers as number[])].sort((a, b) => a - b);
    const tower = new VideoTower(vae, transformer, {
      latentsMean: [...input(golden, "latents_mean").data],
      latentsStd: [...input(golden, "latents_std").data],
      extractLayers,
      timestepOf: thousandfold,
    });
    const [video, text, noise] = ["video", "encoder_hidden_states", "noise"].map((name) => run.upload(name));
    const { outputs: z } = await run.replay(() => tower.encode(permute(video, 0, 2, 1, 3, 4))); // (B, C, f, H, W)
    const [B, , f, H, W] = z.shape;
    const imagined = (golden.args.predict_num_future_latents as number | undefined) ?? 0;
    const kept = attendedFrames(golden, vae.config.temporalCompression, B, f);
    const taus = golden.inputs.get("time_video_denoise")?.data ?? new Float32Array(B);
    const times = frameTimes({ kept, frames: f, imagined, taus });

    // Distinct times are few, but so are frames: each frame of the batch has a row of its own.
    const timesteps = times
      .flat()
      .map((tau) => (imagined > 0 && tau === 1 ? SINGLE_PASS_TIMESTEP : thousandfold(tau)));
    const width = widthOf(transformer.config);
    const sinusoids = run.create([timesteps.length, width], timestepSinusoids(timesteps, width));
    const [, ph, pw] = transformer.config.patchSize;
    const tokensOfFrame = (H * W) / (ph * pw);
    const masks = kept?.map((frames) => attendedTokens(frames, imagined, tokensOfFrame));
    const mask =
      masks &&
      run.create([B, (f + imagined) * tokensOfFrame], Uint32Array.from(masks.flatMap((m) => [...m])));
    const call = prepareCall(run, decoder);
    const { latents, tapped, flow } = (
      await run.replay(() => {
        const x = noisedFrames(z, noise, times, imagined);
        const { captured } = transformer.forward({
          ...{ latents: x, text: transformer.textContext(text), sinusoids },
          rowOfFrame: Uint32Array.from({ length: B * (f + imagined) }, (_, i) => i),
          ...{ capture: extractLayers, velocity: false },
        });
        const hiddens = extractLayers.map((layer) => captured.get(layer)!); // (B, S, V)
        const context = decoder.prepareContext(hiddens, mask);
        return {
          ...{ latents: x, tapped: hiddens },
          flow: decoder.forward({ ...call.inputs, actions: call.actions, context }).flow,
        };
      })
    ).outputs;
    const values: Values = new Map([
      ["latents", await readTensor(gpu, latents)],
      ["timesteps", Float32Array.from(timesteps.slice(0, f + imagined))],
      ["flow", await readTensor(gpu, flow)],
    ]);
    for (const [i, hidden] of tapped.entries()) {
      const read = await readTensor(gpu, hidden);
      values.set(tapped.length === 1 ? "hidden" : `hidden.${extractLayers[i]}`, read);
    }
    if (masks) values.set("context_mask", Float32Array.from(masks.flatMap((m) => [...m])));
    return values;
  });
};

/** Per item which latent frames are attended to; undefined where nothing says so. @throws UsageError for two answers, or of another length */
function attendedFrames(
  golden: GoldenCase,
  compression: number,
  B: number,
  f: number,
): boolean[][] | undefined {
  const pixels = (golden.args.context_frames as number | undefined) ?? 0;
  const given = golden.inputs.get("video_frames_mask");
  if (pixels > 0 && given)
    throw new UsageError(`${golden.name}: context_frames and video_frames_mask exclude one another`);
  if (pixels > 0) return Array.from({ length: B }, () => leadingFrames(pixels, compression, f));
  if (!given) return undefined;
  if (given.shape.at(-1) !== f)
    throw new UsageError(
      `${golden.name}: video_frames_mask is for ${given.shape.at(-1)} latent frames, the video has ${f}`,
    );
  const all = Array.from(given.data, Boolean);
  return Array.from({ length: B }, (_, b) =>
    given.shape.length === 2 ? all.slice(b * f, (b + 1) * f) : all,
  );
}

export const kinds: Readonly<Record<string, CaseRunner>> = { "mimic_video.video_forward": videoForwardCase };
