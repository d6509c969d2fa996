/** Golden cases of MeanFlow: one evaluation of a network with all that it is told, whole trajectories, derivatives, and the loss. */
import { buildMeanFlowNetwork } from "../networks/meanflow/build.ts";
import { readMeanFlowConfig } from "../networks/meanflow/config.ts";
import { MeanFlowEvaluator } from "../networks/meanflow/evaluator.ts";
import type { MeanFlowNetwork, StateTime, Told } from "../networks/meanflow/network.ts";
import { interval, seedEuler } from "../sampling/meanflow.ts";
import {
  type Convention,
  type FoldedGuidance,
  identityResiduals,
  identityTarget,
} from "../sampling/meanflow-measures.ts";
import { sample } from "../sampling/sample.ts";
import type { Scheduler } from "../sampling/scheduler.ts";
import { euler, meanFlow } from "../sampling/schedulers.ts";
import { meanFlowDenoiser } from "../systems/meanflow/denoiser.ts";
import { evaluateLoss } from "../systems/meanflow/loss.ts";
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

/** Directions of (x, r, t) besides v; the one that does not belong to the state's time gives a wrong derivative, and is an output too. */
const DIRECTIONS = { "du.v01": [0, 1], "du.v00": [0, 0], "du.v10": [1, 0] } as const;

/** Derivatives of u in three directions, and what the identity leaves over with the right one. */
const jvpCase: CaseRunner = (gpu, golden) => {
  const told = [/x/, /v/, /r/, /t/, ...Object.keys(CONDITIONS).map((name) => new RegExp(name))];
  allowOnly(golden, "inputs", told);
  allowOnly(golden, "args", [/time/, /state_time/]);
  return compute(gpu, golden, builder(golden, "x"), async (network, run) => {
    checkConvention(golden, network);
    const { stateTime } = network;
    const times = { r: input(golden, "r").data, t: input(golden, "t").data };
    const evaluator = new MeanFlowEvaluator(gpu, network, { ...times, ...conditions(golden) });
    run.onRelease(() => evaluator.dispose());
    const [x, v] = [input(golden, "x").data, input(golden, "v").data];
    const [batch] = input(golden, "x").shape;
    const all = (rate: number): number[] => new Array<number>(batch).fill(rate);
    const values: Values = new Map();
    for (const [name, [r, t]] of Object.entries(DIRECTIONS)) {
      const direction = { x: v, rates: { r: all(r), t: all(t) } };
      const { u, du } = await evaluator.derivative(x, { ...times, ...conditions(golden) }, direction);
      values.set("u", u).set(name, du);
      if ((stateTime === "t" ? t : r) === 0) continue;
      const target = identityTarget(v, du, times, stateTime);
      values.set("residual", Float32Array.from(identityResiduals(u, target, batch)));
    }
    return values;
  });
};

/** @throws UsageError when the argument is not a number */
function number(golden: GoldenCase, name: string, otherwise?: number): number {
  const value = golden.args[name] ?? otherwise;
  if (typeof value === "number") return value;
  throw new UsageError(`${golden.name}: args.${name} = ${JSON.stringify(value)}, expected a number`);
}

/** The guidance folded in, if any; either factor may be left out, and the interval, which is everything then. */
function foldedGuidance(golden: GoldenCase): FoldedGuidance | undefined {
  const { omega, kappa, interval: between = [0, 1] } = golden.args;
  if (omega === undefined && kappa === undefined) return undefined;
  if (!Array.isArray(between) || between.length !== 2 || between.some((end) => typeof end !== "number"))
    throw new UsageError(`${golden.name}: args.interval = ${JSON.stringify(between)}, expected two numbers`);
  return {
    ...{ omega: number(golden, "omega", 1), kappa: number(golden, "kappa", 0) },
    interval: between as unknown as readonly [number, number],
  };
}

/** The convention of the loss, which may be another than the network's. */
function lossConvention(golden: GoldenCase): Convention {
  const { time, state_time: stateTime } = golden.args;
  const known = Object.values(TIMES).includes(String(time));
  if ((stateTime !== "r" && stateTime !== "t") || !known)
    throw new UsageError(
      `${golden.name}: times "${String(time)}" with the state at ${String(stateTime)}; known: ${Object.values(TIMES).join("; ")}; r, t`,
    );
  return { stateTime, noiseAt: time === TIMES.t ? 1 : 0 };
}

/** The loss of pairs of data and noise, with all that it is made of. */
const lossCase: CaseRunner = (gpu, golden) => {
  const told = [/data/, /noise/, /r/, /t/, ...Object.keys(CONDITIONS).map((name) => new RegExp(name))];
  allowOnly(golden, "inputs", told);
  const options = [/power/, /constant/, /form/, /omega/, /kappa/, /interval/];
  allowOnly(golden, "args", [/time/, /state_time/, ...options]);
  const { form = "sum" } = golden.args;
  if (form !== "sum" && form !== "squared")
    throw new UsageError(`${golden.name}: args.form = ${JSON.stringify(form)}; supported: sum, squared`);
  return compute(gpu, golden, builder(golden, "data"), async (network, run) => {
    const times = { r: input(golden, "r").data, t: input(golden, "t").data };
    const all = { ...times, ...conditions(golden) };
    const evaluator = new MeanFlowEvaluator(gpu, network, all);
    run.onRelease(() => evaluator.dispose());
    const parts = await evaluateLoss(
      evaluator,
      input(golden, "data").data,
      input(golden, "noise").data,
      all,
      {
        ...{ power: number(golden, "power"), constant: number(golden, "constant"), form },
        ...{ convention: lossConvention(golden), guidance: foldedGuidance(golden) },
      },
    );
    const { z, v, guidedV, u, du, target, squaredError, loss } = parts;
    return new Map(
      Object.entries({
        ...{ z, v, u, du, target, squared_error: squaredError, loss: [loss] },
        ...(guidedV && { guided_v: guidedV }),
      }).map(([name, numbers]) => [name, Float32Array.from(numbers)]),
    );
  });
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "meanflow.forward": forwardCase,
  "meanflow.sample": sampleCase,
  "meanflow.jvp": jvpCase,
  "meanflow.loss": lossCase,
};
