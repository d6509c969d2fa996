/**
 * Compute pipelines, built asynchronously and once: the cache is keyed by kernel name, variant and constants, and
 * takes a function that builds the WGSL, so that no shader text is made for a pipeline that exists.
 *
 * Every kernel binds the same way: group 0, binding 0 the uniform `Params` (u32 fields, then f32 fields), then the
 * read-only inputs in order, then the outputs.
 */
import { GpuValidationError } from "../errors.ts";

/** One WGSL program; `key` must change whenever the text returned by `wgsl` does. */
export interface Kernel {
  readonly name: string;
  readonly key: string;
  readonly wgsl: () => string;
  readonly inputs: number;
  readonly outputs: number;
  readonly constants?: Readonly<Record<string, number>>;
}

export interface BuiltPipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<BuiltPipeline>>();
  #shaders = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** pipelines and shader modules ever made */
  get created(): { pipelines: number; shaders: number } {
    return { pipelines: this.#pipelines.size, shaders: this.#shaders };
  }

  /** The pipeline of a kernel; @throws GpuValidationError with the compiler's line when WGSL is refused. */
  get(kernel: Kernel): Promise<BuiltPipeline> {
    const constants = Object.entries(kernel.constants ?? {});
    const key = `${kernel.name}|${kernel.key}|${constants.map(([n, v]) => `${n}=${v}`).join(",")}`;
    let built = this.#pipelines.get(key);
    if (!built) {
      built = this.#build(kernel, key);
      this.#pipelines.set(key, built);
    }
    return built;
  }

  #layout(inputs: number, outputs: number): GPUBindGroupLayout {
    const key = `${inputs}/${outputs}`;
    let layout = this.#layouts.get(key);
    if (!layout) {
      const storage = (i: number): GPUBindGroupLayoutEntry => ({
        binding: 1 + i,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: i < inputs ? "read-only-storage" : "storage" },
      });
      layout = this.#device.createBindGroupLayout({
        label: `${inputs} inputs, ${outputs} outputs`,
        entries: [
          { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform" } },
          ...Array.from({ length: inputs + outputs }, (_, i) => storage(i)),
        ],
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  async #build(kernel: Kernel, label: string): Promise<BuiltPipeline> {
    const code = kernel.wgsl();
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label, code });
    this.#shaders++;
    const layout = this.#layout(kernel.inputs, kernel.outputs);
    const pipeline = this.#device.createComputePipelineAsync({
      label,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main", constants: { ...kernel.constants } },
    });
    // Both may fail for the same reason; the shader's own message is the useful one.
    const [refused, outcome] = await Promise.all([
      this.#device.popErrorScope(),
      pipeline.then(
        (value) => ({ value, error: undefined }),
        (error: unknown) => ({ value: undefined, error }),
      ),
    ]);
    if (outcome.value && !refused) return { pipeline: outcome.value, layout };
    const lines = code.split("\n");
    const { messages } = await module.getCompilationInfo();
    const shown = messages.map((m) => `  line ${m.lineNum}: ${m.message}\n    ${lines[m.lineNum - 1] ?? ""}`);
    const reason = outcome.error instanceof Error ? outcome.error.message : (refused?.message ?? "unknown");
    throw new GpuValidationError(`kernel ${label} was refused:\n${shown.join("\n") || reason}`);
  }
}
