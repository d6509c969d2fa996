/** A network of the average velocity with its weights: opened from a folder, loaded, and followed from noise to samples. */
import { AdapterError, UsageError } from "../../errors.ts";
import { countingLike } from "../../gpu/counting.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { buildMeanFlowNetwork } from "../../networks/meanflow/build.ts";
import type { MeanFlowNetwork, StateTime } from "../../networks/meanflow/network.ts";
import { meanFlow, euler } from "../../sampling/schedulers.ts";
import { noiseLevel, uniformTimes } from "../../sampling/meanflow.ts";
import { gaussian } from "../../sampling/noise.ts";
import { sample, type SampleState } from "../../sampling/sample.ts";
import type { Scheduler } from "../../sampling/scheduler.ts";
import { createTensor, releaseTensor, showShape, sizeOf } from "../../tensor/tensor.ts";
import { mapKeys } from "../../weights/key-map.ts";
import { type LoaderOptions, type LoadOptions, WeightLoader } from "../../weights/loader.ts";
import type { TensorSource } from "../../weights/source.ts";
import { type Conditions, meanFlowDenoiser } from "./denoiser.ts";
import { describeAlone, type MeanFlowDescription, readDescription, refuseUnknown } from "./description.ts";
import { layoutOf } from "./layouts.ts";

/** How states are led from noise to data. */
export const RULES = {
  average: { scheduler: meanFlow, words: "average velocity (MeanFlow)" },
  instant: { scheduler: euler, words: "instantaneous velocity (Euler)" },
} as const satisfies Readonly<
  Record<string, { scheduler: (times: readonly number[]) => Scheduler; words: string }>
>;
export type Rule = keyof typeof RULES;

export interface Guided {
  /** strength */
  readonly scale?: number;
  /** noise levels between which a network that is told its guidance holds it */
  readonly interval?: readonly [from: number, to: number];
}

/** A trajectory: what it starts from and how it is led. */
export interface WalkOptions extends Guided {
  /** (B); left out: none */
  readonly labels?: readonly number[];
  /** (B, …state) */
  readonly noise: Float32Array;
  /** N */
  readonly calls: number;
  readonly rule: Rule;
  /** last state that is wanted; default N */
  readonly last?: number;
  readonly signal?: AbortSignal;
}

/** What activations of a batch may take beside the weights. */
const BATCH_BYTES = 2 ** 30;
/** More in one batch brings nothing, even on large GPUs: the smallest networks take 64 in a few milliseconds. */
const MOST_TOGETHER = 128;

export class MeanFlowModel {
  readonly gpu: Gpu;
  readonly description: MeanFlowDescription;
  readonly network: MeanFlowNetwork;
  readonly #source: TensorSource;
  readonly #loader: WeightLoader;
  readonly #options: LoaderOptions;

