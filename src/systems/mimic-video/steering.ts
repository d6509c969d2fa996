/**
 * Flow steering (lucidrains mimic-video `FlowSteering.sample`; docs/references.md, "steering"): an actor chooses the noise, the action
 * decoder follows its flow from there. Both see the same hidden states.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record } from "../../gpu/recording.ts";
import { add } from "../../kernels/elementwise.ts";
import type { Actor } from "../../networks/lucidrains-action/actor.ts";
import type { ActionDecoder } from "../../networks/lucidrains-action/decoder.ts";
import { createTensor, readTensor, releaseTensor, type Shape, type Tensor } from "../../tensor/tensor.ts";
import { type ActionSampleInputs, type ActionSamples, idRows, sampleActions } from "./action-sampler.ts";

export interface SteeringInputs extends Omit<ActionSampleInputs, "noise" | "towerHiddens"> {
  readonly videoHiddens: readonly Float32Array[];
  /** (B, n, A) from the standard Gaussian: the actor's own draw */
  readonly draw: Float32Array<ArrayBuffer>;
  /** (B, n, A) added to the steered noise, to explore */
  readonly exploration?: Float32Array<ArrayBuffer>;
}

export interface SteeredSamples extends ActionSamples {
  /** (B, n, A) the noise that the actor chose, exploration included */
  readonly noise: Float32Array;
}

/**
 * Samples actions from steered noise: z = mean + e^(½·logVariance) · draw + exploration.
 * @throws UsageError when sizes do not fit, or for a prefix, which the reference's steering does not take
 */
export async function sampleSteered(
  gpu: Gpu,
  actor: Actor,
  decoder: ActionDecoder,
  inputs: SteeringInputs,
  options: Parameters<typeof sampleActions>[3] = {},
): Promise<SteeredSamples> {
  const { draw, exploration, ...rest } = inputs;
  if (rest.prefix)
    throw new UsageError("flow steering takes no prefix: the actor chooses the whole chunk's noise");
  const { chunkLength, actionDim, jointDim, videoDim, taskIds, advantageIds, bodyCondDim } = decoder.config;
  const batch = draw.length / (chunkLength * actionDim);
  const made: Tensor[] = [];
  const upload = (shape: Shape, data: Float32Array | Uint32Array, label: string): Tensor => {
    const tensor = createTensor(gpu, shape, data, label);
    made.push(tensor);
    return tensor;
  };
  try {
    const chunk = [batch, chunkLength, actionDim];
    const hiddens = rest.videoHiddens.map((h) =>
      upload([batch, h.length / (batch * videoDim), videoDim], h, "video hiddens"),
    );
    const { contextMask, taskIds: tasks, advantageIds: advantages, bodyCond } = rest;
    const given = {
      jointState: upload([batch, jointDim], rest.jointState, "joint state"),
      taskIds: tasks && upload([batch], idRows("task", tasks, 0, taskIds), "task ids"),
      advantageRows:
        advantages && upload([batch], idRows("advantage", advantages, 1, advantageIds + 1), "advantage ids"),
      bodyCond: bodyCond && upload([batch, bodyCondDim], bodyCond, "body"),
    };
    const mask =
      contextMask && upload([batch, hiddens[0].dim(1)], Uint32Array.from(contextMask), "context mask");
    const drawn = upload(chunk, draw, "draw");
    const more = exploration && upload(chunk, exploration, "exploration");
    const replay = await record(gpu, "steer the noise", () => {
      const noise = actor.steer(
        actor.forward({ ...given, context: actor.prepareContext(hiddens, mask) }),
        drawn,
      );
      return more ? add(noise, more) : noise;
    });
    await replay.run();
    const noise = await readTensor(gpu, replay.outputs);
    replay.dispose();
    return { ...(await sampleActions(gpu, decoder, { ...rest, noise }, options)), noise };
  } finally {
    for (const tensor of made) releaseTensor(gpu, tensor);
  }
}
