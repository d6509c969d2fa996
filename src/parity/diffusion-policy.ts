/** Golden cases of LeRobot's Diffusion Policy: its schedules, its picture encoder, its U-Net, whole plans. */
import { readDiffusionPolicyConfig } from "../networks/diffusion-policy/config.ts";
import { PictureEncoder } from "../networks/diffusion-policy/encoder.ts";
import { DiffusionPolicyNetworks } from "../networks/diffusion-policy/policy.ts";
import { resNetShape } from "../networks/diffusion-policy/resnet.ts";
import { stepSinusoids, UNet } from "../networks/diffusion-policy/unet.ts";
import { assign, permute } from "../kernels/copy.ts";
import { alphasCumprod, diffusion, diffusionConstants } from "../sampling/diffusion.ts";
import { sample } from "../sampling/sample.ts";
import { PlanDenoiser } from "../systems/diffusion-policy/plan-denoiser.ts";
import { readPlanSchedule } from "../systems/diffusion-policy/schedule.ts";
import {
  normalise,
  readStatistics,
  STATISTICS_KEYS,
  toData,
} from "../systems/diffusion-policy/statistics.ts";
import { UsageError } from "../errors.ts";
import { readTensor, type Tensor } from "../tensor/tensor.ts";
import type { WeightLoader } from "../weights/loader.ts";
import { allowOnly, type CaseRunner, input } from "./case.ts";
import { type CaseRun, compute, type Values } from "./compute.ts";

/** (n, h, w, C) or (B, H, C) with the channels where PyTorch has them. */
const channelsFirst = (x: Tensor): Tensor =>
  x.shape.length === 4 ? permute(x, 0, 3, 1, 2) : permute(x, 0, 2, 1);

const scheduleCase: CaseRunner = (_gpu, golden) => {
  allowOnly(golden, "inputs", []);
  allowOnly(golden, "args", []);
  const values: Values = new Map();
  for (const [name, config] of Object.entries(golden.config)) {
    const { schedule, evaluations } = readPlanSchedule(config, `${golden.name}, ${name}`);
    const constants = diffusionConstants(schedule, evaluations);
    const put = (what: string, numbers: readonly number[]): unknown =>
      values.set(`${name}.${what}`, Float32Array.from(numbers));
    put("alphas_cumprod", alphasCumprod(schedule));
    put(
      "timesteps",
      constants.map(({ timestep }) => timestep),
    );
    put(
      "sqrt_alpha_prod",
      constants.map(({ sqrtAlpha }) => sqrtAlpha),
    );
    put(
      "sqrt_beta_prod",
      constants.map(({ sqrtBeta }) => sqrtBeta),
    );
    put(
      "coef_x0",
      constants.map(({ ofClean }) => ofClean),
    );
    put(
      "coef_other",
      constants.map(({ ofOther }) => ofOther),
    );
    put(
      "sigma",
      constants.map(({ sigma }) => sigma),
    );
  }
  return Promise.resolve(values);
};

const encoderCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/images/]);
  allowOnly(golden, "args", []);
  const config = readDiffusionPolicyConfig(golden.config, golden.name);
  const [, , rows, columns] = input(golden, "images").shape;
  const build = (w: WeightLoader) =>
    new PictureEncoder(
      config,
      resNetShape(golden.weights.tensors, golden.name, "backbone."),
      [rows, columns],
      w,
    );
  return compute(gpu, golden, build, (encoder, run) => {
    const images = run.upload("images");
    return run.values(() => {
      const { maps, keypoints, features } = encoder.forward(images);
      const names = ["stem", "layer1", "layer2", "layer3", "layer4"];
      return {
        ...Object.fromEntries(names.map((name, i) => [name, channelsFirst(maps[i])])),
        ...{ keypoints, features },
      };
    });
  });
};

const unetCase: CaseRunner = (gpu, golden) => {
  allowOnly(golden, "inputs", [/sample/, /timestep/, /global_cond/]);
  allowOnly(golden, "args", [/global_cond_dim/]);
  const config = readDiffusionPolicyConfig(golden.config, golden.name);
  const actionDim = config.action.shape[0];
  const conditionDim = input(golden, "global_cond").shape[1];
  const build = (w: WeightLoader) => new UNet({ ...config, actionDim, conditionDim }, w);
  return compute(gpu, golden, build, (unet, run) => {
    const [sampled, condition] = [run.upload("sample"), run.upload("global_cond")];
    const times = input(golden, "timestep").data;
    const sinusoids = run.create([times.length, config.stepWidth], stepSinusoids(times, config.stepWidth));
    return run.values(() => {
      const { embedding, skips, middle, ups, output } = unet.forward({
        sample: sampled,
        sinusoids,
        condition,
      });
      const numbered = (name: string, list: readonly Tensor[]): [string, Tensor][] =>
        list.map((x, j) => [`${name}.${j}`, channelsFirst(x)]);
      return {
        ...{ step_embedding: embedding, mid: channelsFirst(middle), output },
        ...Object.fromEntries([...numbered("skip", skips), ...numbered("up", ups)]),
      };
    });
  });
};