  private constructor(
    gpu: Gpu,
    source: TensorSource,
    description: MeanFlowDescription,
    options: LoaderOptions,
  ) {
    this.gpu = gpu;
    this.description = description;
    this.#source = source;
    this.#options = options;
    this.#loader = WeightLoader.from(gpu, source, options);
    this.network = buildMeanFlowNetwork(description.config, this.#loader, description.size);
  }

  /**
   * Builds the network and compares it with the headers of the weights; reads no tensor. Closes `stored` when it fails.
   * @param json a model.json; undefined: what the checkpoint itself says
   * @param name of the folder, for messages
   * @throws FormatError or UsageError for a description, WeightsError for weights that do not fit
   */
  static async open(
    gpu: Gpu,
    stored: TensorSource,
    json: unknown,
    name: string,
    options: LoaderOptions & { readonly stateTime?: StateTime },
  ): Promise<MeanFlowModel> {
    try {
      const layout = layoutOf(stored.tensors);
      const source = layout ? mapKeys(stored, layout.map) : stored;
      const alone = json === undefined && layout ? describeAlone(source, layout.architecture) : undefined;
      if (alone) refuseUnknown(alone, stored.name);
      const own = json === undefined ? stored.name : `${name}/model.json`;
      const description = readDescription(json ?? alone, own, options.stateTime);
      const model = new MeanFlowModel(gpu, source, description, options);
      model.#loader.compare();
      return model;
    } catch (error) {
      await stored.close();
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

  /** of one sample */
  get shape(): readonly number[] {
    return this.network.state;
  }

  /** 0: the network knows none */
  get classes(): number {
    return "classes" in this.description.config ? this.description.config.classes : 0;
  }

  /** The best first: one that the training did not teach is left out. */
  get rules(): readonly Rule[] {
    const { training } = this.description;
    return training === "literal" || training === "flow" ? ["instant"] : ["average", "instant"];
  }

  load(options: LoadOptions): Promise<void> {
    return this.#loader.load(options);
  }

  /** Standard Gaussian, of a class and a seed: the same whatever else is drawn. */
  noise(label: number | undefined, seed: number): Float32Array<ArrayBuffer> {
    return gaussian(`meanflow/${label ?? "no class"}`, seed, sizeOf(this.shape));
  }

  /**
   * @throws UsageError for a rule by which no sample comes out, with the reason
   */
  checkRule(rule: Rule): void {
    const { training } = this.description;
    if (rule === "instant" || training === "identity") return;
    const instead = `--rule instant follows the instantaneous velocity, which it has learned`;
    if (training === "flow")
      throw new UsageError(
        `${this.#source.name} was trained as a plain flow: nothing has taught it an average velocity. ${instead}.`,
      );
    if (training === "literal")
      throw new UsageError(
        `${this.#source.name} was trained with the state at the end t of the interval, where 0 is noise: it learned the way from data to noise, ` +
          "and noise + u(noise, 0, 1) is no sample (of Gaussian data N(m, σ²) it makes N(m/σ, (2 − 1/σ)²)). " +
          `${instead}; --state-time r says that another loss trained it.`,
      );
    throw new UsageError(
      `${this.#source.name} does not say at which end of the interval its training had the state, which its tensors cannot tell. ` +
        `Say --state-time r (the average velocity from the state on) or t (the loss as kylevedder/DenoisingZoo has it); ${instead} in either case.`,
    );
  }

  /** Own times of N calls, from noise to data. */
  times(calls: number): readonly number[] {
    return uniformTimes(calls, this.network.stateTime);
  }

  /** 1 noise, 0 data, of an own time. */
  noiseLevel(time: number): number {
    return noiseLevel(time, this.network.stateTime);
  }

  /**
   * What the network is told besides the times.
   * @throws UsageError for a guidance or class that it does not know
   */
  conditions(
    batch: number,
    { labels, scale, interval }: Guided & { readonly labels?: readonly number[] },
  ): Conditions {
    const { config } = this.description;
    const everyone = (value: number): number[] => new Array<number>(batch).fill(value);
    if (labels && this.classes === 0)
      throw new UsageError(`a ${config.arch} knows no classes; leave the class out.`);
    const told = labels && { labels };
    if (config.arch !== "imf_dit") {
      if (interval)
        throw new UsageError(`a ${config.arch} is not told when to be guided; leave the interval out.`);
      return { ...told };
    }
    const [tMax, tMin] = interval ?? [1, 0];
    if (!(scale === undefined || scale >= 1))
      throw new UsageError(`guidance ${scale}: this network is told a strength from 1 (none) on.`);
    return { ...told, omega: everyone(scale ?? 1), tMin: everyone(tMin), tMax: everyone(tMax) };
  }

  /**
   * Follows a batch from noise on; states stand on the GPU until the next is asked for.
   * @throws UsageError for what the network cannot do
   */
  async *walk(options: WalkOptions): AsyncGenerator<SampleState, void, void> {
    const { gpu, network } = this;
    const { labels, noise, calls, rule, last, scale, signal } = options;
    this.checkRule(rule);
    const batch = noise.length / sizeOf(this.shape);
    if (!Number.isInteger(batch) || batch < 1 || (labels && labels.length !== batch))
      throw new UsageError(
        `${noise.length} numbers of noise for ${labels?.length ?? "some"} samples ${showShape(this.shape)} of ${sizeOf(this.shape)} numbers`,
      );
    const separate = this.description.config.arch !== "imf_dit" && scale !== undefined && scale !== 1;
    if (separate && !labels)
      throw new UsageError(
        "guidance leads towards a class, and none is given; name one, or leave the guidance out.",
      );
    const denoiser = meanFlowDenoiser(
      gpu,
      network,
      batch,
      this.conditions(batch, options),
      separate ? scale : undefined,
    );
    const x = createTensor(gpu, [batch, ...this.shape], noise, "samples");
    try {
      const scheduler = RULES[rule].scheduler(this.times(calls));
      yield* sample(gpu, denoiser, x, { scheduler, last, signal });
    } finally {
      await gpu.idle();
      releaseTensor(gpu, x);
      denoiser.dispose?.();
    }
  }

  /** Most GPU memory that a batch takes, weights included: found by walking this code where nothing is computed. */
  async peak(batch: number): Promise<number> {
    const gpu = await countingLike(this.gpu);
    const counted = new MeanFlowModel(gpu, this.#source, this.description, this.#options);
    counted.#loader.reserve();
    const noise = new Float32Array(batch * sizeOf(this.shape));
    const labels = this.classes > 0 ? new Array<number>(batch).fill(0) : undefined;
    for await (const state of counted.walk({ labels, noise, calls: 2, rule: "instant" }))
      if (state.step === 2) await state.tapped();
    return gpu.memory.usage.peak;
  }

  /** Samples whose activations fit beside the weights, and their peak. @throws AdapterError when not even one does */
  async together(
    gpuMemory = Number.POSITIVE_INFINITY,
  ): Promise<{ readonly batch: number; readonly peak: number }> {
    for (let batch = MOST_TOGETHER; ; batch /= 2) {
      const peak = await this.peak(batch);
      const fits = peak <= gpuMemory && peak - this.bytes <= BATCH_BYTES;
      if (fits || (batch === 1 && peak <= gpuMemory)) return { batch, peak };
      if (batch === 1)
        throw new AdapterError(
          `${this.#source.name} needs ${peak} bytes of GPU memory for one sample; --gpu-memory says ${gpuMemory}. Store its weights in half precision: --dtype bf16.`,
        );
    }
  }

  release(): void {
    this.#loader.release();
  }

  /** Closes the weights' file. */
  close(): Promise<void> {
    return this.#source.close();
  }
}
