/** Golden cases of the action model: one call, sampling and its inverse, several views, the actor, state tokens. */
import type { Gpu } from "../gpu/gpu.ts";
import { UsageError } from "../errors.ts";
import { Actor } from "../networks/lucidrains-action/actor.ts";
import { type ActionConfig, readActionConfig } from "../networks/lucidrains-action/config.ts";
import { ActionDecoder } from "../networks/lucidrains-action/decoder.ts";
import { StateEncoder } from "../networks/lucidrains-action/state-autoencoder.ts";
import { tokenRows } from "../networks/lucidrains-action/times.ts";
import { countConditions } from "../networks/lucidrains-action/tower.ts";
import { idRows, sampleActions } from "../systems/mimic-video/action-sampler.ts";
import { actionsToNoise } from "../systems/mimic-video/action-to-noise.ts";
import { readTensor, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input, inputList } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";

const CONDITIONS = [/context_mask/, /task_ids/, /advantage_ids/, /body_cond/, /time_video_denoise/];

/** The cases that name no package are of this version. */
const VERSION = "0.3.10";

/** The case's configuration, with the package's version where it states no gate bias. @throws FormatError, UsageError */
export function actionConfigOf({ config, args, name, reference }: GoldenCase): ActionConfig {
  const [, version = VERSION] = /^mimic-video (\S+)$/.exec(reference?.package ?? "") ?? [];
  const stated = config.ada_ln_zero_bias === undefined ? { _mimic_video_version: version } : {};
  return readActionConfig({ ...stated, ...config }, name, args.body_id as number | undefined);
}

const loaded = <T>(
  gpu: Gpu,
  golden: GoldenCase,
  build: (config: ActionConfig, w: WeightLoader) => T,
  body: (model: T, config: ActionConfig, run: CaseRun) => Promise<Values>,
): Promise<Values> => {
  const config = actionConfigOf(golden);
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
    bodyCond: run.uploadIfGiven("body_cond"),
    mask: run.uploadIfGiven("context_mask"),
  };
}

/** The same on the CPU, for what uploads them itself. */
function conditionValues({ inputs }: GoldenCase) {
  return {
    videoTimes: inputs.get("time_video_denoise")?.data,
    contextMask: inputs.get("context_mask")?.data,
    taskIds: inputs.get("task_ids")?.data,
    advantageIds: inputs.get("advantage_ids")?.data,
    bodyCond: inputs.get("body_cond")?.data,
  };
}

/** Everything a call needs besides its actions, on the GPU. */
export function prepareCall(run: CaseRun, decoder: ActionDecoder) {
  const { gpu, golden } = run;
  const { config } = decoder;
  const actions = run.upload("actions");
  const { mask, ...ids } = conditionsOf(run, config);
  const conditions = countConditions(config, ids);
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
  allowOnly(golden, "args", [/video_layers/, /previous_calls/, /body_id/]);
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
  allowOnly(golden, "inputs", [
    ...[/actions/, /joint_state/, /time/, /view_hiddens(\.\d+)?/, /view_mask/],
    ...CONDITIONS,
  ]);
  allowOnly(golden, "args", [/video_layers/, /body_id/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder, config, run) => {
    const given = golden.inputs.get("view_hiddens");
    const views = (given ? [given] : inputList(golden, "view_hiddens")).map((h) => run.upload(h));
    checkLayers(golden, views.length);
    const { actions, mask: whole, inputs } = prepareCall(run, decoder);
    // (B·views, S), the view fastest, is (B, views·S).
    const ofViews = run.uploadIfGiven("view_mask");
    if (whole && ofViews)
      throw new UsageError(`${golden.name}: context_mask and view_mask exclude one another`);
    const mask = whole ?? ofViews?.reshape(actions.dim(0), config.views * ofViews.dim(-1));
    return run.values(() => {
      const merged = views.map((h) => decoder.mergeViews(h));
      const { flow } = decoder.forward({ ...inputs, actions, context: decoder.prepareContext(merged, mask) });
      return { flow };
    });
  });
};

const actionSampleCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    ...[/noise_latents/, /joint_state/, /video_hiddens\.\d+/, /tower_hiddens/, /prefix_action_chunk/],
    ...CONDITIONS,
  ]);
  allowOnly(golden, "args", [/video_layers/, /steps/, /num_cached_steps/, /body_id/, /tower_calls/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder) => {
    const tower = golden.inputs.get("tower_hiddens"); // (M, B, S, V)
    const hiddens = tower ? [tower] : inputList(golden, "video_hiddens");
    checkLayers(golden, hiddens.length);
    const each = tower && tower.data.length / tower.shape[0];
    const noise = input(golden, "noise_latents").data;
    const prefix = golden.inputs.get("prefix_action_chunk");
    const flows: number[] = [];
    const { actions, iterates } = await sampleActions(
      gpu,
      decoder,
      {
        ...{ noise, prefix: prefix?.data, jointState: input(golden, "joint_state").data },
        ...(tower
          ? { towerHiddens: (step) => [tower.data.subarray(step * each!, (step + 1) * each!)] }
          : { videoHiddens: hiddens.map((h) => h.data) }),
        ...conditionValues(golden),
      },
      {
        steps: golden.args.steps as number | undefined,
        memory: golden.args.num_cached_steps as number | undefined,
        onStep: async ({ flow }) => {
          flows.push(...behind(await readTensor(gpu, flow), flow.shape, prefix?.shape[1] ?? 0));
        },
      },
    );
    return new Map([
      ["actions", actions],
      // The case has the states that enter the steps, so not the last.
      ["trajectory", iterates.subarray(0, iterates.length - noise.length)],
      ["flow", Float32Array.from(flows)],
    ]);
  });
};

/** Values (B, n, A) without the first p of n. */
function behind(values: Float32Array, [B, n, A]: readonly number[], p: number): number[] {
  return Array.from({ length: B }, (_, b) => [...values.subarray((b * n + p) * A, (b + 1) * n * A)]).flat();
}

const actionToNoiseCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/actions/, /joint_state/, /video_hiddens\.\d+/, ...CONDITIONS]);
  allowOnly(golden, "args", [/video_layers/, /steps/, /inversion_fixed_point_steps/, /body_id/]);
  const build = (config: ActionConfig, w: WeightLoader) => new ActionDecoder(config, w);
  return loaded(gpu, golden, build, async (decoder) => {
    const hiddens = inputList(golden, "video_hiddens");
    checkLayers(golden, hiddens.length);
    const noise = await actionsToNoise(
      gpu,
      decoder,
      {
        actions: input(golden, "actions").data,
        jointState: input(golden, "joint_state").data,
        videoHiddens: hiddens.map((h) => h.data),
        ...conditionValues(golden),
      },
      {
        steps: golden.args.steps as number | undefined,
        iterations: golden.args.inversion_fixed_point_steps as number | undefined,
      },
    );
    return new Map([["noise_latents", noise]]);
  });
};

const actorCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [
    /joint_state/,
    /video_hiddens(\.\d+)?/,
    /context_mask/,
    /task_ids/,
    /advantage_ids/,
    /body_cond/,
  ]);
  allowOnly(golden, "args", [/video_layers/, /body_id/]);
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
  allowOnly(golden, "args", [/video_layers/, /body_id/]);
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
  "mimic_video.action_to_noise": actionToNoiseCase,
  "mimic_video.multi_view": actionViewsCase,
  "mimic_video.actor": actorCase,
  "mimic_video.state_tokens": stateTokensCase,
};
