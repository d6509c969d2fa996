/** Golden cases of MeanFlow's networks: one evaluation, with all that the network is told. */
import { buildMeanFlowNetwork } from "../networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../networks/meanflow/config.ts";
import type { MeanFlowNetwork, StateTime, Told } from "../networks/meanflow/network.ts";
import { UsageError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input } from "./case.ts";
import { type CaseRun, compute } from "./compute.ts";

const TIMES: Readonly<Record<StateTime, string>> = { r: "0 noise, 1 data", t: "0 data, 1 noise" };

/** Inputs beside state and times, by what they are called in a case. */
const CONDITIONS = { y: "labels", omega: "omega", t_min: "tMin", t_max: "tMax", augment: "augment" } as const;

/** What a case tells the network besides the times. */
function conditions(golden: GoldenCase): Omit<Told, "r" | "t"> {
  const given = Object.entries(CONDITIONS).filter(([name]) => golden.inputs.has(name));
  return Object.fromEntries(given.map(([name, told]) => [told, input(golden, name).data]));
}

/** The network for states like the named input. */
function builder(golden: GoldenCase, states: string): (w: WeightLoader) => MeanFlowNetwork {
  const config = readMeanFlowConfig(golden.config, golden.name);
  const [rows = 1, columns = 1] = input(golden, states).shape.slice(2);
  return (w) => buildMeanFlowNetwork(config, w, [rows, columns]);
}

/** @throws UsageError when the case says another convention than the network has */
function checkConvention(golden: GoldenCase, { stateTime }: MeanFlowNetwork): void {
  const { time, state_time: at } = golden.args;
  if (at !== stateTime || time !== TIMES[stateTime])
    throw new UsageError(
      `${golden.name}: times "${String(time)}" with the state at ${String(at)}; this network's are "${TIMES[stateTime]}" with the state at ${stateTime}`,
    );
}

function uploadFeatures(run: CaseRun, network: MeanFlowNetwork, told: Told): Record<string, Tensor> {
  const features = Object.entries(network.features(told));
  return Object.fromEntries(features.map(([name, { shape, data }]) => [name, run.create(shape, data)]));
}

const forwardCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/x/, /r/, /t/, ...Object.keys(CONDITIONS).map((name) => new RegExp(name))]);
  allowOnly(golden, "args", [/time/, /state_time/]);
  return compute(gpu, golden, builder(golden, "x"), (network, run) => {
    checkConvention(golden, network);
    const told = { r: input(golden, "r").data, t: input(golden, "t").data, ...conditions(golden) };
    const [x, features] = [run.upload("x"), uploadFeatures(run, network, told)];
    return run.values(() => ({ ...network.forward(x, features) }));
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "meanflow.forward": forwardCase,
};
