/** Golden cases of LingBot-VA as a policy: its schedules, guidance, chunks with their history, and what the probe reads. */
import type { Gpu } from "../gpu/gpu.ts";
import { permute, slice } from "../kernels/copy.ts";
import { axpy, subtract } from "../kernels/elementwise.ts";
import { ConfigReader } from "../networks/config.ts";
import { readLingbotConfig } from "../networks/lingbot/config.ts";
import { LingbotTransformer } from "../networks/lingbot/transformer.ts";
import { unpatched } from "../networks/wan/head.ts";
import { readWanVaeConfig, WanVae } from "../networks/wan-vae/vae.ts";
import type { Tap } from "../probe/subject.ts";
import {
  actionGrid,
  actionTokens,
  chunkPositions,
  tokensOf,
  usedActions,
} from "../systems/lingbot-va/actions.ts";
import { type ChunkSurroundings, imagine, runChunk, tapOf } from "../systems/lingbot-va/chunk.ts";
import { readPolicyConfig } from "../systems/lingbot-va/config.ts";
import { EpisodeMemory, joinedFrames, type Latents } from "../systems/lingbot-va/memory.ts";
import { LingbotModel } from "../systems/lingbot-va/model.ts";
import { keyframeStep, prepareFrames } from "../systems/lingbot-va/observations.ts";
import { type Decoded, hidden, readOut } from "../systems/lingbot-va/read-out.ts";
import { scheduleOf, videoCalls } from "../systems/lingbot-va/schedule.ts";
import { ActionStatistics } from "../systems/lingbot-va/statistics.ts";
import { prepareText } from "../systems/lingbot-va/text-context.ts";
import { joined } from "../systems/arrays.ts";
import { copyTensor, readTensor, releaseTensor, type Tensor, writeTensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type CaseTensor, type GoldenCase, input } from "./case.ts";
import { CaseRun, compute, type Values } from "./compute.ts";

interface StreamArgs {
  readonly steps: number;
  readonly shift: number;
  readonly exec?: readonly number[];
}

const scheduleCase: CaseRunner = (_gpu, golden) => {
  allowOnly(golden, "inputs", [/none/]);
  allowOnly(golden, "args", [/video/, /action/]);
  const values: Values = new Map();
  for (const [stream, args] of Object.entries(golden.args as unknown as Record<string, StreamArgs>)) {
    const { sigmas, timesteps, increments } = scheduleOf(args.steps, args.shift);
    values.set(`${stream}.sigmas`, Float32Array.from(sigmas));
    values.set(`${stream}.timesteps`, Float32Array.from(timesteps));
    values.set(`${stream}.increments`, Float32Array.from(increments));
    for (const exec of args.exec ?? []) {
      const made = timesteps.slice(0, videoCalls(exec, args.steps).calls);
      values.set(`${stream}.timesteps.${exec}`, Float32Array.from(made));
    }
  }
  return Promise.resolve(values);
};

const guidanceCase: CaseRunner = async (gpu, golden) => {
  allowOnly(golden, "inputs", [/video_tokens/, /latents/, /action_tokens/, /actions/]);
  allowOnly(golden, "args", [/steps/, /index/, /shift/, /guidance_scale/]);
  const args = golden.args as Record<"steps" | "index" | "shift" | "guidance_scale", number>;
  const patchSize = new ConfigReader(golden.config, golden.name).numbers("patch_size", 3);
  const run = new CaseRun(gpu, golden);
  try {
    const [video, latents] = [run.upload("video_tokens"), run.upload("latents")];
    const [action, actions] = [run.upload("action_tokens"), run.upload("actions")];
    const [, , F, h, w] = latents.shape;
    const [, A, frames, n] = actions.shape;
    const increment = scheduleOf(args.steps, args.shift).increments[args.index];
    return await run.values(() => {
      const grid = [F, h / patchSize[1], w / patchSize[2]] as const;
      // The head's output, of which the reference makes a token a latent.
      const tokens = video.reshape(2, grid[0] * grid[1] * grid[2], -1);
      const rows = unpatched(tokens, grid, patchSize as [number, number, number]);
      const [prompt, empty] = [slice(rows, 0, 0, 1), slice(rows, 0, 1, 2)];
      const guided = axpy(empty, args.guidance_scale, subtract(prompt, empty));
      const velocity = permute(slice(action, 0, 0, 1).reshape(1, frames, n, A, 1), 0, 3, 1, 2, 4);
      return {
        ...{ guided, next: axpy(latents, increment, guided) },
        ...{ action_velocity: velocity, next_actions: axpy(actions, increment, velocity) },
      };
    });
  } finally {
    run.release();
  }
};

