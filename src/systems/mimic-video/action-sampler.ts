/**
 * Sampling an action chunk: Euler steps of the action flow from noise (t = 0) to clean (t = 1), as the reference's
 * `sample` does (docs/references.md, "sampling"), every state traced.
 *
 * A remembering step sees the self-attention keys and values of the step before and continues its recurrence, and hands on its own: its
 * result then depends on the way to it. Those are the last c of the M steps, and the first of them begins with nothing; up to 0.4.0 all
 * steps of the reference, since then its `num_cached_steps`, 1 by default, which is none. The others evaluate the flow at (x, t) alone.
 *
 * Axes: B batch, n actions of width A, J robot state, S video tokens of width V, M steps, c of them remember.
 */
import { UsageError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { record, type Replay } from "../../gpu/recording.ts";
import { copyBox } from "../../kernels/copy.ts";
import { affine } from "../../kernels/elementwise.ts";
import { advance } from "../../kernels/flow.ts";
import { ActionDecoder } from "../../networks/lucidrains-action/decoder.ts";
import { flowAndRate } from "../../networks/lucidrains-action/derivative.ts";
import {
  type TimeRates,
  type TimeTable,
  type TokenRows,
  tokenRows,
} from "../../networks/lucidrains-action/times.ts";
import {
  type ActionMemory,
  countConditions,
  type VideoContext,
} from "../../networks/lucidrains-action/tower.ts";
import { createTensor, readTensor, releaseTensor, type Tensor, writeTensor } from "../../tensor/tensor.ts";
import { linspace } from "../../sampling/grid.ts";
import { flowStraightness } from "../../sampling/meanflow-measures.ts";

/** What is fixed when a sampler is made. */
export interface ActionSamplerOptions {
  /** B */
  readonly batch: number;
  /** S of each captured hidden state, in the order of capture */
  readonly videoTokens: readonly number[];
  /** M, default 16 */
  readonly steps?: number;
  /** c, how many of the last steps remember: true for all, false (as 0 and 1) for none; default: as in the model's edition of the reference */
  readonly memory?: boolean | number;
  /** p, actions at the beginning of the chunk that are given; 0 to n − 1, default none */
  readonly prefixLength?: number;
  /** most distinct video times in a batch; default B */
  readonly distinctVideoTimes?: number;
  readonly masked?: boolean;
  /** whether the straightness of the flow is measured at every state, at thrice the cost of a step; not with a memory or a prefix */
  readonly straightness?: boolean;
  readonly withTasks?: boolean;
  readonly withAdvantages?: boolean;
  /** whether the body is described from outside */
  readonly withBody?: boolean;
}

/** Values of one run. */
export interface ActionSampleInputs {
  /** (B, n, A) */
  readonly noise: Float32Array;
  /** (B, J) */
  readonly jointState: Float32Array;
  /** per captured layer (B, S, V); left out where the caller has written `ActionSampler.videoHiddens` on the GPU */
  readonly videoHiddens?: readonly Float32Array[];
  /**
   * Hidden states of a video tower that runs anew in step k, in the place of `videoHiddens`: what the reference does since 0.4.1, where the
   * tower draws other noise in every step. Asked for up to the first remembering step, whose hidden states stay. Without it one evaluation
   * of the tower serves all steps: another, equally valid draw.
   */
  readonly towerHiddens?: (step: number) => Promise<readonly Float32Array[]> | readonly Float32Array[];
  /** τ of each item, 0 clean to 1 noise; default 0, as in the reference */
  readonly videoTimes?: ArrayLike<number>;
  /** (B, p, A) in the caller's units */
  readonly prefix?: Float32Array;
  /** (B, S), 0 = hidden */
  readonly contextMask?: ArrayLike<number>;
  /** (B) */
  readonly taskIds?: ArrayLike<number>;
  /** (B), −1 = none given */
  readonly advantageIds?: ArrayLike<number>;
  /** (B, width of the description) */
  readonly bodyCond?: Float32Array;
}

/** How straight the way ahead is at a state: see sampling/meanflow-measures.ts. */
export interface FlowStraightness {
  /** t */
  readonly time: number;
  /** (B) (1 − t)·‖dv/dt‖ along the way */
  readonly residual: Float64Array;
  /** (B) ‖v‖ */
  readonly speed: Float64Array;
}

/** What the callback sees after a step; tensors stay on the GPU and are overwritten by the next step. */
export interface ActionStep {
  /** steps taken so far, 1 to `steps` */
  readonly step: number;
  readonly steps: number;
  /** t of the state x */
  readonly time: number;
  /** (B, n, A) the state after the step */
  readonly x: Tensor;
  /** (B, n, A) the velocity that led to it */
  readonly flow: Tensor;
}

export interface ActionRunOptions {
  /** whether the video is that of the run before, whose keys and values are kept; default false */
  readonly sameVideo?: boolean;
  /** returning false stops the run */
  readonly onStep?: (state: ActionStep) => void | boolean | Promise<void | boolean>;
  readonly signal?: AbortSignal;
}

export interface ActionSamples {
  /** steps taken: fewer than asked when the callback stopped the run */
  readonly steps: number;
  /** t of the states, M + 1 */
  readonly times: readonly number[];
  /** (B, n, A) the last state, in the caller's units, prefix included */
  readonly actions: Float32Array;
  /** (steps + 1, B, n, A) x_n, in the network's running units; the prefix stands in front from the beginning */
  readonly iterates: Float32Array;
  /** (steps, B, n, A) x_n + (1 − t_n)·v_n */
  readonly oneJump: Float32Array;
  /** at the states from which steps were taken, where that was asked */
  readonly straightness?: readonly FlowStraightness[];
}

interface Buffers {
  readonly x: Tensor;
  readonly jointState: Tensor;
  readonly hiddens: readonly Tensor[];
  readonly prefix?: Tensor;
  readonly mask?: Tensor;
  readonly taskIds?: Tensor;
  readonly advantageRows?: Tensor;
  readonly bodyCond?: Tensor;
  readonly step: Tensor;
  readonly iterates: Tensor;
  readonly oneJump: Tensor;
}

interface Replays {
  readonly begin: Replay;
  readonly context: Replay<VideoContext>;
  /** entry 0 begins with nothing; remembering steps behind the first replay 1 and 2 in turn; without a memory there is one */
  readonly steps: readonly Replay<{ flow: Tensor }>[];
  readonly end: Replay<Tensor>;
  readonly derivative?: Replay<{ flow: Tensor; rate: Tensor }>;
}

/** Everything is recorded when the sampler is made; a run only writes inputs and replays. */
export class ActionSampler {
  readonly gpu: Gpu;
  readonly options: Required<ActionSamplerOptions>;
  /** c */
  readonly #cached: number;
  readonly #decoder: ActionDecoder;
  readonly #grid: readonly number[];
  readonly #buffers: Buffers;
  readonly #times: TimeTable;
  readonly #memories: readonly ActionMemory[];
  readonly #rates: TimeRates | undefined;
  #replays!: Replays;

  private constructor(gpu: Gpu, decoder: ActionDecoder, options: ActionSamplerOptions) {
    const { chunkLength, actionDim, jointDim, videoDim, taskIds, advantageIds, bodyCondDim } = decoder.config;
    const o = {
      ...{ steps: 16, prefixLength: 0, distinctVideoTimes: options.batch },
      ...{ masked: false, withTasks: false, withAdvantages: false, withBody: false, straightness: false },
      ...options,
      memory: options.memory ?? decoder.edition.cachedSteps === "all",
    };
    for (const size of [o.batch, o.steps, o.distinctVideoTimes, ...o.videoTokens]) {
      if (!Number.isInteger(size) || size < 1)
        throw new UsageError(
          `an action sampler for sizes ${[o.batch, ...o.videoTokens].join(", ")}: positive whole numbers are needed; check the lengths of the inputs`,
        );
    }
    if (!Number.isInteger(o.prefixLength) || o.prefixLength < 0 || o.prefixLength >= chunkLength)
      throw new UsageError(`a prefix of ${o.prefixLength} actions; a chunk has ${chunkLength}`);
    if (o.withTasks && taskIds === 0) throw new UsageError("task ids were given; this model has none");
    if (o.withAdvantages && advantageIds === 0)
      throw new UsageError("advantage ids were given; this model has none");
    if (o.withBody && bodyCondDim === 0)
      throw new UsageError("a description of the body was given; this model takes none");
    const { mostSteps } = decoder.edition;
    if (o.steps > mostSteps)
      throw new UsageError(
        `${o.steps} action steps; this model's sampler takes at most ${mostSteps} (max_sample_steps)`,
      );
    const cached = typeof o.memory === "number" ? o.memory : o.memory ? o.steps : 0;
    if (!Number.isInteger(cached) || cached < 0)
      throw new UsageError(`${cached} remembering steps: a whole number from 0 on is needed`);
    if (o.straightness && (cached > 1 || o.prefixLength > 0))
      throw new UsageError(
        "the straightness of a flow whose steps remember, or of one with a prefix, cannot be measured: leave out the memory and the prefix",
      );
    this.gpu = gpu;
    this.options = o;
    this.#cached = Math.min(cached, o.steps);
    this.#decoder = decoder;
    this.#grid = linspace(0, 1, o.steps);
    const { batch, steps } = o;
    const empty = (label: string, ...shape: number[]): Tensor => createTensor(gpu, shape, undefined, label);
    const ids = (label: string, ...shape: number[]): Tensor =>
      createTensor(gpu, shape, new Uint32Array(shape.reduce((a, b) => a * b, 1)), label);
    const shape = [batch, chunkLength, actionDim];
    this.#buffers = {
      x: empty("actions", ...shape),
      jointState: empty("joint state", batch, jointDim),
      hiddens: o.videoTokens.map((tokens) => empty("video hiddens", batch, tokens, videoDim)),
      prefix: o.prefixLength > 0 ? empty("prefix", batch, o.prefixLength, actionDim) : undefined,
      mask: o.masked ? ids("context mask", batch, o.videoTokens[0]) : undefined,
      taskIds: o.withTasks ? ids("task ids", batch) : undefined,
      advantageRows: o.withAdvantages ? ids("advantage ids", batch) : undefined,
      bodyCond: o.withBody ? empty("body", batch, bodyCondDim) : undefined,
      step: ids("step", 1),
      iterates: empty("iterates", steps + 1, ...shape),
      oneJump: empty("one jump", steps, ...shape),
    };
    // A prefix has its own action time for each video time, and the condition tokens another pair.
    const rows = o.prefixLength > 0 ? 2 * o.distinctVideoTimes + 1 : o.distinctVideoTimes;
    this.#times = decoder.createTimes(gpu, rows, batch * this.#tokens);
    if (o.straightness) this.#rates = this.#times.createRates();
    const remembered = this.#cached > 1 ? 2 : 0;
    this.#memories = Array.from({ length: remembered }, () => decoder.createMemory(gpu, batch, this.#tokens));
  }

  /**
   * Allocates and records for one batch shape. Free it with `dispose`.
   * @throws UsageError for options that the model does not have
   */
  static async create(
    gpu: Gpu,
    decoder: ActionDecoder,
    options: ActionSamplerOptions,
  ): Promise<ActionSampler> {
    const sampler = new ActionSampler(gpu, decoder, options);
    await sampler.#record();
    return sampler;
  }

  /** Inputs (B, S, V) per captured layer, for a producer on the GPU to write. */
  get videoHiddens(): readonly Tensor[] {
    return this.#buffers.hiddens;
  }

  /** N */
  get #tokens(): number {
    const { config } = this.#decoder;
    const { withTasks, withAdvantages, withBody } = this.options;
    const given = {
      taskIds: withTasks || undefined,
      advantageRows: withAdvantages || undefined,
      bodyCond: withBody || undefined,
    };
    return config.chunkLength + countConditions(config, given);
  }

  async #record(): Promise<void> {
    const { gpu } = this;
    const decoder = this.#decoder;
    const { steps, prefixLength } = this.options;
    const { x, jointState, hiddens, prefix, mask, taskIds, advantageRows, bodyCond, ...trace } =
      this.#buffers;
    const begin = await record(gpu, "begin actions", () => {
      if (prefix) overwriteFront(decoder.normalize(prefix), x);
      copyBox(x, trace.iterates, [x.size], { strides: [1] }, { strides: [1] });
    });
    const context = await record(gpu, "action context", () => decoder.prepareContext(hiddens, mask));
    const inputs = {
      ...{ actions: x, jointState, times: this.#times, context: context.outputs },
      ...{ taskIds, advantageRows, bodyCond },
    };
    const step = (read?: ActionMemory, keep?: ActionMemory): Promise<Replay<{ flow: Tensor }>> =>
      record(gpu, "action step", () => {
        const { flow } = decoder.forward({ ...inputs, memory: read, keep });
        advance(x, flow, this.#times, 1 / steps, prefixLength, trace);
        return { flow };
      });
    const [even, odd] = this.#memories;
    const replays = [await step(undefined, even)];
    // A step may not read and write one memory, so two take turns.
    if (this.#cached > 1) replays.push(await step(even, odd), await step(odd, even));
    const end = await record(gpu, "end actions", () => {
      const actions = decoder.denormalize(x);
      const out = affine(actions, 1);
      if (prefix) overwriteFront(prefix, out);
      return out;
    });
    const rates = this.#rates;
    const derivative =
      rates && (await record(gpu, "rate of the flow", () => flowAndRate(decoder, inputs, rates)));
    this.#replays = { begin, context, steps: replays, end, derivative };
  }

  /** At the state that stands, of step k. */
  async #straightness(
    k: number,
    rows: TokenRows,
    derivative: NonNullable<Replays["derivative"]>,
  ): Promise<FlowStraightness> {
    this.#times.writeRates(rows.pairs, this.#rates!);
    await derivative.run();
    const [flow, rate] = [
      await readTensor(this.gpu, derivative.outputs.flow),
      await readTensor(this.gpu, derivative.outputs.rate),
    ];
    const time = this.#grid[k];
    return { time, ...flowStraightness(flow, rate, 1 - time, this.options.batch) };
  }

  /**
   * Samples one batch.
   * @throws UsageError when an input is missing, superfluous or of the wrong size; the signal's reason when aborted
   */
  async run(
    inputs: ActionSampleInputs,
    { onStep, signal, sameVideo = false }: ActionRunOptions = {},
  ): Promise<ActionSamples> {
    const { gpu } = this;
    const { steps } = this.options;
    const { x, step: stepTensor, iterates, oneJump } = this.#buffers;
    const { begin, context, steps: replays, end, derivative } = this.#replays;
    const straightness: FlowStraightness[] = [];
    const { towerHiddens } = inputs;
    if (towerHiddens && inputs.videoHiddens)
      throw new UsageError("hidden states were given for all steps and for each of them; give one");
    this.#write(inputs);
    await begin.run();
    if (!towerHiddens && !sameVideo) await context.run();
    const first = steps - this.#cached;
    let taken = 0;
    while (taken < steps) {
      signal?.throwIfAborted();
      if (towerHiddens && taken <= first) {
        this.#writeHiddens(await towerHiddens(taken));
        await context.run();
      }
      writeTensor(gpu, stepTensor, Uint32Array.of(taken));
      const rows = this.#rows(taken, inputs.videoTimes);
      this.#times.write(rows);
      if (derivative) straightness.push(await this.#straightness(taken, rows, derivative));
      const remembered = taken - first;
      const replay = replays.length === 1 || remembered <= 0 ? replays[0] : replays[2 - (remembered % 2)];
      await replay.run();
      taken++;
      const state = { step: taken, steps, time: this.#grid[taken], x, flow: replay.outputs.flow };
      if ((await onStep?.(state)) === false) break;
    }
    await end.run();
    return {
      steps: taken,
      times: this.#grid,
      actions: await readTensor(gpu, end.outputs),
      iterates: (await readTensor(gpu, iterates)).subarray(0, (taken + 1) * x.size),
      oneJump: (await readTensor(gpu, oneJump)).subarray(0, taken * x.size),
      ...(derivative && { straightness }),
    };
  }

  /** Frees everything the sampler holds. */
  dispose(): void {
    const { begin, context, steps, end, derivative } = this.#replays;
    for (const replay of [begin, context, ...steps, end, derivative]) replay?.dispose();
    const { hiddens, ...rest } = this.#buffers;
    for (const tensor of [...hiddens, ...Object.values(rest)]) if (tensor) releaseTensor(this.gpu, tensor);
    for (const memory of this.#memories) ActionDecoder.releaseMemory(this.gpu, memory);
    for (const rate of Object.values(this.#rates ?? {})) releaseTensor(this.gpu, rate as Tensor);
    this.#times.release();
  }

  /** The times of step k. With a prefix they are per token: the prefix is clean, and so are the condition tokens. */
  #rows(k: number, videoTimes?: ArrayLike<number>): TokenRows {
    const { batch, prefixLength } = this.options;
    const { chunkLength } = this.#decoder.config;
    const video = Array.from({ length: batch }, (_, b) => videoTimes?.[b] ?? 0);
    const conditions = this.#tokens - chunkLength;
    const t = this.#grid[k];
    if (prefixLength === 0)
      return tokenRows(new Array<number>(batch).fill(t), video, chunkLength, conditions, "item");
    const times = Array.from({ length: batch * chunkLength }, (_, i) =>
      i % chunkLength < prefixLength ? 1 : t,
    );
    return tokenRows(times, video, chunkLength, conditions, "token");
  }

  #write(inputs: ActionSampleInputs): void {
    const { gpu } = this;
    const b = this.#buffers;
    const { batch } = this.options;
    const { taskIds: tasks, advantageIds: advantages } = this.#decoder.config;
    const put = (name: string, tensor: Tensor | undefined, values?: Float32Array | Uint32Array): void => {
      if (!tensor !== !values) {
        throw new UsageError(
          `${name}: ${values ? "given, but" : "missing;"} the sampler was made ${tensor ? "with" : "without"} it`,
        );
      }
      if (tensor && values) writeTensor(gpu, tensor, values);
    };
    if (inputs.videoTimes && inputs.videoTimes.length !== batch)
      throw new UsageError(`${inputs.videoTimes.length} video times for a batch of ${batch}`);
    put("noise", b.x, inputs.noise);
    put("jointState", b.jointState, inputs.jointState);
    put("prefix", b.prefix, inputs.prefix);
    put("contextMask", b.mask, inputs.contextMask && Uint32Array.from(inputs.contextMask));
    put("taskIds", b.taskIds, inputs.taskIds && idRows("task", inputs.taskIds, 0, tasks));
    put(
      "advantageIds",
      b.advantageRows,
      inputs.advantageIds && idRows("advantage", inputs.advantageIds, 1, advantages + 1),
    );
    put("bodyCond", b.bodyCond, inputs.bodyCond);
    if (inputs.videoHiddens) this.#writeHiddens(inputs.videoHiddens);
  }

  #writeHiddens(given: readonly Float32Array[]): void {
    const { hiddens } = this.#buffers;
    if (given.length !== hiddens.length)
      throw new UsageError(`${given.length} hidden states for ${hiddens.length} captured layers`);
    hiddens.forEach((tensor, i) => writeTensor(this.gpu, tensor, given[i]));
  }
}

/** Ids plus `offset` as rows of a table. @throws UsageError naming an id outside of it */
export function idRows(what: string, ids: ArrayLike<number>, offset: number, rows: number): Uint32Array {
  return Uint32Array.from(ids, (id) => {
    const row = id + offset;
    if (!Number.isInteger(row) || row < 0 || row >= rows)
      throw new UsageError(`${what} id ${id} is not one of ${-offset} to ${rows - offset - 1}`);
    return row;
  });
}

/** Samples one batch with a sampler of its own; for repeated runs make an `ActionSampler` once. */
export async function sampleActions(
  gpu: Gpu,
  decoder: ActionDecoder,
  inputs: ActionSampleInputs,
  options: Pick<ActionSamplerOptions, "steps" | "memory" | "straightness"> & ActionRunOptions = {},
): Promise<ActionSamples> {
  const { chunkLength, actionDim, videoDim } = decoder.config;
  const batch = inputs.noise.length / (chunkLength * actionDim);
  const { towerHiddens } = inputs;
  const hiddens = inputs.videoHiddens ?? (await towerHiddens?.(0));
  if (!hiddens) throw new UsageError("sampling actions needs hidden states of the video");
  const sampler = await ActionSampler.create(gpu, decoder, {
    ...{ batch, steps: options.steps ?? 16, memory: options.memory, straightness: options.straightness },
    videoTokens: hiddens.map((hidden) => hidden.length / (batch * videoDim)),
    prefixLength: (inputs.prefix?.length ?? 0) / (batch * actionDim),
    distinctVideoTimes: new Set(Array.from(inputs.videoTimes ?? [0])).size,
    masked: inputs.contextMask !== undefined,
    withTasks: inputs.taskIds !== undefined,
    withAdvantages: inputs.advantageIds !== undefined,
    withBody: inputs.bodyCond !== undefined,
  });
  try {
    // A tower draws anew whenever it is asked.
    const once = towerHiddens && ((step: number) => (step === 0 ? hiddens : towerHiddens(step)));
    return await sampler.run({ ...inputs, towerHiddens: once }, options);
  } finally {
    sampler.dispose();
  }
}

/** Writes front (B, p, A) over the first p actions of x (B, n, A). */
function overwriteFront(front: Tensor, x: Tensor): void {
  const [batch, length, width] = front.shape;
  const box = [batch, length * width];
  copyBox(front, x, box, { strides: [length * width, 1] }, { strides: [x.dim(1) * width, 1] });
}
