/** Golden cases of the action model: one call, sampling, several views, the actor, state tokens. */
import type { Gpu } from "../gpu/gpu.ts";
import { record } from "../gpu/recording.ts";
import { UsageError } from "../errors.ts";
import { Actor } from "../networks/lucidrains-action/actor.ts";
import { type ActionConfig, readActionConfig } from "../networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../networks/lucidrains-action/decoder.ts";
import { StateEncoder } from "../networks/lucidrains-action/state-autoencoder.ts";
import { tokenRows } from "../networks/lucidrains-action/times.ts";
import { ActionTower } from "../networks/lucidrains-action/tower.ts";
import { idRows, sampleActions } from "../systems/mimic-video/action-sampler.ts";
import { createTensor, type Tensor } from "../tensor/tensor.ts";
import { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input, inputList, readAll, upload } from "./case.ts";

const CONDITIONS = [/context_mask/, /task_ids/, /advantage_ids/, /time_video_denoise/];

/** The loader's weights, for as long as `body` runs. */
async function loaded<T>(
  gpu: Gpu,
  golden: GoldenCase,
  build: (config: ActionConfig, w: WeightLoader) => T,
  body: (model: T, config: ActionConfig) => Promise<Map<string, Float32Array>>,
): Promise<Map<string, Float32Array>> {
  const loader = WeightLoader.from(gpu, golden.weights, { dtype: golden.dtype });
  const config = readActionConfig(golden.config, golden.name);
  const model = build(config, loader);
  try {
    await loader.load();
    return await body(model, config);
  } finally {
    loader.release();
  }
}

/** Records, runs and reads `body`'s tensors. */
async function values(
  gpu: Gpu,
  golden: GoldenCase,
  body: () => Record<string, Tensor>,
): Promise<Map<string, Float32Array>> {
  const replay = await record(gpu, golden.name, body);
  await replay.run();
  const read = await readAll(gpu, replay.outputs);
  replay.dispose();
  return read;
}

/** @throws UsageError unless the case captured as many layers as it says */
function checkLayers(golden: GoldenCase, given: number): void {
  const layers = golden.args.video_layers as number | undefined;
  if (layers !== undefined && layers !== given)
    throw new UsageError(`${golden.name}: ${given} video hiddens, but args.video_layers is ${layers}`);
}

/** Condition inputs on the GPU, ids checked and turned into rows. */
function conditionsOf(gpu: Gpu, golden: GoldenCase, config: ActionConfig) {
  const ids = (name: string, what: string, offset: number, rows: number): Tensor | undefined => {
    const found = golden.inputs.get(name);
    return found && createTensor(gpu, found.shape, idRows(what, found.data, offset, rows), name);
  };
  return {
    taskIds: ids("task_ids", "task", 0, config.taskIds),
    advantageRows: ids("advantage_ids", "advantage", 1, config.advantageIds + 1),
    mask: golden.inputs.has("context_mask") ? upload(gpu, input(golden, "context_mask")) : undefined,
  };
}

/** Everything a call needs besides its actions, on the GPU. */
function prepareCall(gpu: Gpu, golden: GoldenCase, decoder: ActionDecoder) {
  const { config } = decoder;
  const actions = upload(gpu, input(golden, "actions"));
  const { mask, ...ids } = conditionsOf(gpu, golden, config);
  const conditions = ActionTower.conditions(ids);
  const time = input(golden, "time");
  const batch = actions.dim(0);
  const video = golden.inputs.get("time_video_denoise")?.data ?? new Float32Array(batch);
  const per = time.shape.length === 2 ? "token" : "item";
  const action = time.shape.length === 0 ? new Float32Array(batch).fill(time.data[0]) : time.data;
  const rows = tokenRows(action, video, config.chunkLength, conditions, per);
  const times = decoder.createTimes(gpu, rows.pairs.length, rows.rowOf.length);
  times.write(rows);
  return { actions, mask, inputs: { ...ids, times, jointState: upload(gpu, input(golden, "joint_state")) } };
}