/** Opens a case's policy with so many cameras, its two texts prepared and its memory empty. */
function onPolicy(
  gpu: Gpu,
  golden: GoldenCase,
  cameras: number,
  body: (surroundings: ChunkSurroundings, run: CaseRun) => Promise<Values>,
): Promise<Values> {
  allowOnly(golden, "config", [/transformer/, /vae/, /policy/]);
  const policy = {
    ...readPolicyConfig(golden.config.policy, `${golden.name}, policy`),
    cameras: Array.from({ length: cameras }, (_, i) => `camera ${i}`),
  };
  const build = (w: WeightLoader) =>
    new LingbotModel(
      gpu,
      policy,
      new LingbotTransformer(
        readLingbotConfig(golden.config.transformer, golden.name),
        w.within("transformer"),
      ),
      new WanVae(readWanVaeConfig(golden.config.vae, golden.name), w.within("vae"), "encoder"),
    );
  return compute(gpu, golden, build, async (model, run) => {
    const texts = ["text", "text_negative"].map((name) => input(golden, name));
    // Used as they are: nothing is put behind them.
    const text = await prepareText(
      model,
      texts.map(({ data }) => data),
      texts[0].shape[1],
    );
    run.onRelease(() => text.dispose());
    const memory = new EpisodeMemory(model);
    run.onRelease(() => memory.dispose());
    return body({ model, memory, text }, run);
  });
}

/** Frames `from` to `to` of bytes (V, T, 3, H, W), as the encoder takes them. */
function frames(
  { config }: LingbotModel,
  { shape, data }: CaseTensor,
  from = 0,
  to = shape[1],
): Float32Array<ArrayBuffer> {
  const [V, T, C, H, W] = shape;
  const size = C * H * W;
  const some = new Uint8Array(V * (to - from) * size);
  for (let v = 0; v < V; v++)
    some.set(data.subarray((v * T + from) * size, (v * T + to) * size), v * (to - from) * size);
  return prepareFrames(some, [V, to - from, C, H, W], { size: config.frameSize, mirrored: config.mirrored });
}

const sampleCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/text(_negative)?/, /frames\.\d+/, /(video|action)_noise\.\d+/]);
  allowOnly(golden, "args", [/video_exec_steps/, /chunks/, /frames/]);
  const { video_exec_steps: execs, chunks } = golden.args as { video_exec_steps: number[]; chunks: number };
  const cameras = input(golden, "frames.0").shape[0];
  return onPolicy(gpu, golden, cameras, async (surroundings) => {
    const { model, memory, text } = surroundings;
    const values: Values = new Map();
    for (const [e, exec] of execs.entries()) {
      const first = await memory.begin(frames(model, input(golden, "frames.0")));
      if (e === 0) values.set("init_latent", first.values);
      let taken = new Float32Array();
      for (let c = 0; c < chunks; c++) {
        if (c > 0) {
          const seen = input(golden, `frames.${c}`);
          const latents = await memory.encode(frames(model, seen), seen.shape[1]);
          const observed = await memory.observe(latents, taken, text.branches);
          if (e === 0) values.set(`history_latents.${c}`, observed.values);
        }
        const noise = actionTokens(model, input(golden, `action_noise.${c}`).data);
        const chunk = await runChunk(surroundings, input(golden, `video_noise.${c}`).data, noise, {
          ...{ exec, trace: e === 0 },
        });
        taken = chunk.actions;
        values.set(`exec.${exec}.actions.${c}`, usedActions(model, chunk.actions, memory.start));
        values.set(`exec.${exec}.latents.${c}`, chunk.latents);
        if (e > 0) continue;
        const grids = chunk.entered.action.map((tokens) => actionGrid(model, tokens));
        values.set(`video_trajectory.${c}`, joined(chunk.entered.video));
        values.set(`action_trajectory.${c}`, joined(grids));
      }
    }
    return values;
  });
};

