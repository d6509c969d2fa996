/**
 * Record once, replay many times. While `record` runs a function, every operation called in it appends a dispatch
 * instead of running; afterwards the list is planned: intermediate results get buffers, which are reused as soon as
 * their last reader has been recorded, pipelines are built together, bind groups are made. `Replay.run` then only
 * encodes: no text, pipeline, bind group or buffer is made in a loop.
 *
 * The recording in progress is a module variable, so that model code reads `linear(x, w)` and not `linear(r, x, w)`.
 * That is sound because the recorded function is synchronous: nothing else can run before it returns.
 */
import { GpuValidationError, UsageError } from "../errors.ts";
import { runChecked } from "./finite.ts";
import type { Arithmetic, Gpu } from "./gpu.ts";
import { bufferOf, type Storage, VIEW_ALIGNMENT, type View } from "./memory.ts";
import type { BuiltPipeline, Program } from "./pipelines.ts";
import type { Tangents } from "./tangents.ts";

export interface DispatchCall {
  readonly program: Program;
  /** the parameter struct as WGSL lays it out */
  readonly params: Uint32Array;
  readonly inputs: readonly View[];
  /** written, or read and written in place */
  readonly outputs: readonly View[];
  /** number of workgroups; folded into two dimensions beyond the 65,535 of one */
  readonly workgroups: number;
}

/** A dispatch as recorded, with the model scope it was called in, such as `transformer_blocks.3.attn1`. */
export interface RecordedDispatch extends DispatchCall {
  readonly scope: string;
}

interface PlannedDispatch {
  readonly built: BuiltPipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: readonly [number, number];
}

// Per-dimension limit that every WebGPU implementation grants.
const MAX_GRID = 65_535;

/** Folds a number of workgroups into (x, y); kernels use `workgroup_id.x + workgroup_id.y * num_workgroups.x`. */
export function fold(workgroups: number): [number, number] {
  if (workgroups <= MAX_GRID) return [workgroups, 1];
  const y = Math.ceil(workgroups / MAX_GRID);
  return [Math.ceil(workgroups / y), y];
}

/** The list being recorded. */
export class Recording {
  readonly gpu: Gpu;
  readonly label: string;
  readonly dispatches: RecordedDispatch[] = [];
  /** storages made by operations of this recording that have no buffer yet */
  readonly transients = new Set<Storage>();
  /** storages made here that live as long as the replay: constants such as rotary tables */
  readonly owned: Storage[] = [];
  /**
   * Additions and multiplications of the matrix products, attention and convolutions recorded so far. An operation adds its own where it is called, from
   * its equation, so that no variant or division into blocks changes the count.
   */
  flops = 0;
  /** while a derivative is recorded: the tangents known so far */
  tangents: Tangents | undefined;
  readonly #scopes: string[] = [];

  constructor(gpu: Gpu, label: string) {
    this.gpu = gpu;
    this.label = label;
  }

  get scope(): string {
    return this.#scopes.join(".");
  }

  /** In what products are computed here: derivatives are taken in float32 whatever the device's choice, for half precision is worse for tangents than for values. */
  get arithmetic(): Arithmetic {
    return this.tangents ? "f32" : this.gpu.arithmetic;
  }

  /** Names what is recorded inside, for errors and profiles. */
  within<T>(name: string, body: () => T): T {
    this.#scopes.push(name);
    try {
      return body();
    } finally {
      this.#scopes.pop();
    }
  }

  /** What `body` records counts as so many operations, whatever it is made of. */
  counting<T>(flops: number, body: () => T): T {
    const before = this.flops;
    const made = body();
    this.flops = before + flops;
    return made;
  }

