/** What made a result, as every document of this project says it. */
import type { ProbeProvenance } from "../experiment/measurement.ts";
import type { TrainedOn } from "../subject.ts";

export interface MadeBy {
  /** One sentence on what the weights are and what must not be concluded; never empty. */
  statement: string;
  model: {
    name: string;
    revision: string;
    weights_sha256: string;
    trained_on: TrainedOn;
    system: string;
    /** What decides the numbers besides the weights, such as the policy. */
    stamp: Readonly<Record<string, string>>;
  };
  device: { name: string; driver: string; adapter: string; software: boolean };
  dtype: string;
  /** Project, node, webgpu. */
  versions: Record<string, string>;
}

/** Of a provenance, what is no part of the data. */
export type Maker = Pick<ProbeProvenance, "model" | "device" | "dtype" | "versions">;

const STATEMENTS: Record<TrainedOn, string> = {
  random:
    "Random weights: nothing was learned. The curves show the arithmetic of the sampler and say nothing about any task.",
  toy: "Trained on a toy world: the numbers are true of this toy and say nothing about robots.",
  pretrained:
    "Pretrained weights, open loop: errors against recorded actions say nothing about success when the robot acts.",
};

/** The same where what is read is no robot's action. */
const STATEMENTS_ELSEWHERE: Record<TrainedOn, string> = {
  random: STATEMENTS.random,
  toy: "Trained on a toy data set: the numbers are true of this toy and say nothing about large models.",
  pretrained:
    "Pretrained weights: distances to real samples say how alike the sets are, and nothing about what a person sees in one sample.",
};

/**
 * The sentence that stands on every figure and in every file.
 * @param elsewhere whether what is read is no robot's action
 */
export function statementOf(trainedOn: TrainedOn, elsewhere = false): string {
  return (elsewhere ? STATEMENTS_ELSEWHERE : STATEMENTS)[trainedOn];
}

/** The same for a run. */
export const madeBy = ({ model, device, dtype, versions }: Maker, elsewhere = false): MadeBy => ({
  statement: statementOf(model.trainedOn, elsewhere),
  model: {
    name: model.name,
    revision: model.revision,
    weights_sha256: model.weightsSha256,
    trained_on: model.trainedOn,
    system: model.system,
    stamp: model.stamp,
  },
  device: { name: device.name, driver: device.driver, adapter: device.adapter, software: device.software },
  dtype,
  versions: Object.fromEntries(Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1))),
});
