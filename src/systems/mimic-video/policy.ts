/**
 * A mimic-video model as a policy: pictures become the context, the future behind them is imagined as far as it is asked for, and the
 * action chunk is decoded from the hidden states tapped there.
 *
 * Noise of a query: `video/query/0` and `action/query/0` with the query's seed (src/sampling/noise.ts), drawn as for an item of the
 * probe with that id, so that a policy and a probe with equal seeds start alike.
 *
 * Axes: B queries of one batch, F context frames, S text tokens of width D, n actions of width A, J robot state.
 */
import { NonFiniteError, UsageError } from "../../errors.ts";
import { Pace } from "../../gpu/pace.ts";
import type { Replay } from "../../gpu/recording.ts";
import type { TextContext } from "../../networks/cosmos/transformer.ts";
import type { Tap, TimedTap } from "../../probe/subject.ts";
import { copyTensor } from "../../tensor/tensor.ts";
import { joined } from "../arrays.ts";
import type { Acted, ActOptions, Observation, Picture, Policy, PolicyDescription, Query } from "../policy.ts";
import { ActionSampler } from "./action-sampler.ts";
import { actionNoise, imagine, VIDEO_STEPS, videoNoise } from "./imagine.ts";
import type { MimicVideo } from "./model.ts";
import { type TextBatch, textBatch } from "./text-batch.ts";

/** What the noise of a query is drawn for. */
export const QUERY = { id: "query", index: 0 };

/** The model has one camera; observations call it so. */
export const CAMERA = "image";

/** Prompts whose encoding is kept, the last used ones: a few kilobytes each. */
const MOST_PROMPTS = 32;

/** The policies of one model: they remember nothing of their own, and share what a query needs. */
export class Policies {
  readonly description: PolicyDescription;
  readonly #model: MimicVideo;
  /** keys and values of prompts, (1, S, D) each, the last used one last */
  readonly #prompts = new Map<string, Replay<TextContext>>();
  /** by batch */
  readonly #samplers = new Map<number, ActionSampler>();
  /** the query before, whatever became of it: samplers serve one at a time */
  #turn: Promise<unknown> = Promise.resolve();
  #users = 0;

  constructor(model: MimicVideo) {
    this.#model = model;
    this.description = describe(model);
  }

  /** Another one. */
  policy(): Policy {
    let disposed = false;
    this.#users++;
    const act: NonNullable<Policy["actMany"]> = (queries, options) => {
      if (disposed) throw new UsageError("this policy was disposed; ask the model for another one");
      return this.#inTurn(() => this.#act(queries, options));
    };
    return {
      description: this.description,
      reset: () => undefined,
      act: async (observation, { seed, ...options } = {}) => (await act([{ observation, seed }], options))[0],
      actMany: async (queries, options = {}) => act(queries, options),
      dispose: () => {
        if (disposed) return;
        disposed = true;
        if (--this.#users === 0) void this.#inTurn(async () => this.#free());
      },
    };
  }

  /** When what was asked before is answered. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  async #act(
    queries: readonly Query[],
    { stop = this.description.stops.default, signal }: Omit<ActOptions, "seed"> = {},
  ): Promise<Acted[]> {
    const { last } = this.description.stops;
    if (!Number.isInteger(stop) || stop < 0 || stop > last)
      throw new UsageError(`stop ${stop}: actions can be read after 0 to ${last} steps`);
    if (queries.length === 0) return [];
    const seen = queries.map(({ observation }) => this.#look(observation));
    const noises = queries.map(({ seed = 0 }) => ({
      video: videoNoise(this.#model, QUERY, seed),
      action: actionNoise(this.#model, QUERY, seed),
    }));
    signal?.throwIfAborted();

    const watch = new Watch(this.#model);
    const text = await this.#texts(queries.map(({ observation }) => observation.prompt));
    await watch.lap("prompt");
    const context = await this.#model.encodeContext(joined(seen.map(({ frames }) => frames)));
    try {
      await watch.lap("context");
      const prepared = { context: context.outputs, text: text.context };
      const video = joined(noises.map((noise) => noise.video));
      let chunks: Float32Array[] = [];
      for await (const state of imagine(this.#model, prepared, video, { last: stop, signal })) {
        if (state.step < stop) continue;
        const tap = await state.tap("hidden");
        await watch.lap("video");
        const noise = joined(noises.map(({ action }) => action));
        const jointState = joined(seen.map((one) => one.state));
        chunks = await this.#decode({ tap, time: state.time }, noise, jointState, signal);
        await watch.lap("actions");
      }
      return chunks.map((actions) => ({ actions, timing: watch.timing }));
    } finally {
      context.dispose();
      text.release();
    }
  }

  /** (B, n, A) of noise and (B, J) of states → B chunks in the data's units */
  async #decode(
    { tap, time }: TimedTap,
    noise: Float32Array,
    jointState: Float32Array,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const { gpu, actionDecoder, description } = this.#model;
    const batch = tap[0].dim(0);
    const sampler = await this.#sampler(tap);
    tap.forEach((x, i) => copyTensor(gpu, x, sampler.videoHiddens[i]));
    const pace = new Pace(gpu);
    const { iterates, steps } = await sampler.run(
      { noise, jointState, videoTimes: new Array<number>(batch).fill(time) },
      { signal, onStep: () => pace.step() },
    );
    const actions = actionDecoder.toData(iterates.subarray(steps * noise.length));
    const bad = actions.find((value) => !Number.isFinite(value));
    if (bad !== undefined)
      throw new NonFiniteError(
        `${description.name}: an action is ${bad}; are the pictures and the state of the kind that the model was trained on?`,
      );
    const size = actions.length / batch;
    return Array.from({ length: batch }, (_, b) => actions.slice(b * size, (b + 1) * size));
  }