  /** Space for an intermediate result; its buffer is chosen when the recording is planned. */
  transient(bytes: number, name: string): Storage {
    const storage: Storage = { bytes, label: [...this.#scopes, name].join(".") };
    this.transients.add(storage);
    return storage;
  }

  /**
   * Appends a dispatch.
   * @throws UsageError when it writes to a storage that it also reads, or twice to the same bytes, which WebGPU forbids; when it touches something
   * with a tangent that no rule accounts for
   */
  dispatch(call: DispatchCall): void {
    if (call.workgroups === 0) return;
    checkAliases(call, this.scope);
    this.tangents?.check([...call.inputs, ...call.outputs], place(this.scope, call.program));
    this.dispatches.push({ ...call, scope: this.scope });
  }
}

function checkAliases({ program, inputs, outputs }: DispatchCall, scope: string): void {
  for (const [i, out] of outputs.entries()) {
    const alias = (other: View): boolean => other.storage === out.storage;
    const overlaps = (other: View): boolean =>
      alias(other) && other.offset < out.offset + out.bytes && out.offset < other.offset + other.bytes;
    if (!inputs.some(alias) && !outputs.slice(i + 1).some(overlaps)) continue;
    throw new UsageError(
      `${place(scope, program)}: "${out.storage.label}" is written and bound once more in one dispatch, which WebGPU forbids even for separate rows; copy what is read to a tensor of its own`,
    );
  }
}

let active: Recording | undefined;

/** The recording in progress. @throws GpuValidationError outside of `record`. */
export function recording(): Recording {
  if (!active)
    throw new GpuValidationError("operations can only be called inside record(gpu, label, () => …)");
  return active;
}

/** Runs `body` with `name` appended to the scope of everything it records. */
export function scope<T>(name: string, body: () => T): T {
  return recording().within(name, body);
}

/**
 * Records `body` and plans it. Tensors in the returned value (at any depth of arrays and plain objects) keep their
 * buffers until the replay is disposed; all other intermediate results share buffers.
 * @throws UsageError when `body` is async; GpuValidationError or AdapterError when it cannot be planned
 */
export async function record<T>(gpu: Gpu, label: string, body: () => T): Promise<Replay<T>> {
  const outer = active;
  const list = new Recording(gpu, label);
  active = list;
  let outputs: T;
  try {
    outputs = body();
  } finally {
    active = outer;
  }
  if (outputs instanceof Promise) {
    outputs.catch(() => undefined);
    throw new UsageError(
      `record "${label}": its function must not be async; what it does after an await would not be recorded`,
    );
  }
  return Replay.plan(list, outputs);
}

/** A planned list of dispatches. */
export class Replay<T = unknown> {
  readonly gpu: Gpu;
  readonly label: string;
  /** what the recorded function returned */
  readonly outputs: T;
  readonly dispatches: readonly RecordedDispatch[];
  readonly #list: Recording;
  readonly #planned: readonly PlannedDispatch[];
  readonly #resources: Resources;
  /** what the bind groups hold, to notice a tensor that was released since */
  readonly #bound: ReadonlyMap<Storage, GPUBuffer>;
  #proven = false;
  #disposed = false;

  private constructor(
    list: Recording,
    outputs: T,
    planned: readonly PlannedDispatch[],
    resources: Resources,
    boundBuffers: ReadonlyMap<Storage, GPUBuffer>,
  ) {
    this.gpu = list.gpu;
    this.label = list.label;
    this.outputs = outputs;
    this.dispatches = list.dispatches;
    this.#list = list;
    this.#planned = planned;
    this.#resources = resources;
    this.#bound = boundBuffers;
  }

  /** operations of one run, see `Recording.flops` */
  get flops(): number {
    return this.#list.flops;
  }

  static async plan<T>(list: Recording, outputs: T): Promise<Replay<T>> {
    const { gpu, dispatches } = list;
    const kept = new Set<Storage>();
    collectStorages(outputs, kept);
    const resources: Resources = { buffers: [] };
    try {
      assignBuffers(list, kept, resources.buffers);
      const { buffer, slots } = packUniforms(gpu, list.label, dispatches);
      resources.uniforms = buffer;
      const built = await Promise.all(dispatches.map((d) => gpu.pipelines.get(d.program)));
      const boundBuffers = new Map<Storage, GPUBuffer>();
      const planned = dispatches.map((d, i): PlannedDispatch => {
        gpu.counters.bindGroups++;
        const views = [...d.inputs, ...d.outputs];
        const bindGroup = gpu.device.createBindGroup({
          label: `${d.program.name} ${d.scope}`,
          layout: built[i].layout,
          entries: [
            { binding: 0, resource: { buffer: buffer!, offset: slots[i], size: UNIFORM_SLOT } },
            ...views.map((view, b) => ({ binding: b + 1, resource: bound(gpu, view, d) })),
          ],
        });
        for (const { storage } of views) boundBuffers.set(storage, storage.buffer!);
        return { built: built[i], bindGroup, grid: fold(d.workgroups) };
      });
      return new Replay(list, outputs, planned, resources, boundBuffers);
    } catch (error) {
      giveBack(list, resources);
      throw error;
    }
  }

  /**
   * Submits every dispatch in order. The first run is validated and returns when the device has accepted it; what a later one does
   * wrong is thrown by whatever asks the device next.
   * @throws UsageError when it, or a tensor it uses, was released; GpuValidationError, AdapterError (out of memory) or DeviceLostError; NonFiniteError while `gpu.checkFinite`
   */
  async run(): Promise<void> {
    if (this.#disposed) throw new UsageError(`"${this.label}" was disposed; record it again to run it`);
    for (const [storage, buffer] of this.#bound) {
      if (storage.buffer === buffer) continue;
      throw new UsageError(
        `"${this.label}" uses "${storage.label}", which was released since it was recorded; release tensors after the last run`,
      );
    }
    this.gpu.counters.flops += this.flops;
    if (this.gpu.checkFinite) return runChecked(this);
    if (this.#proven) return this.submit(0, this.#planned.length);
    await this.gpu.validated(this.label, () => this.submit(0, this.#planned.length));
    this.#proven = true;
  }

  /** Submits dispatches `from` (inclusive) to `to` (exclusive); used alone only by diagnostics. */
  submit(from: number, to: number): void {
    this.gpu.assertAlive(this.label);
    const encoder = this.gpu.device.createCommandEncoder({ label: this.label });
    const pass = encoder.beginComputePass();
    for (let i = from; i < to; i++) {
      const { built, bindGroup, grid } = this.#planned[i];
      pass.setPipeline(built.pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(grid[0], grid[1]);
    }
    pass.end();
    this.gpu.submit(encoder.finish(), this.label, to - from);
  }

  /** Returns every buffer of the recording, its outputs included, to the allocator; once. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    giveBack(this.#list, this.#resources);
  }
}

/** What a replay made for itself. */
interface Resources {
  readonly buffers: { buffer: GPUBuffer; bytes: number }[];
  uniforms?: GPUBuffer;
}

/** Takes the buffers from all that was made while recording, and returns them. */
function giveBack({ gpu, transients, owned }: Recording, { buffers, uniforms }: Resources): void {
  for (const storage of transients) storage.buffer = undefined;
  for (const { buffer, bytes } of buffers) gpu.memory.recycle(buffer, bytes);
  for (const storage of owned) gpu.memory.release(storage);
  uniforms?.destroy();
}

/** Storages are whole granules, so a view may be bound up to a whole vec4. */
const padded = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

/** What a message calls a dispatch: "transformer_blocks.3.attn1 linear quads". */
const place = (scope: string, { name }: Program): string => [scope, name].filter(Boolean).join(" ");

function bound(gpu: Gpu, view: View, { scope: where, program }: RecordedDispatch): GPUBufferBinding {
  const { storage, offset, bytes } = view;
  const buffer = bufferOf(view, place(where, program));
  gpu.checkBinding(bytes, storage.label);
  if (offset % VIEW_ALIGNMENT !== 0) {
    throw new UsageError(
      `${place(where, program)}: a view of "${storage.label}" begins at byte ${offset}; a view that is bound begins at a multiple of ${VIEW_ALIGNMENT}`,
    );
  }
  return { buffer, offset, size: padded(bytes) };
}

/** Gives every transient a buffer from its first to its last use; those in `kept` are never shared. What it acquires goes to `own`. */
function assignBuffers(list: Recording, kept: ReadonlySet<Storage>, own: Resources["buffers"]): void {
  const { gpu, dispatches, transients } = list;
  const lastUse = new Map<Storage, number>();
  dispatches.forEach((d, i) => {
    for (const { storage } of [...d.inputs, ...d.outputs])
      if (transients.has(storage)) lastUse.set(storage, i);
  });
  const reusable: { buffer: GPUBuffer; bytes: number }[] = [];
  const take = (s: Storage): GPUBuffer => {
    // The smallest released buffer that fits; a far larger one would only be hoarded.
    const fitting = reusable.filter((r) => r.bytes >= s.bytes && r.bytes <= 4 * s.bytes + 4096);
    const best = fitting.sort((a, b) => a.bytes - b.bytes)[0];
    if (best && !kept.has(s)) {
      reusable.splice(reusable.indexOf(best), 1);
      capacity.set(s, best.bytes);
      return best.buffer;
    }
    const buffer = gpu.memory.acquire(s.bytes, s.label);
    own.push({ buffer, bytes: s.bytes });
    capacity.set(s, s.bytes);
    return buffer;
  };
  const capacity = new Map<Storage, number>();
  dispatches.forEach((d, i) => {
    const touched = new Set([...d.inputs, ...d.outputs].map(({ storage }) => storage));
    for (const s of touched) if (transients.has(s) && !s.buffer) s.buffer = take(s);
    for (const s of touched) {
      if (lastUse.get(s) === i && !kept.has(s)) reusable.push({ buffer: s.buffer!, bytes: capacity.get(s)! });
    }
  });
  for (const s of kept) if (transients.has(s) && !s.buffer) s.buffer = take(s);
}

const UNIFORM_SLOT = 256;

function packUniforms(gpu: Gpu, label: string, dispatches: readonly RecordedDispatch[]) {
  // Equal parameter blocks share a slot: a transformer repeats its shapes in every block.
  const slotOf = new Map<string, number>();
  const blocks: Uint32Array[] = [];
  const slots = dispatches.map(({ params, program }) => {
    if (params.byteLength > UNIFORM_SLOT)
      throw new GpuValidationError(`${program.name}: ${params.byteLength} bytes of parameters`);
    const key = params.join();
    const slot = slotOf.get(key) ?? blocks.push(params) - 1;
    slotOf.set(key, slot);
    return slot * UNIFORM_SLOT;
  });
  if (blocks.length === 0) return { buffer: undefined, slots };
  gpu.counters.buffers++;
  const buffer = gpu.device.createBuffer({
    label: `${label} parameters`,
    size: blocks.length * UNIFORM_SLOT,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  });
  const all = new Uint32Array((blocks.length * UNIFORM_SLOT) / 4);
  blocks.forEach((block, i) => {
    all.set(block, (i * UNIFORM_SLOT) / 4);
  });
  gpu.device.queue.writeBuffer(buffer, 0, all);
  return { buffer, slots };
}

/** A view of storage, as tensors are; recording.ts must not know tensors. */
interface HasStorage {
  readonly storage: Storage;
}

function collectStorages(value: unknown, into: Set<Storage>): void {
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return;
  if ("storage" in value) into.add((value as HasStorage).storage);
  else for (const inner of Object.values(value)) collectStorages(inner, into);
}
