/**
 * Compute pipelines, built asynchronously and once. A program is known by its declaration (kernels/kernel.ts), its form and its
 * constants.
 *
 * Every program binds the same way: group 0, binding 0 the uniform parameters, then what is only read, then what is written.
 */
import { GpuValidationError } from "../errors.ts";

/** One WGSL program. */
export interface Program {
  /** what the text is made by, compared by identity: equal declarations and forms have equal texts */
  readonly declaration: object;
  readonly form: string;
  readonly name: string;
  readonly wgsl: string;
  readonly inputs: number;
  readonly outputs: number;
  /** values of its overrides */
  readonly constants: Readonly<Record<string, number>>;
}

export interface BuiltPipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<object, Map<string, Promise<BuiltPipeline>>>();
  /** told how many of the pipelines asked for so far are built, whenever one was asked for or is ready */
  onBuild: ((built: number, asked: number) => void) | undefined;
  #made = 0;
  #built = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** pipelines ever made, each with a shader module of its own */
  get created(): number {
    return this.#made;
  }

  /** The pipeline of a program; @throws GpuValidationError with the compiler's line when WGSL is refused. */
  get(program: Program): Promise<BuiltPipeline> {
    const forms = this.#pipelines.get(program.declaration) ?? new Map<string, Promise<BuiltPipeline>>();
    this.#pipelines.set(program.declaration, forms);
    const constants = Object.entries(program.constants).map(([name, value]) => `${name}=${value}`);
    const key = `${program.form} | ${constants.join(" ")}`;
    const built = forms.get(key) ?? this.#build(program, `${program.name} | ${key}`);
    forms.set(key, built);
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

  async #build({ wgsl: code, inputs, outputs, constants }: Program, label: string): Promise<BuiltPipeline> {
    this.#made++;
    this.onBuild?.(this.#built, this.#made);
    this.#device.pushErrorScope("validation");
    const module = this.#device.createShaderModule({ label, code });
    const layout = this.#layout(inputs, outputs);
    const pipeline = this.#device.createComputePipelineAsync({
      label,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main", constants: { ...constants } },
    });
    // Both may fail for the same reason; the shader's own message is the useful one.
    const [refused, outcome] = await Promise.all([
      this.#device.popErrorScope(),
      pipeline.then(
        (value) => ({ value, error: undefined }),
        (error: unknown) => ({ value: undefined, error }),
      ),
    ]);
    this.#built++;
    this.onBuild?.(this.#built, this.#made);
    if (outcome.value && !refused) return { pipeline: outcome.value, layout };
    const lines = code.split("\n");
    const { messages } = await module.getCompilationInfo();
    const shown = messages.map((m) => `  line ${m.lineNum}: ${m.message}\n    ${lines[m.lineNum - 1] ?? ""}`);
    const reason = outcome.error instanceof Error ? outcome.error.message : (refused?.message ?? "unknown");
    throw new GpuValidationError(`kernel ${label} was refused:\n${shown.join("\n") || reason}`);
  }
}