  /** @throws UsageError naming what does not fit */
  #look({ frames, state, prompt }: Observation): { frames: Float32Array; state: Float32Array } {
    const { cameras, state: names } = this.description;
    const [{ name, size, frames: F }] = cameras;
    const unknown = Object.keys(frames).find((camera) => camera !== name);
    if (unknown !== undefined)
      throw new UsageError(`there is no camera "${unknown}"; the model sees one, "${name}"`);
    const pictures = Object.hasOwn(frames, name) ? frames[name] : [];
    if (pictures.length === 0) throw new UsageError(`no picture of the camera "${name}" was given`);
    if (typeof prompt !== "string") throw new UsageError("the prompt is missing; give a text");
    if (state.length !== names.length)
      throw new UsageError(
        `the state has ${state.length} values, expected ${names.length} (${names.join(", ")})`,
      );
    const bad = state.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new UsageError(`${names[bad]} of the state is ${state[bad]}; finite numbers are needed`);
    const recent = pictures.slice(-F);
    const context = [...new Array<Picture>(F - recent.length).fill(recent[0]), ...recent];
    return { frames: contextOf(context, size), state };
  }

  /** Keys and values of the prompts, one batch; prompts that were encoded before are not encoded again. */
  async #texts(prompts: readonly string[]): Promise<TextBatch> {
    for (const prompt of new Set(prompts)) {
      const text = this.#prompts.get(prompt) ?? (await this.#model.encodePrompt(prompt));
      this.#prompts.delete(prompt);
      this.#prompts.set(prompt, text);
    }
    const batch = textBatch(
      this.#model.gpu,
      prompts.map((prompt) => this.#prompts.get(prompt)!.outputs),
    );
    const [...oldest] = this.#prompts.keys();
    for (const prompt of oldest.slice(0, -MOST_PROMPTS)) {
      this.#prompts.get(prompt)!.dispose();
      this.#prompts.delete(prompt);
    }
    return batch;
  }

  async #sampler(tap: Tap): Promise<ActionSampler> {
    const batch = tap[0].dim(0);
    const known = this.#samplers.get(batch);
    if (known) return known;
    const { gpu, actionDecoder, description } = this.#model;
    const sampler = await ActionSampler.create(gpu, actionDecoder, {
      ...{ batch, steps: description.actionSteps, memory: description.samplerMemory },
      ...{ videoTokens: tap.map((x) => x.dim(1)), distinctVideoTimes: 1 },
    });
    this.#samplers.set(batch, sampler);
    return sampler;
  }

  #free(): void {
    for (const sampler of this.#samplers.values()) sampler.dispose();
    for (const text of this.#prompts.values()) text.dispose();
    this.#samplers.clear();
    this.#prompts.clear();
  }
}

/** Time by part: the GPU is waited for, as work of one part would otherwise be counted with the next. */
class Watch {
  readonly timing: Record<string, number> = {};
  readonly #model: MimicVideo;
  #last = performance.now();

  constructor(model: MimicVideo) {
    this.#model = model;
  }

  async lap(part: string): Promise<void> {
    await this.#model.gpu.idle();
    const now = performance.now();
    this.timing[part] = now - this.#last;
    this.#last = now;
  }
}

/**
 * Pictures as the context (3, F, rows, columns) in [0, 1].
 * @throws UsageError for a picture of another size: what would have to be cut or stretched is for whoever knows the camera
 */
function contextOf(pictures: readonly Picture[], [rows, columns]: readonly [number, number]): Float32Array {
  const pixels = rows * columns;
  const context = new Float32Array(3 * pictures.length * pixels);
  pictures.forEach(({ width, height, rgb }, f) => {
    if (height !== rows || width !== columns || rgb.length !== 3 * pixels)
      throw new UsageError(
        `a picture of ${width}×${height} pixels with ${rgb.length} bytes; the model sees ${columns}×${rows} with three bytes a pixel. ` +
          "Resize it before it is sent.",
      );
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < pixels; i++) context[(c * pictures.length + f) * pixels + i] = rgb[3 * i + c] / 255;
  });
  return context;
}

/** What the model's own files say of a policy. */
function describe(model: MimicVideo): PolicyDescription {
  const { name, contextFrames, frameSize, futureLatents, action } = model.description;
  const [positions] = model.chunkShape;
  const futureFrames = futureLatents * model.vae.config.temporalCompression;
  return {
    name,
    // The description has no clock: time is counted in frames, of which each lasts a second.
    cameras: [{ name: CAMERA, frames: contextFrames, interval: 1, size: frameSize }],
    state: Array.from({ length: model.actionDecoder.config.jointDim }, (_, j) => `state ${j}`),
    actions: {
      names: action.names,
      units: action.units,
      positions,
      // A chunk and the imagined future last equally long.
      interval: futureFrames / positions,
    },
    // The method itself acts on one look at pure noise.
    stops: { last: VIDEO_STEPS, default: 0 },
  };
}