export const actionForwardCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/actions/, /joint_state/, /time/, /video_hiddens\.\d+/, /previous_actions\.\d+/],
    ...CONDITIONS,
  ]);
  allowOnly(golden, "args", [/video_layers/, /previous_calls/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder, config) => {
    const hiddens = inputList(golden, "video_hiddens").map((h) => upload(gpu, h));
    checkLayers(golden, hiddens.length);
    const earlier = inputList(golden, "previous_actions").map((a) => upload(gpu, a));
    const expected = (golden.args.previous_calls as number | undefined) ?? earlier.length;
    if (expected !== earlier.length)
      throw new UsageError(
        `${golden.name}: ${earlier.length} previous_actions for ${expected} previous calls`,
      );
    const { actions, mask, inputs } = prepareCall(gpu, golden, decoder);
    return values(gpu, golden, () => {
      const context = decoder.prepareContext(hiddens, mask);
      let out: ReturnType<ActionDecoder["forward"]> | undefined;
      for (const a of [...earlier, actions])
        out = decoder.forward({ ...inputs, context, actions: a, memory: out?.memory });
      const { flow, embedded, memory } = out!;
      const layers = Array.from({ length: config.depth }, (_, i) => [
        `self_attn_kv.${i}`,
        decoder.rememberedKeysValues(memory, i),
      ]);
      return {
        flow,
        joint_state_latent: decoder.jointStateLatent(embedded),
        gru_hidden: memory.hidden,
        ...(Object.fromEntries(layers) as Record<string, Tensor>),
      };
    });
  });
};

export const actionViewsCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/actions/, /joint_state/, /time/, /view_hiddens(\.\d+)?/, ...CONDITIONS]);
  allowOnly(golden, "args", [/video_layers/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder) => {
    const given = golden.inputs.get("view_hiddens");
    const views = (given ? [given] : inputList(golden, "view_hiddens")).map((h) => upload(gpu, h));
    checkLayers(golden, views.length);
    const { actions, mask, inputs } = prepareCall(gpu, golden, decoder);
    return values(gpu, golden, () => {
      const merged = views.map((h) => decoder.mergeViews(h));
      const { flow } = decoder.forward({ ...inputs, actions, context: decoder.prepareContext(merged, mask) });
      return { flow };
    });
  });
};

export const actionSampleCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/noise_latents/, /joint_state/, /video_hiddens\.\d+/, /prefix_action_chunk/],
    ...CONDITIONS,
  ]);
  allowOnly(golden, "args", [/video_layers/, /steps/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder) => {
    const hiddens = inputList(golden, "video_hiddens");
    checkLayers(golden, hiddens.length);
    const noise = input(golden, "noise_latents").data;
    const { actions, iterates } = await sampleActions(
      gpu,
      decoder,
      {
        noise,
        jointState: input(golden, "joint_state").data,
        videoHiddens: hiddens.map((h) => h.data),
        videoTimes: golden.inputs.get("time_video_denoise")?.data,
        prefix: golden.inputs.get("prefix_action_chunk")?.data,
        contextMask: golden.inputs.get("context_mask")?.data,
        taskIds: golden.inputs.get("task_ids")?.data,
        advantageIds: golden.inputs.get("advantage_ids")?.data,
      },
      { steps: golden.args.steps as number | undefined },
    );
    // The case has the states that enter the steps, so not the last.
    const trajectory = iterates.subarray(0, iterates.length - noise.length);
    return new Map([
      ["actions", actions],
      ["trajectory", trajectory],
    ]);
  });
};

export const actorCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    /joint_state/,
    /video_hiddens(\.\d+)?/,
    /context_mask/,
    /task_ids/,
    /advantage_ids/,
  ]);
  allowOnly(golden, "args", [/video_layers/]);
  const build = (config: ActionConfig, w: WeightLoader) => new Actor(config, w);
  return loaded(gpu, golden, build, async (actor, config) => {
    const given = golden.inputs.get("video_hiddens");
    const hiddens = (given ? [given] : inputList(golden, "video_hiddens")).map((h) => upload(gpu, h));
    checkLayers(golden, hiddens.length);
    const jointState = upload(gpu, input(golden, "joint_state"));
    const { mask, ...ids } = conditionsOf(gpu, golden, config);
    return values(gpu, golden, () => {
      const context = actor.prepareContext(hiddens, mask);
      const { mean, logVariance } = actor.forward({ ...ids, jointState, context });
      return { mean, logvar: logVariance };
    });
  });
};

export const stateTokensCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/video_hiddens(\.\d+)?/]);
  allowOnly(golden, "args", [/video_layers/]);
  const build = (config: ActionConfig, w: WeightLoader): StateEncoder => {
    if (!config.stateAutoencoder)
      throw new UsageError(`${golden.name}: the configuration has no state_autoencoder`);
    // The case may come with the rest of the model, which the encoder has no part in.
    w.ignore(/(?!state_autoencoder\.)/);
    return new StateEncoder(config.stateAutoencoder, w.within("state_autoencoder"));
  };
  return loaded(gpu, golden, build, async (encoder, { stateLayer }) => {
    const single = golden.inputs.get("video_hiddens");
    const given = single ?? inputList(golden, "video_hiddens").at(stateLayer);
    if (!given) throw new UsageError(`${golden.name}: input "video_hiddens" is missing`);
    const hidden = upload(gpu, given);
    return values(gpu, golden, () => ({ state_tokens: encoder.forward(hidden) }));
  });
};
