/** Golden cases of the official release's samplers: the video from noise, and actions on a video's hidden states. */
import { UsageError } from "../errors.ts";
import { readCosmosOriginalConfig } from "../networks/cosmos/original-config.ts";
import { cosmosWeights } from "../networks/cosmos/original-keys.ts";
import { CosmosTransformer } from "../networks/cosmos/transformer.ts";
import { world2ActionWeights } from "../networks/world2action/config.ts";
import { World2ActionDecoder } from "../networks/world2action/decoder.ts";
import { videoTime } from "../networks/world2action/times.ts";
import { sample } from "../sampling/sample.ts";
import { type Scheduler, stepsOf } from "../sampling/scheduler.ts";
import { ActionDenoiser, actionScheduler } from "../systems/mimic-video-release/action-denoiser.ts";
import { VideoDenoiser, videoScheduler } from "../systems/mimic-video-release/video-denoiser.ts";
import { readTensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type CaseTensor, type GoldenCase, input } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";
import { actionConfig } from "./official.ts";

/** The schedule with one more step behind it, to the clean estimate at the last noise level. */
function withCleanPass(scheduler: Scheduler): Scheduler {
  const steps = stepsOf(scheduler);
  return {
    ...scheduler,
    times: [...scheduler.times, 0],
    states: [...scheduler.states, steps + 1],
    step: (i) => (i < steps ? scheduler.step(i) : { predict: { clean: 1 } }),
  };
}

/** Frames before the last one that is not all zero, and that one. */
function givenFrames({ shape, data }: CaseTensor): number {
  const [B, C, T, H, W] = shape;
  let given = 0;
  for (let i = 0; i < B * C * T * H * W; i++)
    if (data[i] !== 0) given = Math.max(given, (Math.floor(i / (H * W)) % T) + 1);
  return given;
}

interface VideoSampleArgs {
  readonly steps: number;
  readonly stop_after_step?: number | null;
  readonly hidden_state_layer?: number | null;
  readonly sigma_max: number;
  readonly sigma_min: number;
  readonly rho: number;
}

const videoSampleCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/noise/, /condition_latents/, /crossattn_emb/]);
  allowOnly(golden, "args", [
    ...[/steps/, /stop_after_step/, /hidden_state_layer/, /sigma_max/, /sigma_min/, /rho/],
  ]);
  const config = readCosmosOriginalConfig(golden.config, golden.name);
  const args = golden.args as unknown as VideoSampleArgs;
  const stop = args.stop_after_step ?? undefined;
  const layer = args.hidden_state_layer ?? undefined;
  if (stop !== undefined && layer === undefined)
    throw new UsageError(`${golden.name}: stop_after_step ${stop} without hidden_state_layer`);
  const plain = videoScheduler(args.steps, args.sigma_max, args.sigma_min, args.rho);
  const build = (w: WeightLoader) => new CosmosTransformer(config, w);
  const body = async (transformer: CosmosTransformer, run: CaseRun): Promise<Values> => {
    const given = run.upload("condition_latents");
    const embeddings = run.upload("crossattn_emb");
    const { outputs: text } = await run.replay(() => transformer.textContext(embeddings));
    const denoiser = new VideoDenoiser(gpu, transformer, {
      ...{ text, given, layer: stop === undefined ? undefined : layer },
      givenFrames: givenFrames(input(golden, "condition_latents")),
    });
    run.onRelease(() => denoiser.dispose());
    const noise = input(golden, "noise");
    const x = run.create(
      noise.shape,
      noise.data.map((value) => value * args.sigma_max),
    );
    const values: Values = new Map();
    const trajectory: Float32Array[] = [];
    const scheduler = stop === undefined ? withCleanPass(plain) : plain;
    const constrain = denoiser.constrain.bind(denoiser);
    for await (const state of sample(gpu, denoiser, x, { scheduler, last: stop, constrain })) {
      // Every state that enters a step, and of a stopped run the one where it stops.
      if (state.step < args.steps) trajectory.push(await readTensor(gpu, x));
      if (state.step === stop) {
        values.set("hidden", await readTensor(gpu, (await state.tapped())[0]));
        values.set("sigma", Float32Array.of(state.time));
      }
    }
    if (stop === undefined) values.set("latents", await readTensor(gpu, x));
    return values.set("trajectory", joined(trajectory));
  };
  return compute(gpu, golden, build, body, cosmosWeights(golden.weights));
};

const actionSampleCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/state/, /noise/, /video_sigma/, /crossattn_emb/],
    ...[/state_(shift|scale|clamp_min|clamp_max)/, /action_(shift|scale)/],
  ]);
  allowOnly(golden, "args", [/steps/]);
  const { steps } = golden.args as { steps: number };
  const config = actionConfig(golden);
  const build = (w: WeightLoader) => new World2ActionDecoder(config, w);
  const body = async (decoder: World2ActionDecoder, run: CaseRun): Promise<Values> => {
    const hidden = run.upload("crossattn_emb");
    const { outputs: context } = await run.replay(() => decoder.prepareContext(hidden));
    const { shape } = input(golden, "state");
    const denoiser = new ActionDenoiser(gpu, decoder, {
      state: run.create(shape, normalisedState(golden)),
      context,
      videoTimes: Array.from(input(golden, "video_sigma").data, videoTime),
    });
    run.onRelease(() => denoiser.dispose());
    const x = run.upload("noise");
    const trajectory: Float32Array[] = [];
    for await (const { step } of sample(gpu, denoiser, x, { scheduler: actionScheduler(steps) }))
      if (step < steps) trajectory.push(await readTensor(gpu, x));
    const [shift, scale] = [repeated(golden, "action_shift"), repeated(golden, "action_scale")];
    const actions = (await readTensor(gpu, x)).map((value, i) => value / scale(i) + shift(i));
    return new Map([
      ["actions", actions],
      ["trajectory", joined(trajectory)],
    ]);
  };
  return compute(gpu, golden, build, body, world2ActionWeights(golden.weights));
};

/** clamp((state − shift) · scale) */
function normalisedState(golden: GoldenCase): Float32Array {
  const [shift, scale, low, high] = ["shift", "scale", "clamp_min", "clamp_max"].map((name) =>
    repeated(golden, `state_${name}`),
  );
  return input(golden, "state").data.map((value, i) =>
    Math.min(high(i), Math.max(low(i), (value - shift(i)) * scale(i))),
  );
}

/** An input that repeats over the leading axes of another, by the other's element. */
const repeated = (golden: GoldenCase, name: string): ((i: number) => number) => {
  const { data } = input(golden, name);
  return (i) => data[i % data.length];
};

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "official.video_sample": videoSampleCase,
  "official.action_sample": actionSampleCase,
};
