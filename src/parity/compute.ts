/** One golden case from load to release: what every runner does around its own few lines. */
import type { Gpu } from "../gpu/gpu.ts";
import { record, type Replay } from "../gpu/recording.ts";
import { createTensor, readTensor, releaseTensor, type Tensor } from "../tensor/tensor.ts";
import { WeightLoader } from "../weights/loader.ts";
import type { TensorSource } from "../weights/source.ts";
import { type CaseTensor, type GoldenCase, input } from "./case.ts";

/** Output name → values. */
export type Values = Map<string, Float32Array>;

/** What a runner puts on the GPU and records; all of it is released with the case. */
export class CaseRun {
  readonly gpu: Gpu;
  readonly golden: GoldenCase;
  readonly #releases: (() => void)[] = [];

  constructor(gpu: Gpu, golden: GoldenCase) {
    this.gpu = gpu;
    this.golden = golden;
  }

  /** A named input of the case, or other values, on the GPU; ids and masks become u32. */
  upload(what: string | CaseTensor): Tensor {
    const { shape, dtype, data } = typeof what === "string" ? input(this.golden, what) : what;
    const integer = dtype === "I64" || dtype === "I32" || dtype === "BOOL" || dtype === "U8";
    return this.create(shape, integer ? Uint32Array.from(data) : data);
  }

  /** A tensor that lives as long as the case. */
  create(shape: readonly number[], data?: Float32Array | Uint32Array): Tensor {
    const tensor = createTensor(this.gpu, shape, data, "case input");
    this.onRelease(() => releaseTensor(this.gpu, tensor));
    return tensor;
  }

  /** The same for an input that the case may lack. */
  uploadIfGiven(name: string): Tensor | undefined {
    return this.golden.inputs.has(name) ? this.upload(name) : undefined;
  }

  /** Records `body` and runs it once; its outputs are valid until the case ends. */
  async replay<T>(body: () => T): Promise<Replay<T>> {
    const replay = await record(this.gpu, this.golden.name, body);
    this.onRelease(() => replay.dispose());
    await replay.run();
    return replay;
  }

  /** Records, runs and reads the tensors that `body` names. */
  async values(body: () => Readonly<Record<string, Tensor>>): Promise<Values> {
    const { outputs } = await this.replay(body);
    const values: Values = new Map();
    for (const [name, tensor] of Object.entries(outputs))
      values.set(name, await readTensor(this.gpu, tensor));
    return values;
  }

  /** Done when the case ends, whether it succeeds or not; the last given is done first. */
  onRelease(action: () => void): void {
    this.#releases.push(action);
  }

  release(): void {
    for (const action of this.#releases.reverse()) action();
  }
}

/** Builds a model on the case's weights, or on a view of them, loads it and lets `body` compute the outputs. */
export async function compute<M>(
  gpu: Gpu,
  golden: GoldenCase,
  build: (w: WeightLoader) => M,
  body: (model: M, run: CaseRun) => Promise<Values>,
  weights: TensorSource = golden.weights,
): Promise<Values> {
  const run = new CaseRun(gpu, golden);
  const loader = WeightLoader.from(gpu, weights, { dtype: golden.dtype });
  run.onRelease(() => loader.release());
  try {
    const model = build(loader);
    await loader.load();
    return await body(model, run);
  } finally {
    run.release();
  }
}