/** From raw observations to actions, with the noise that the case gives. */
const policyCase: CaseRunner = async (gpu, golden) => {
  const config = readDiffusionPolicyConfig(golden.config, golden.name);
  const { schedule, evaluations } = readPlanSchedule(golden.config, golden.name);
  const { cameras, state, environment, observations, actionSteps } = config;
  const seen = [...cameras, state, ...(environment ? [environment] : [])];
  allowOnly(golden, "inputs", [
    /noise/,
    /step_noise/,
    ...seen.map(({ key }) => new RegExp(key.replaceAll(".", "\\."))),
  ]);
  allowOnly(golden, "args", [/steps_kept/]);
  const statistics = await readStatistics(config, golden.weights);
  const { steps_kept: kept } = golden.args as { steps_kept?: number[] };
  if (!kept?.every((step) => Number.isInteger(step) && step >= 0 && step < evaluations))
    throw new UsageError(
      `${golden.name}: args.steps_kept = ${JSON.stringify(kept)}, expected evaluations below ${evaluations}`,
    );
  const build = (w: WeightLoader) => {
    w.ignore(STATISTICS_KEYS);
    return new DiffusionPolicyNetworks(config, w, golden.weights.tensors, golden.name);
  };
  const body = async (networks: DiffusionPolicyNetworks, run: CaseRun): Promise<Values> => {
    const normalised = ({ key, shape }: (typeof seen)[number]): Tensor => {
      const { data, ...rest } = input(golden, key);
      const pixels = shape.slice(1).reduce((a, b) => a * b, 1);
      return run.upload({ ...rest, data: normalise(data, statistics.normalise.get(key)!, pixels) });
    };
    const observed = {
      state: normalised(state),
      pictures: cameras.map(normalised),
      ...(environment && { environment: normalised(environment) }),
    };
    const condition = (await run.replay(() => networks.condition(observed))).outputs;
    const plans = run.upload("noise");
    const clean = run.create(plans.shape);
    const denoiser = new PlanDenoiser(gpu, networks.unet, condition);
    run.onRelease(() => denoiser.dispose());
    const rows: Record<"epsilon" | "x0" | "iterate", number[]> = { epsilon: [], x0: [], iterate: [] };
    const walk = sample(gpu, denoiser, plans, {
      scheduler: diffusion(schedule, evaluations),
      constrain: (estimate) => {
        assign(clean, estimate);
        return estimate;
      },
      freshNoise: (i) =>
        Float32Array.from(input(golden, "step_noise").data.subarray(i * plans.size, (i + 1) * plans.size)),
    });
    for await (const state of walk) {
      const { step } = state;
      if (kept.includes(step - 1)) {
        rows.x0.push(...(await readTensor(gpu, clean)));
        rows.iterate.push(...(await readTensor(gpu, plans)));
      }
      if (step === evaluations) break;
      const [output] = await state.tapped();
      if (kept.includes(step)) rows.epsilon.push(...(await readTensor(gpu, output)));
    }
    const [B, H, A] = plans.shape;
    const final = await readTensor(gpu, plans);
    const carried = Array.from({ length: B }, (_, b) => {
      const from = (b * H + observations - 1) * A;
      return [...toData(final.subarray(from, from + actionSteps * A), statistics.action)];
    });
    return new Map([
      ["global_cond", await readTensor(gpu, condition)],
      ["actions", Float32Array.from(carried.flat())],
      ...Object.entries(rows).map(([name, values]): [string, Float32Array] => [
        name,
        Float32Array.from(values),
      ]),
    ]);
  };
  return compute(gpu, golden, build, body);
};

export const kinds: Readonly<Record<string, CaseRunner>> = {
  "diffusion_policy.schedule": scheduleCase,
  "diffusion_policy.encoder": encoderCase,
  "diffusion_policy.unet": unetCase,
  "diffusion_policy.policy": policyCase,
};