/** What the probe reads of one chunk, behind a recorded history. */
const probeCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/text(_negative)?/, /frames/, /actions/, /q01/, /q99/],
    ...[/(other_)?video_noise/, /action_noise/],
  ]);
  allowOnly(golden, "args", [/chunk/, /taps/]);
  const { chunk, taps } = golden.args as { chunk: number; taps: number[] };
  const recorded = input(golden, "frames");
  return onPolicy(gpu, golden, recorded.shape[0], async (surroundings, run) => {
    const { model, memory, text } = surroundings;
    const used = model.config.usedChannels.length;
    const [q01, q99] = ["q01", "q99"].map((name) => [...input(golden, name).data]);
    const statistics = new ActionStatistics({ q01, q99 }, used, golden.name);
    const actions = statistics.normalise(input(golden, "actions").data);
    const values: Values = new Map();

    let done = 0;
    await memory.begin(frames(model, recorded, 0, 1));
    const follow = (count: number): Promise<Latents> => encodeKeyframes(surroundings, recorded, done, count);
    for (let c = 0; c < chunk; c++) {
      const count = chunkPositions(model, memory.start);
      const own = tokensOf(model, actions.subarray(done * used, (done + count) * used), memory.start);
      await memory.observe(await follow(count), own, text.branches);
      done += count;
    }
    const positions = chunkPositions(model, memory.start);
    values.set("truth", actions.slice(done * used, (done + positions) * used));

    const noise = actionTokens(model, input(golden, "action_noise").data);
    const { sigmas } = scheduleOf(model.config.action.steps, model.config.action.shift);
    const read = async (kv: readonly Tensor[], hide = false): Promise<Decoded> => {
      const seen = run.create([1, model.tokens.video], new Float32Array(model.tokens.video).fill(1));
      const tap: Tap = [...kv, seen];
      if (hide) hidden(gpu, tap);
      const [decoded] = await readOut(model, [tap], [noise], model.config.action.steps, { memory, text }, {});
      return decoded;
    };
    const last = ({ states }: Decoded): Float32Array =>
      usedActions(model, states.subarray(states.length - noise.length), memory.start);
    const keep = (kv: readonly Tensor[]): Tensor[] =>
      kv.map((x) => {
        const own = run.create(x.shape);
        copyTensor(gpu, x, own);
        return own;
      });
    const release = (kv: readonly Tensor[]): void => kv.forEach((x) => releaseTensor(gpu, x));

    const N = model.config.video.steps;
    const video = scheduleOf(N, model.config.video.shift).sigmas;
    const trajectory: Float32Array[] = [];
    let whole: Tensor[] = [];
    for await (const state of imagine(surroundings, input(golden, "video_noise").data, { last: N })) {
      trajectory.push(await readTensor(gpu, state.latents));
      const [velocity] = await state.tapped();
      if (state.step === N) whole = keep(state.tap());
      if (!taps.includes(state.step)) continue;
      values.set(`tap.${state.step}.actions`, last(await read(state.tap())));
      const x = await readTensor(gpu, state.latents);
      const v = state.step < N ? await readTensor(gpu, velocity) : undefined;
      const jump = v ? x.map((value, i) => value - video[state.step] * v[i]) : x;
      values.set(`jump.${state.step}.latents`, jump);
      const kv = await tapOf(surroundings, run.create([1, ...model.latentShape], jump));
      values.set(`jump.${state.step}.actions`, last(await read(kv)));
      release(kv);
    }
    values.set("video_trajectory", joined(trajectory));
    const full = await read(whole);
    values.set("full.actions", last(full));
    const each = (all: Float32Array, k: number): Float32Array =>
      all.subarray(k * noise.length, (k + 1) * noise.length);
    const steps = [...sigmas, 0].map((sigma, k) => ({
      sigma,
      x: each(full.states, k),
      v: each(full.velocities, k),
    }));
    values.set("action_trajectory", joined(steps.map(({ x }) => actionGrid(model, x))));
    const jumps = steps.map(({ sigma, x, v }) => (sigma > 0 ? x.map((value, i) => value - sigma * v[i]) : x));
    values.set("action_jumps", joined(jumps.map((x) => actionGrid(model, x))));
    values.set("none.actions", last(await read(whole, true)));
    for (const x of whole) writeTensor(gpu, x, new Float32Array(x.size));
    values.set("zeroed.actions", last(await read(whole)));

    for await (const state of imagine(surroundings, input(golden, "other_video_noise").data, { last: N })) {
      if (state.step < N) continue;
      await state.tapped();
      values.set("other_noise.actions", last(await read(state.tap())));
    }
    const future = await follow(positions);
    const { given } = memory;
    const C = model.latentShape[0];
    const real = given ? joinedFrames({ frames: 1, values: Float32Array.from(given) }, future, C) : future;
    values.set("oracle.latents", real.values);
    const kv = await tapOf(surroundings, run.create([1, ...model.latentShape], real.values));
    values.set("oracle.actions", last(await read(kv)));
    release(kv);
    return values;
  });
};

/** Latents of the keyframes behind `count` actions from action `done` on; frame i is the one before action i. */
function encodeKeyframes(
  { model, memory }: ChunkSurroundings,
  recorded: CaseTensor,
  done: number,
  count: number,
): Promise<Latents> {
  const step = keyframeStep(model);
  const [V, T, C, H, W] = recorded.shape;
  const size = C * H * W;
  const keys = Array.from({ length: Math.floor(count / step) }, (_, i) => done + step * (i + 1));
  const some = new Float32Array(V * keys.length * size);
  for (let v = 0; v < V; v++)
    keys.forEach((t, i) =>
      some.set(
        recorded.data.subarray((v * T + t) * size, (v * T + t + 1) * size),
        (v * keys.length + i) * size,
      ),
    );
  const shape = [V, keys.length, C, H, W];
  return memory.encode(frames(model, { ...recorded, shape, data: some }), keys.length);
}

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "lingbot.schedule": scheduleCase,
  "lingbot.guidance": guidanceCase,
  "lingbot.sample": sampleCase,
  "lingbot.probe": probeCase,
};
