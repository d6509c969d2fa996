/** Golden cases of MeanFlow: one evaluation of a network with all that it is told, and whole trajectories. */
import { buildMeanFlowNetwork } from "../networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../networks/meanflow/config.ts";
import type { MeanFlowNetwork, StateTime, Told } from "../networks/meanflow/network.ts";
import { interval, seedEuler } from "../sampling/meanflow.ts";
import { sample } from "../sampling/sample.ts";
import type { Scheduler } from "../sampling/scheduler.ts";
import { euler, meanFlow } from "../sampling/schedulers.ts";
import { meanFlowDenoiser } from "../systems/meanflow/denoiser.ts";
import { UsageError } from "../errors.ts";
import { readTensor, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, type GoldenCase, input, inputList } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";

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

/** Schedulers over the times of a case's grid, by the name of the rule. */
const RULES: Readonly<Record<string, (times: readonly number[]) => Scheduler>> = {
  average: meanFlow,
  instant: euler,
  "seed-euler": (times) => seedEuler(times.length - 1),
};

/** From the noise along every grid; every state is kept. */
const sampleCase: CaseRunner = (gpu, golden) => {
  const told = ["y", "omega", "t_min", "t_max"].map((name) => new RegExp(name));
  allowOnly(golden, "inputs", [/noise/, /grid\.\d+/, ...told]);
  allowOnly(golden, "args", [/time/, /state_time/, /rule/, /cfg_scale/]);
  const { rule, cfg_scale: scale } = golden.args;
  if (typeof rule !== "string" || !Object.hasOwn(RULES, rule))
    throw new UsageError(
      `${golden.name}: args.rule = ${JSON.stringify(rule)}; supported: ${Object.keys(RULES).join(", ")}`,
    );
  if (scale !== undefined && typeof scale !== "number")
    throw new UsageError(`${golden.name}: args.cfg_scale = ${JSON.stringify(scale)}, expected a number`);
  return compute(gpu, golden, builder(golden, "noise"), async (network, run) => {
    checkConvention(golden, network);
    if (rule === "seed-euler" && network.stateTime !== "r")
      throw new UsageError(`${golden.name}: the rule seed-euler belongs to networks with the state at r`);
    const { shape, data } = input(golden, "noise");
    const denoiser = meanFlowDenoiser(gpu, network, shape[0], conditions(golden), scale);
    run.onRelease(() => denoiser.dispose?.());
    const values: Values = new Map();
    for (const [i, grid] of inputList(golden, "grid").entries()) {
      const times = [...grid.data];
      interval({ at: times[0], until: times.at(-1) }, network.stateTime);
      const x = run.create(shape, data);
      const trajectory: number[] = [];
      for await (const { latents } of sample(gpu, denoiser, x, { scheduler: RULES[rule](times) }))
        trajectory.push(...(await readTensor(gpu, latents)));
      values.set(`trajectory.${i}`, Float32Array.from(trajectory));
    }
    return values;
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "meanflow.forward": forwardCase,
  "meanflow.sample": sampleCase,
};
