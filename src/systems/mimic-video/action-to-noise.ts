/**
 * The inverse of the action sampler (lucidrains mimic-video `action_to_noise_latents`, from 0.5.6 on; docs/references.md, "actions to
 * noise"): the noise from which the flow would have led to given actions.
 *
 * An Euler step z′ = z + (1/M)·v(z, t) is solved for z by fixed-point iteration: z ← z′ − (1/M)·v(z, t), F times, the first time at z′
 * itself, for t = (M−1)/M down to 0. No step remembers another.
 *
 * Axes: B batch, n actions of width A, J robot state, S video tokens of width V, M steps, F iterations.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Pace } from "../../gpu/pace.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { assign } from "../../kernels/copy.ts";
import { axpy } from "../../kernels/elementwise.ts";
import type { ActionDecoder } from "../../networks/lucidrains-action/decoder.ts";
import { tokenRows } from "../../networks/lucidrains-action/times.ts";
import { countConditions } from "../../networks/lucidrains-action/tower.ts";
import { createTensor, readTensor, releaseTensor, type Shape, type Tensor } from "../../tensor/tensor.ts";
import { type ActionSampleInputs, idRows } from "./action-sampler.ts";

export interface ActionsToInvert extends Omit<ActionSampleInputs, "noise" | "towerHiddens" | "prefix"> {
  /** (B, n, A) in the caller's units, as the sampler returns them */
  readonly actions: Float32Array;
  readonly videoHiddens: readonly Float32Array[];
}

export interface InversionOptions {
  /** M, default 16 */
  readonly steps?: number;
  /** F, default 5 */
  readonly iterations?: number;
  readonly signal?: AbortSignal;
}

/**
 * The noise (B, n, A) of actions, in the network's units.
 * @throws UsageError for a network that predicts the clean action, whose flow is not defined at t = 1, or for sizes that do not fit
 */
export async function actionsToNoise(
  gpu: Gpu,
  decoder: ActionDecoder,
  inputs: ActionsToInvert,
  { steps: M = 16, iterations: F = 5, signal }: InversionOptions = {},
): Promise<Float32Array> {
  const { config, edition } = decoder;
  const { chunkLength: n, actionDim, jointDim, videoDim, bodyCondDim } = config;
  if (config.predictsClean)
    throw new UsageError(
      "the way from actions to noise needs a network that predicts the flow (model_output_clean = false)",
    );
  for (const [what, count, most] of [
    ["steps", M, edition.mostSteps],
    ["fixed-point iterations", F, Number.POSITIVE_INFINITY],
  ] as const) {
    if (!Number.isInteger(count) || count < 1 || count > most)
      throw new UsageError(`${count} ${what}; a whole number from 1 to ${most} is needed`);
  }
  const batch = inputs.jointState.length / jointDim;
  const freed: (() => void)[] = [];
  const upload = (shape: Shape, data: Float32Array | Uint32Array, label: string): Tensor => {
    const tensor = createTensor(gpu, shape, data, label);
    freed.push(() => releaseTensor(gpu, tensor));
    return tensor;
  };
  const recorded = async <T>(label: string, body: () => T): Promise<Replay<T>> => {
    const replay = await record(gpu, label, body);
    freed.push(() => replay.dispose());
    return replay;
  };
  try {
    const hiddens = inputs.videoHiddens.map((h) =>
      upload([batch, h.length / (batch * videoDim), videoDim], h, "video hiddens"),
    );
    const { contextMask, taskIds: tasks, advantageIds: advantages, bodyCond, videoTimes } = inputs;
    const mask =
      contextMask && upload([batch, hiddens[0].dim(1)], Uint32Array.from(contextMask), "context mask");
    const given = {
      taskIds: tasks && upload([batch], idRows("task", tasks, 0, config.taskIds), "task ids"),
      advantageRows:
        advantages &&
        upload([batch], idRows("advantage", advantages, 1, config.advantageIds + 1), "advantage ids"),
      bodyCond: bodyCond && upload([batch, bodyCondDim], bodyCond, "body"),
    };
    const jointState = upload([batch, jointDim], inputs.jointState, "joint state");
    const actions = upload([batch, n, actionDim], inputs.actions, "actions");
    const [z, target] = [0, 1].map(() => upload([batch, n, actionDim], inputs.actions, "noise"));
    const conditions = countConditions(config, given);
    const video = Array.from({ length: batch }, (_, b) => videoTimes?.[b] ?? 0);
    const times = decoder.createTimes(gpu, new Set(video).size, batch * (conditions + n));
    freed.push(() => times.release());

    const begin = await recorded("begin the inversion", () => {
      assign(z, decoder.normalize(actions));
      return decoder.prepareContext(hiddens, mask);
    });
    const hold = await recorded("next step", () => assign(target, z));
    const iterate = await recorded("fixed point", () => {
      const { flow } = decoder.forward({ actions: z, jointState, times, context: begin.outputs, ...given });
      assign(z, axpy(target, -1 / M, flow)); // z ← z′ − v / M
    });
    await begin.run();
    const pace = new Pace(gpu);
    for (let k = M - 1; k >= 0; k--) {
      const action = new Array<number>(batch).fill(k / M);
      times.write(tokenRows(action, video, n, conditions, "item"));
      await hold.run();
      for (let i = 0; i < F; i++) {
        signal?.throwIfAborted();
        await iterate.run();
        await pace.step();
      }
    }
    return await readTensor(gpu, z);
  } finally {
    for (const free of freed.reverse()) free();
  }
}
