/** A network of the average velocity as a sampler follows it: states of one batch, with conditions that stay. */
import type { Gpu } from "../../gpu/gpu.ts";
import type { MeanFlowNetwork, Told } from "../../networks/meanflow/network.ts";
import { classifierFree, type Denoiser, type Evaluation, guided } from "../../sampling/denoiser.ts";
import { interval } from "../../sampling/meanflow.ts";
import type { Call } from "../../sampling/scheduler.ts";
import { createTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";

/** All that a network is told besides the times. */
export type Conditions = Omit<Told, "r" | "t">;

export class MeanFlowDenoiser implements Denoiser {
  readonly #gpu: Gpu;
  readonly #network: MeanFlowNetwork;
  readonly #batch: number;
  readonly #conditions: Conditions;
  readonly #features: Readonly<Record<string, Tensor>>;

  /** @throws UsageError for conditions that the network does not know */
  constructor(gpu: Gpu, network: MeanFlowNetwork, batch: number, conditions: Conditions = {}) {
    this.#gpu = gpu;
    this.#network = network;
    this.#batch = batch;
    this.#conditions = conditions;
    const first = Object.entries(this.#at({ at: 0 }));
    this.#features = Object.fromEntries(
      first.map(([name, { shape, data }]) => [name, createTensor(gpu, shape, data, name)]),
    );
  }

  /** States (B, …) → their average velocity over the call's interval, which is also what is tapped. */
  evaluate(states: Tensor): Evaluation {
    const { u } = this.#network.forward(states, this.#features);
    return { output: u, tapped: [u] };
  }

  /** @throws UsageError when the call leads from data to noise */
  setCall(call: Call): void {
    for (const [name, { data }] of Object.entries(this.#at(call)))
      writeTensor(this.#gpu, this.#features[name], data);
  }

  dispose(): void {
    for (const tensor of Object.values(this.#features)) releaseTensor(this.#gpu, tensor);
  }

  #at(call: Call) {
    const { r, t } = interval(call, this.#network.stateTime);
    const everyone = (time: number): number[] => new Array<number>(this.#batch).fill(time);
    return this.#network.features({ r: everyone(r), t: everyone(t), ...this.#conditions });
  }
}

/**
 * The same with guidance on the average velocity: u(no class) + scale · (u(class) − u(no class)), two evaluations a call. Without a scale,
 * one. Not for networks that were trained with the guidance folded in, or are told its strength.
 */
export function meanFlowDenoiser(
  gpu: Gpu,
  network: MeanFlowNetwork,
  batch: number,
  conditions: Conditions = {},
  scale?: number,
): Denoiser {
  const conditional = new MeanFlowDenoiser(gpu, network, batch, conditions);
  if (scale === undefined) return conditional;
  const unconditional = new MeanFlowDenoiser(gpu, network, batch, { ...conditions, labels: undefined });
  return guided(gpu, [conditional, unconditional], classifierFree(scale));
}
