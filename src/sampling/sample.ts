/**
 * The one loop: a state follows a scheduler's table, and every state can be looked at on the way. State k stands after k steps; the
 * network's call there gives both the next step and what is tapped, so one trajectory has the taps of every step, and only the last
 * state needs a call of its own.
 *
 * The generator is left by leaving the loop. Everything is recorded before the first step; a step only replays, and what changes is
 * a tensor of coefficients.
 */
import { UsageError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { record, type Replay } from "../gpu/recording.ts";
import { combine } from "../kernels/combine.ts";
import { assign } from "../kernels/copy.ts";
import { clamp } from "../kernels/elementwise.ts";
import { constant, createTensor, releaseTensor, type Tensor, writeTensor } from "../tensor/tensor.ts";
import type { Denoiser } from "./denoiser.ts";
import { type Scheduler, stepsOf, type Terms } from "./scheduler.ts";

export interface SampleOptions {
  readonly scheduler: Scheduler;
  /** last state that is wanted; default N */
  readonly last?: number;
  /** Records what is known better than the estimate says: frames that stay given. */
  readonly constrain?: (clean: Tensor) => Tensor;
  /** standard Gaussian noise for call i, where a scheduler asks for it */
  readonly freshNoise?: (i: number) => Float32Array<ArrayBuffer>;
  readonly signal?: AbortSignal;
}

/** What stands at a state. Tensors stay on the GPU and are overwritten by the next step. */
export interface SampleState {
  /** k, from 0 to `last` */
  readonly step: number;
  readonly steps: number;
  readonly time: number;
  /** absent at the last state of the schedule */
  readonly nextTime?: number;
  readonly latents: Tensor;
  /** Evaluates the network here, once, and gives what it taps. */
  tapped(): Promise<readonly Tensor[]>;
  /** Evaluates the network here once more, at what `latents` hold now; what `tapped` gave is overwritten. */
  again(): Promise<readonly Tensor[]>;
}

/**
 * Moves `x` in place along the schedule and stands still at every state.
 * @throws the signal's reason when it is aborted; UsageError when the scheduler asks for what is not given
 */
export async function* sample(
  gpu: Gpu,
  denoiser: Denoiser,
  x: Tensor,
  options: SampleOptions,
): AsyncGenerator<SampleState, void, void> {
  const { scheduler, signal } = options;
  const { times, states } = scheduler;
  const steps = stepsOf(scheduler);
  const { last = steps } = options;
  if (!Number.isInteger(last) || last < 0 || last > steps)
    throw new UsageError(`state ${last} of a schedule of ${steps} steps: 0 to ${steps} exist`);
  const walk = last > 0 ? await Walk.record(gpu, denoiser, x, options) : undefined;
  let end: Replay<readonly Tensor[]> | undefined;
  try {
    for (let k = 0; k <= last; k++) {
      signal?.throwIfAborted();
      let looked: Promise<readonly Tensor[]> | undefined;
      const look = async (): Promise<readonly Tensor[]> => {
        if (walk && k < last) return walk.look(states[k]);
        // What the walk held is free for the last look.
        walk?.dispose();
        end ??= await recordTaps(gpu, denoiser, x, scheduler.input?.(states[k]));
        denoiser.setCall(scheduler.call(states[k]));
        await end.run();
        return end.outputs;
      };
      yield {
        ...{ step: k, steps, time: times[k], nextTime: times.at(k + 1), latents: x },
        tapped: () => (looked ??= look()),
        again: () => {
          // The next step is one from the state itself.
          looked = undefined;
          return look();
        },
      };
      if (k === last) return;
      for (let i = states[k]; i < states[k + 1]; i++) {
        signal?.throwIfAborted();
        if (i > states[k] || !looked) await walk!.look(i);
        else await looked;
        await walk!.move(i);
      }
    }
  } finally {
    walk?.dispose();
    end?.dispose();
  }
}

function recordTaps(gpu: Gpu, denoiser: Denoiser, x: Tensor, scale = 1): Promise<Replay<readonly Tensor[]>> {
  return record(gpu, "evaluate the last state", () => {
    const factor = constant([1], Float32Array.of(scale), "input scale");
    return denoiser.evaluate(scale === 1 ? x : combine([x], factor), "taps").tapped;
  });
}

/** The recorded step: a look at the state, and the move that follows from it. */
class Walk {
  readonly #gpu: Gpu;
  readonly #denoiser: Denoiser;
  readonly #options: SampleOptions;
  readonly #operands: readonly Operand[];
  /** input scale, clean (x, f), correct and predict (an entry for each operand) */
  readonly #coefficients: Readonly<Record<"input" | "clean" | "correct" | "predict", Tensor>>;
  readonly #past: readonly Tensor[];
  readonly #noise: Tensor | undefined;
  #look!: Replay<{ output?: Tensor; tapped: readonly Tensor[] }>;
  #move!: Replay;
  #disposed = false;

  private constructor(gpu: Gpu, denoiser: Denoiser, x: Tensor, options: SampleOptions) {
    const { scheduler } = options;
    const { history } = scheduler;
    this.#gpu = gpu;
    this.#denoiser = denoiser;
    this.#options = options;
    this.#operands = operandsOf(scheduler);
    const empty = (label: string, ...shape: number[]): Tensor => createTensor(gpu, shape, undefined, label);
    this.#coefficients = {
      input: empty("input scale", 1),
      clean: empty("clean coefficients", 2),
      correct: empty("correct coefficients", this.#operands.length),
      predict: empty("predict coefficients", this.#operands.length),
    };
    this.#past = Array.from({ length: history.length }, () => empty(`past ${history.of}`, ...x.shape));
    this.#noise = this.#operands.includes("noise") ? empty("fresh noise", ...x.shape) : undefined;
    if (this.#noise && !options.freshNoise)
      throw new UsageError(`the scheduler ${scheduler.name} adds noise at every step; none was given`);
  }

  static async record(gpu: Gpu, denoiser: Denoiser, x: Tensor, options: SampleOptions): Promise<Walk> {
    const walk = new Walk(gpu, denoiser, x, options);
    await walk.#record(x);
    return walk;
  }

  async #record(x: Tensor): Promise<void> {
    const { scheduler, constrain } = this.#options;
    const { input, clean: cleanTerms, correct, predict } = this.#coefficients;
    const past = this.#past;
    this.#look = await record(this.#gpu, "evaluate the state", () =>
      this.#denoiser.evaluate(scheduler.input ? combine([x], input) : x, "all"),
    );
    const f = this.#look.outputs.output!;
    this.#move = await record(this.#gpu, "advance the state", () => {
      let clean = scheduler.clean && combine([x, f], cleanTerms);
      if (clean && scheduler.clamp) clean = clamp(clean, ...scheduler.clamp);
      if (clean && constrain) clean = constrain(clean);
      const terms = (state: Tensor): Tensor[] =>
        this.#operands.map((name) => {
          if (name === "x") return state;
          if (name === "f") return f;
          if (name === "clean") return clean!;
          return name === "noise" ? this.#noise! : past[Number(name.slice(5))];
        });
      const corrected = correcting(scheduler) ? combine(terms(x), correct) : x;
      const next = combine(terms(corrected), predict);
      for (let j = past.length - 1; j > 0; j--) assign(past[j], past[j - 1]);
      if (past.length > 0) assign(past[0], scheduler.history.of === "f" ? f : clean!);
      assign(x, next);
    });
  }

  /** Evaluates call i at the state. */
  async look(i: number): Promise<readonly Tensor[]> {
    const { scheduler } = this.#options;
    this.#denoiser.setCall(scheduler.call(i));
    if (scheduler.input) this.#write("input", [scheduler.input(i)]);
    await this.#look.run();
    return this.#look.outputs.tapped;
  }

  /** Moves the state by what call i found. */
  async move(i: number): Promise<void> {
    const { scheduler, freshNoise } = this.#options;
    const { correct, predict } = scheduler.step(i);
    const clean = scheduler.clean?.(i);
    if (clean) this.#write("clean", [clean.x, clean.f]);
    this.#write(
      "correct",
      this.#operands.map((name) => coefficient(correct ?? { x: 1 }, name)),
    );
    this.#write(
      "predict",
      this.#operands.map((name) => coefficient(predict, name)),
    );
    if (this.#noise && (predict.noise ?? correct?.noise)) writeTensor(this.#gpu, this.#noise, freshNoise!(i));
    await this.#move.run();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#move?.dispose();
    this.#look?.dispose();
    for (const tensor of [...Object.values(this.#coefficients), ...this.#past])
      releaseTensor(this.#gpu, tensor);
    if (this.#noise) releaseTensor(this.#gpu, this.#noise);
  }

  #write(name: "input" | "clean" | "correct" | "predict", values: readonly number[]): void {
    writeTensor(this.#gpu, this.#coefficients[name], Float32Array.from(values));
  }
}

/** A term of a step; the past newest first. */
type Operand = "x" | "clean" | "f" | "noise" | `past ${number}`;

const coefficient = (terms: Terms, name: Operand): number =>
  (name.startsWith("past") ? terms.past?.[Number(name.slice(5))] : terms[name as "x"]) ?? 0;

/** What any step of the schedule uses. */
function operandsOf(scheduler: Scheduler): Operand[] {
  const all: Operand[] = ["x", "clean", "f", "noise"];
  for (let j = 0; j < scheduler.history.length; j++) all.push(`past ${j}`);
  const steps = Array.from({ length: scheduler.states.at(-1)! }, (_, i) => scheduler.step(i));
  return all.filter(
    (name) =>
      name === "x" ||
      steps.some(
        ({ correct, predict }) => coefficient(predict, name) !== 0 || coefficient(correct ?? {}, name) !== 0,
      ),
  );
}

const correcting = (scheduler: Scheduler): boolean =>
  Array.from({ length: scheduler.states.at(-1)! }, (_, i) => scheduler.step(i)).some(
    ({ correct }) => correct,
  );
