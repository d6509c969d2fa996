/** Golden cases of the action model: one call, sampling, several views, the actor, state tokens. */
import type { Gpu } from "../gpu/gpu.ts";
import { UsageError } from "../errors.ts";
import { Actor } from "../networks/lucidrains-action/actor.ts";
import { type ActionConfig, readActionConfig } from "../networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../networks/lucidrains-action/decoder.ts";
import { StateEncoder } from "../networks/lucidrains-action/state-autoencoder.ts";
import { tokenRows } from "../networks/lucidrains-action/times.ts";
import { ActionTower } from "../networks/lucidrains-action/tower.ts";
import { idRows, sampleActions } from "../systems/mimic-video/action-sampler.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input, inputList } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";

const CONDITIONS = [/context_mask/, /task_ids/, /advantage_ids/, /time_video_denoise/];

const loaded = <T>(
  gpu: Gpu,
  golden: GoldenCase,
  build: (config: ActionConfig, w: WeightLoader) => T,
  body: (model: T, config: ActionConfig, run: CaseRun) => Promise<Values>,
): Promise<Values> => {
  const config = readActionConfig(golden.config, golden.name);
  return compute(
    gpu,
    golden,
    (w) => build(config, w),
    (model, run) => body(model, config, run),
  );
};

/** @throws UsageError unless the case captured as many layers as it says */
function checkLayers(golden: GoldenCase, given: number): void {
  const layers = golden.args.video_layers as number | undefined;
  if (layers !== undefined && layers !== given)
    throw new UsageError(`${golden.name}: ${given} video hiddens, but args.video_layers is ${layers}`);
}

/** Condition inputs on the GPU, ids checked and turned into rows. */
function conditionsOf(run: CaseRun, config: ActionConfig) {
  const { golden } = run;
  const ids = (name: string, what: string, offset: number, rows: number): Tensor | undefined => {
    const found = golden.inputs.get(name);
    return found && run.create(found.shape, idRows(what, found.data, offset, rows));
  };
  return {
    taskIds: ids("task_ids", "task", 0, config.taskIds),
    advantageRows: ids("advantage_ids", "advantage", 1, config.advantageIds + 1),
    mask: run.uploadIfGiven("context_mask"),
  };
}

/** Everything a call needs besides its actions, on the GPU. */
function prepareCall(run: CaseRun, decoder: ActionDecoder) {
  const { gpu, golden } = run;
  const { config } = decoder;
  const actions = run.upload("actions");
  const { mask, ...ids } = conditionsOf(run, config);
  const conditions = ActionTower.conditions(ids);
  const time = input(golden, "time");
  const batch = actions.dim(0);
  const video = golden.inputs.get("time_video_denoise")?.data ?? new Float32Array(batch);
  const per = time.shape.length === 2 ? "token" : "item";
  const action = time.shape.length === 0 ? new Float32Array(batch).fill(time.data[0]) : time.data;
  const rows = tokenRows(action, video, config.chunkLength, conditions, per);
  const times = decoder.createTimes(gpu, rows.pairs.length, rows.rowOf.length);
  run.onRelease(() => times.release());
  times.write(rows);
  return { actions, mask, inputs: { ...ids, times, jointState: run.upload("joint_state") } };
}

const actionForwardCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/actions/, /joint_state/, /time/, /video_hiddens\.\d+/, /previous_actions\.\d+/],
    ...CONDITIONS,
  ]);
  allowOnly(golden, "args", [/video_layers/, /previous_calls/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder, config, run) => {
    const hiddens = inputList(golden, "video_hiddens").map((h) => run.upload(h));
    checkLayers(golden, hiddens.length);
    const earlier = inputList(golden, "previous_actions").map((a) => run.upload(a));
    const expected = (golden.args.previous_calls as number | undefined) ?? earlier.length;
    if (expected !== earlier.length)
      throw new UsageError(
        `${golden.name}: ${earlier.length} previous_actions for ${expected} previous calls`,
      );
    const { actions, mask, inputs } = prepareCall(run, decoder);
    return run.values(() => {
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

const actionViewsCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/actions/, /joint_state/, /time/, /view_hiddens(\.\d+)?/, ...CONDITIONS]);
  allowOnly(golden, "args", [/video_layers/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder, _config, run) => {
    const given = golden.inputs.get("view_hiddens");
    const views = (given ? [given] : inputList(golden, "view_hiddens")).map((h) => run.upload(h));
    checkLayers(golden, views.length);
    const { actions, mask, inputs } = prepareCall(run, decoder);
    return run.values(() => {
      const merged = views.map((h) => decoder.mergeViews(h));
      const { flow } = decoder.forward({ ...inputs, actions, context: decoder.prepareContext(merged, mask) });
      return { flow };
    });
  });
};

const actionSampleCase: CaseRunner = (gpu, golden) => {
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

const actorCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    /joint_state/,
    /video_hiddens(\.\d+)?/,
    /context_mask/,
    /task_ids/,
    /advantage_ids/,
  ]);
  allowOnly(golden, "args", [/video_layers/]);
  const build = (config: ActionConfig, w: WeightLoader) => new Actor(config, w);
  return loaded(gpu, golden, build, async (actor, config, run) => {
    const given = golden.inputs.get("video_hiddens");
    const hiddens = (given ? [given] : inputList(golden, "video_hiddens")).map((h) => run.upload(h));
    checkLayers(golden, hiddens.length);
    const jointState = run.upload("joint_state");
    const { mask, ...ids } = conditionsOf(run, config);
    return run.values(() => {
      const context = actor.prepareContext(hiddens, mask);
      const { mean, logVariance } = actor.forward({ ...ids, jointState, context });
      return { mean, logvar: logVariance };
    });
  });
};

const stateTokensCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/video_hiddens(\.\d+)?/]);
  allowOnly(golden, "args", [/video_layers/]);
  const build = (config: ActionConfig, w: WeightLoader): StateEncoder => {
    if (!config.stateAutoencoder)
      throw new UsageError(`${golden.name}: the configuration has no state_autoencoder`);
    // The case may come with the rest of the model, which the encoder has no part in.
    w.ignore(/(?!state_autoencoder\.)/);
    return new StateEncoder(config.stateAutoencoder, w.within("state_autoencoder"));
  };
  return loaded(gpu, golden, build, async (encoder, { stateLayer }, run) => {
    const single = golden.inputs.get("video_hiddens");
    const given = single ?? inputList(golden, "video_hiddens").at(stateLayer);
    if (!given) throw new UsageError(`${golden.name}: input "video_hiddens" is missing`);
    const hidden = run.upload(given);
    return run.values(() => ({ state_tokens: encoder.forward(hidden) }));
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "mimic_video.forward": actionForwardCase,
  "mimic_video.sample": actionSampleCase,
  "mimic_video.multi_view": actionViewsCase,
  "mimic_video.actor": actorCase,
  "mimic_video.state_tokens": stateTokensCase,
};
