/** A Diffusion Policy's folder: config.json, model.safetensors, and its statistics in either place. */
import type { Gpu } from "../../gpu/gpu.ts";
import { countingLike } from "../../gpu/counting.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { expand } from "../../kernels/copy.ts";
import {
  type DiffusionPolicyConfig,
  readDiffusionPolicyConfig,
} from "../../networks/diffusion-policy/config.ts";
import { DiffusionPolicyNetworks } from "../../networks/diffusion-policy/policy.ts";
import { createTensor, releaseTensor, type Tensor } from "../../tensor/tensor.ts";
import { type LoaderOptions, type LoadOptions, WeightLoader } from "../../weights/loader.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import type { TensorSource } from "../../weights/source.ts";
import type { Observed } from "./observed.ts";
import { type PlanSchedule, readPlanSchedule } from "./schedule.ts";
import { type PolicyStatistics, readStatistics, STATISTICS_KEYS } from "./statistics.ts";
import { walkPlan } from "./walk-plan.ts";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";

/** What observations become before denoising; free it with `dispose`. */
export interface Prepared {
  /** (V, G) */
  readonly condition: Tensor;
  dispose(): void;
}

export class DiffusionPolicyModel {
  readonly gpu: Gpu;
  readonly config: DiffusionPolicyConfig;
  readonly plans: PlanSchedule;
  readonly networks: DiffusionPolicyNetworks;
  readonly #files: ModelFiles;
  readonly #source: TensorSource;
  readonly #loader: WeightLoader;
  readonly #options: LoaderOptions;
  #statistics: Promise<PolicyStatistics> | undefined;

  private constructor(
    gpu: Gpu,
    files: ModelFiles,
    source: TensorSource,
    read: { readonly config: DiffusionPolicyConfig; readonly plans: PlanSchedule },
    options: LoaderOptions,
  ) {
    this.gpu = gpu;
    this.config = read.config;
    this.plans = read.plans;
    this.#files = files;
    this.#source = source;
    this.#options = options;
    this.#loader = WeightLoader.from(gpu, source, options);
    this.#loader.ignore(STATISTICS_KEYS);
    this.networks = new DiffusionPolicyNetworks(read.config, this.#loader, source.tensors, files.name);
  }

  /**
   * Builds the networks and compares them with the headers of the weights; reads no tensor.
   * @throws FormatError or UsageError for a configuration, WeightsError for weights that do not fit
   */
  static async open(gpu: Gpu, files: ModelFiles, options: LoaderOptions): Promise<DiffusionPolicyModel> {
    const json = await files.json(CONFIG);
    const name = `${files.name}/${CONFIG}`;
    const read = { config: readDiffusionPolicyConfig(json, name), plans: readPlanSchedule(json, name) };
    const source = await files.weights(WEIGHTS);
    try {
      const model = new DiffusionPolicyModel(gpu, files, source, read, options);
      model.#loader.compare();
      return model;
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** bytes of GPU memory that the weights take */
  get bytes(): number {
    return this.#loader.bytes;
  }

  get largest(): { readonly label: string; readonly bytes: number } {
    return this.#loader.largest;
  }

  /** (H, A) */
  get planShape(): readonly [number, number] {
    return [this.config.horizon, this.config.action.shape[0]];
  }

  /** (T, A), what of a plan is carried out */
  get chunkShape(): readonly [number, number] {
    return [this.config.actionSteps, this.config.action.shape[0]];
  }

  /** Read once, when first asked for. @throws FormatError as `readStatistics` */
  statistics(): Promise<PolicyStatistics> {
    return (this.#statistics ??= readStatistics(this.config, this.#source, this.#files));
  }

  load(options: LoadOptions): Promise<void> {
    return this.#loader.load(options);
  }

  /** What one window's observations, normalised, tell the U-Net, for V plans. */
  async prepare(observed: Observed, copies: number): Promise<Prepared> {
    const { gpu } = this;
    const { observations, cameras, state, environment } = this.config;
    const inputs: Tensor[] = [];
    const put = (shape: readonly number[], data: Float32Array, label: string): Tensor => {
      const tensor = createTensor(gpu, [1, observations, ...shape], data, label);
      inputs.push(tensor);
      return tensor;
    };
    let replay: Replay<Tensor> | undefined;
    try {
      const seen = {
        state: put(state.shape, observed.state, "states"),
        pictures: cameras.map(({ shape, key }, i) => put(shape, observed.pictures[i], key)),
        ...(environment && {
          environment: put(environment.shape, observed.environment!, "environment states"),
        }),
      };
      replay = await record(gpu, "encode observations", () => {
        const condition = this.networks.condition(seen); // (1, G)
        return copies === 1 ? condition : expand(condition, copies, condition.dim(1));
      });
      await replay.run();
      const done = replay;
      return { condition: done.outputs, dispose: () => done.dispose() };
    } catch (error) {
      replay?.dispose();
      throw error;
    } finally {
      await gpu.idle();
      for (const tensor of inputs) releaseTensor(gpu, tensor);
    }
  }

  /** Most GPU memory that V plans of one window take, weights included: found by walking this code where nothing is computed. */
  async peak(copies: number): Promise<number> {
    const gpu = await countingLike(this.gpu);
    const { config, plans } = this;
    const counted = new DiffusionPolicyModel(
      gpu,
      this.#files,
      this.#source,
      { config, plans },
      this.#options,
    );
    counted.#loader.reserve();
    const { observations, cameras, state, environment } = config;
    const empty = (shape: readonly number[]): Float32Array<ArrayBuffer> =>
      new Float32Array(observations * shape.reduce((a, b) => a * b, 1));
    const prepared = await counted.prepare(
      {
        state: empty(state.shape),
        pictures: cameras.map(({ shape }) => empty(shape)),
        ...(environment && { environment: empty(environment.shape) }),
      },
      copies,
    );
    const noise = Array.from(
      { length: plans.schedule.trained },
      () => new Float32Array(copies * config.horizon * config.action.shape[0]),
    );
    for await (const { step } of walkPlan(counted, prepared.condition, noise, {
      evaluations: plans.evaluations,
      last: Math.min(2, plans.evaluations),
    }))
      if (step > 1) break;
    return gpu.memory.usage.peak;
  }

  release(): void {
    this.#loader.release();
  }

  /** Closes the weights' file. */
  close(): Promise<void> {
    return this.#source.close();
  }
}
