/**
 * A network evaluated at states and times that the host gives: its average velocity u, and the derivative of u along a direction of state and times
 * (kernels/jvp.ts). Both are recorded when first asked for and replayed from then on; labels and whatever else the network is told may change
 * from call to call.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { jvp, type Moved } from "../../kernels/jvp.ts";
import {
  copyTensor,
  createTensor,
  readTensor,
  releaseTensor,
  showShape,
  type Tensor,
  writeTensor,
} from "../../tensor/tensor.ts";
import type { Feature, MeanFlowNetwork, Rates, Told } from "./network.ts";

/** States (B, …), on the host or the GPU. */
export type States = Float32Array | Tensor;

/** Whither state and times move. */
export interface Direction {
  /** ẋ (B, …) */
  readonly x: States;
  readonly rates: Rates;
}

export class MeanFlowEvaluator {
  readonly network: MeanFlowNetwork;
  readonly batch: number;
  readonly #gpu: Gpu;
  readonly #x: Tensor;
  readonly #features: Readonly<Record<string, Tensor>>;
  #velocity: Replay<Tensor> | undefined;
  #derivative:
    | {
        readonly replay: Replay<{ readonly value: Tensor; readonly tangent: Tensor }>;
        readonly dx: Tensor;
        readonly rates: Readonly<Record<string, Tensor>>;
      }
    | undefined;

  /** @param told as it will be told, for the shapes of what the network reads; @throws UsageError for what it cannot be told */
  constructor(gpu: Gpu, network: MeanFlowNetwork, told: Told) {
    this.#gpu = gpu;
    this.network = network;
    this.batch = told.t.length;
    this.#x = createTensor(gpu, [this.batch, ...network.state], undefined, "states");
    this.#features = upload(gpu, network.features(told));
  }

  /**
   * u(x, r, t), of the states' shape.
   * @throws UsageError when states or features have other shapes than the first ones
   */
  async velocity(x: States, told: Told): Promise<Float32Array> {
    this.#tell(x, told);
    this.#velocity ??= await record(
      this.#gpu,
      "average velocity",
      () => this.network.forward(this.#x, this.#features).u,
    );
    await this.#velocity.run();
    return readTensor(this.#gpu, this.#velocity.outputs);
  }

  /**
   * u(x, r, t) and du = d/dε u(x + ε·ẋ, r + ε·ṙ, t + ε·ṫ) at ε = 0, in one pass.
   * @throws UsageError as `velocity`
   */
  async derivative(
    x: States,
    told: Told,
    direction: Direction,
  ): Promise<{ readonly u: Float32Array; readonly du: Float32Array }> {
    this.#tell(x, told);
    const moving = this.network.featureTangents(told, direction.rates);
    this.#derivative ??= await this.#recordDerivative(moving);
    const { replay, dx, rates } = this.#derivative;
    put(this.#gpu, dx, direction.x);
    for (const [name, { data }] of Object.entries(moving)) writeTensor(this.#gpu, rates[name], data);
    await replay.run();
    const { value, tangent } = replay.outputs;
    return { u: await readTensor(this.#gpu, value), du: await readTensor(this.#gpu, tangent) };
  }

  dispose(): void {
    this.#velocity?.dispose();
    this.#derivative?.replay.dispose();
    const { dx, rates = {} } = this.#derivative ?? {};
    for (const tensor of [this.#x, dx, ...Object.values(this.#features), ...Object.values(rates)])
      if (tensor) releaseTensor(this.#gpu, tensor);
  }

  #tell(x: States, told: Told): void {
    put(this.#gpu, this.#x, x);
    const features = this.network.features(told);
    for (const [name, tensor] of Object.entries(this.#features)) {
      const feature = features[name] as Feature | undefined;
      if (showShape(feature?.shape ?? []) !== showShape(tensor.shape))
        throw new UsageError(
          `${name}: ${showShape(feature?.shape ?? [])}, this evaluator was made for ${showShape(tensor.shape)}`,
        );
      writeTensor(this.#gpu, tensor, feature!.data);
    }
  }

  async #recordDerivative(moving: Readonly<Record<string, Feature>>) {
    const dx = createTensor(this.#gpu, this.#x.shape, undefined, "direction of the states");
    const rates = upload(this.#gpu, moving);
    const moved = [
      [this.#x, dx] as const,
      ...Object.entries(rates).map(([name, rate]): Moved => [this.#features[name], rate]),
    ];
    const replay = await record(this.#gpu, "derivative of the average velocity", () =>
      jvp(() => this.network.forward(this.#x, this.#features).u, moved),
    );
    return { replay, dx, rates };
  }
}

const upload = (gpu: Gpu, features: Readonly<Record<string, Feature>>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(features).map(([name, { shape, data }]) => [name, createTensor(gpu, shape, data, name)]),
  );

function put(gpu: Gpu, tensor: Tensor, values: States): void {
  if (values instanceof Float32Array) writeTensor(gpu, tensor, values);
  else copyTensor(gpu, values, tensor);
}
