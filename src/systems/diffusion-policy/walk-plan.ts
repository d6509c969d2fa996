/**
 * From noise to a plan. State n stands after n evaluations of the network, with the clean estimate that the last of them gave: the plan
 * that would be carried out if one stopped there.
 */
import { assign } from "../../kernels/copy.ts";
import { diffusion } from "../../sampling/diffusion.ts";
import { gaussian } from "../../sampling/noise.ts";
import { sample } from "../../sampling/sample.ts";
import { createTensor, releaseTensor, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { joined } from "../arrays.ts";
import type { DiffusionPolicyModel } from "./model.ts";
import { PlanDenoiser } from "./plan-denoiser.ts";

export interface PlanState {
  /** n, evaluations made */
  readonly step: number;
  readonly time: number;
  /** (V, H, A) the iterate x after n steps */
  readonly plans: Tensor;
  /** (V, H, A) the clean estimate of evaluation n, clamped; of state 0 the noise itself, as nothing has been said yet */
  readonly clean: Tensor;
}

export interface WalkOptions {
  /** N; default the policy's own */
  readonly evaluations?: number;
  /** the last state that is asked for; default N */
  readonly last?: number;
  readonly signal?: AbortSignal;
}

/** Fresh draws that a walk may need behind the first: one less than there are noise levels, or none. */
export const freshDraws = ({ plans: { schedule } }: Pick<DiffusionPolicyModel, "plans">): number =>
  schedule.kind === "DDPM" ? schedule.trained - 1 : 0;

/** Standard normal draws of a plan for a purpose: where it starts, then those of its steps. @throws UsageError as `gaussian` */
export const planNoise = (
  model: Pick<DiffusionPolicyModel, "plans" | "planShape">,
  { id, index }: { readonly id: string; readonly index: number },
  seed: number,
): Float32Array<ArrayBuffer>[] =>
  Array.from({ length: 1 + freshDraws(model) }, (_, i) =>
    gaussian(`plan/${id}/${index}${i === 0 ? "" : `/${i}`}`, seed, sizeOf(model.planShape)),
  );

/** Plans (V, H, A) → what is carried out of them (V, T, A): from the position of the last observation on. */
export function carriedOut(
  { config, planShape }: Pick<DiffusionPolicyModel, "config" | "planShape">,
  plans: Float32Array,
): Float32Array<ArrayBuffer> {
  const [H, A] = planShape;
  const { observations, actionSteps: T } = config;
  const from = (v: number): number => (v * H + observations - 1) * A;
  const count = plans.length / (H * A);
  return joined(Array.from({ length: count }, (_, v) => plans.subarray(from(v), from(v) + T * A)));
}

/**
 * Walks V plans of one condition each. Tensors are overwritten by the next state.
 * @param condition (V, G)
 * @param noise (V, H, A) each: where the plans start, then a fresh draw for every step but the last
 */
export async function* walkPlan(
  model: Pick<DiffusionPolicyModel, "gpu" | "networks" | "plans" | "planShape">,
  condition: Tensor,
  noise: readonly Float32Array<ArrayBuffer>[],
  { evaluations = model.plans.evaluations, last, signal }: WalkOptions,
): AsyncGenerator<PlanState, void, void> {
  const { gpu, networks, plans: own, planShape } = model;
  const shape = [condition.dim(0), ...planShape];
  const [start, ...draws] = noise;
  const plans = createTensor(gpu, shape, start, "plans in noise");
  const clean = createTensor(gpu, shape, start, "clean plans");
  const denoiser = new PlanDenoiser(gpu, networks.unet, condition);
  try {
    const walk = sample(gpu, denoiser, plans, {
      ...{ scheduler: diffusion(own.schedule, evaluations), last, signal },
      freshNoise: (i) => draws[i],
      // Nothing is constrained: the estimate is kept on its way.
      constrain: (estimate) => {
        assign(clean, estimate);
        return estimate;
      },
    });
    for await (const { step, time } of walk) yield { step, time, plans, clean };
  } finally {
    denoiser.dispose();
    releaseTensor(gpu, plans);
    releaseTensor(gpu, clean);
  }
}
