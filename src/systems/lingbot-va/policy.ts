/**
 * LingBot-VA as a robot's policy: between two queries it takes in the pictures that followed its last chunk, and remembers its own actions as
 * done. So a chunk is carried out whole before the next query.
 */
import { UsageError } from "../../errors.ts";
import { RandomState } from "../../sampling/random-state.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { bfloat16 } from "../../weights/rounded.ts";
import type { Acted, ActOptions, Observation, Policy, PolicyDescription } from "../policy.ts";
import { actionTokens, chunkPositions, usedActions } from "./actions.ts";
import { runChunk } from "./chunk.ts";
import { EpisodeMemory } from "./memory.ts";
import type { LingbotModel } from "./model.ts";
import { keyframeStep, prepareFrames } from "./observations.ts";
import type { ActionStatistics } from "./statistics.ts";
import type { PolicyTexts } from "./text.ts";
import { type PreparedText, prepareText } from "./text-context.ts";

/** Chunks of one seed each draw their noise from a number of their own. */
const SEED_STEP = 1000;

/** Seconds between two actions: LIBERO's simulator takes twenty a second. */
const INTERVAL = 0.05;

export class LingbotPolicy implements Policy {
  readonly description: PolicyDescription;
  readonly #model: LingbotModel;
  readonly #statistics: ActionStatistics;
  readonly #texts: PolicyTexts;
  readonly #memory: EpisodeMemory;
  #text: (PreparedText & { readonly of: string }) | undefined;
  /** chunks of this episode so far, and the last one's actions */
  #chunks = 0;
  #done: Float32Array<ArrayBuffer> | undefined;

  constructor(
    model: LingbotModel,
    statistics: ActionStatistics,
    texts: PolicyTexts,
    names: readonly string[],
  ) {
    const { config } = model;
    const [, F, n] = model.actionShape;
    const step = keyframeStep(model);
    const { videoExecStep, video } = config;
    this.#model = model;
    this.#statistics = statistics;
    this.#texts = texts;
    this.#memory = new EpisodeMemory(model);
    this.description = {
      name: "lingbot-va",
      cameras: config.cameras.map((name) => ({
        ...{ name, frames: (F * n) / step, interval: step * INTERVAL, size: config.frameSize },
      })),
      state: [],
      actions: {
        ...{ names, units: names.map(() => "environment units"), positions: F * n, interval: INTERVAL },
      },
      stops: { last: video.steps, default: videoExecStep < 0 ? video.steps : Math.max(0, videoExecStep - 1) },
    };
  }

  reset(): void {
    this.#chunks = 0;
    this.#done = undefined;
  }

  /** `stop` k reads what the call at state k left: `video_exec_step` k + 1, and of the last state the whole loop. */
  async act(observation: Observation, { stop, ...options }: ActOptions = {}): Promise<Acted> {
    const { last } = this.description.stops;
    if (stop !== undefined && (!Number.isInteger(stop) || stop < 0 || stop > last))
      throw new UsageError(`stop ${stop}: states 0 to ${last} can be read`);
    return this.actAfter(observation, {
      ...options,
      exec: stop === undefined ? undefined : stop === last ? -1 : stop + 1,
    });
  }

  /** The same by the policy's own `video_exec_step`, which may also be 0: no video at all. */
  async actAfter(
    observation: Observation,
    { exec, seed = 0, signal }: Omit<ActOptions, "stop"> & { readonly exec?: number },
  ): Promise<Acted> {
    const model = this.#model;
    const memory = this.#memory;
    const clock = laps();
    const text = await this.#prepared(observation.prompt, signal);
    clock("text");
    await this.#takeIn(observation, text);
    clock("observation");
    const number = (seed + SEED_STEP * this.#chunks) >>> 0;
    const draw = (shape: readonly number[]): Float32Array =>
      new RandomState(number).standardNormal(sizeOf(shape)).map(bfloat16);
    const noises = [draw(model.latentShape), actionTokens(model, draw(model.actionShape))] as const;
    const { actions } = await runChunk({ model, memory, text }, ...noises, { exec, signal });
    this.#done = actions;
    this.#chunks++;
    const chunk = this.#statistics.toData(usedActions(model, actions, memory.start));
    return { actions: chunk, timing: clock("chunk") };
  }

  dispose(): void {
    this.#memory.dispose();
    this.#text?.dispose();
    this.#text = undefined;
  }

  async #prepared(prompt: string, signal?: AbortSignal): Promise<PreparedText> {
    if (this.#text?.of === prompt) return this.#text;
    const model = this.#model;
    await this.#texts.prepare(model.gpu, [prompt], signal);
    this.#text?.dispose();
    const rows = [this.#texts.get(prompt), this.#texts.get("")];
    this.#text = { ...(await prepareText(model, rows, model.config.textRows)), of: prompt };
    return this.#text;
  }

  /** The first picture of an episode, or those that followed the last chunk. */
  async #takeIn({ frames }: Observation, text: PreparedText): Promise<void> {
    const model = this.#model;
    const { cameras, frameSize, mirrored } = model.config;
    const step = keyframeStep(model);
    const count = this.#done ? chunkPositions(model, this.#memory.start) / step : 1;
    const each = cameras.map((name) => {
      const given = frames[name];
      if (!given?.length)
        throw new UsageError(
          `LingBot-VA looks through the camera ${JSON.stringify(name)}; the observation has ${Object.keys(frames).join(", ") || "none"}`,
        );
      if (given.length < count)
        throw new UsageError(
          `${count} pictures of ${JSON.stringify(name)} followed the last chunk, one after every ${step === 1 ? "action" : `${step} actions`}; the observation has ${given.length}`,
        );
      return given.slice(-count);
    });
    const [{ width, height }] = each[0];
    const bytes = new Uint8Array(cameras.length * count * 3 * height * width);
    each.forEach((pictures, v) =>
      pictures.forEach((picture, t) => {
        if (picture.width !== width || picture.height !== height)
          throw new UsageError(
            `pictures of ${picture.height}×${picture.width} beside one of ${height}×${width}; all must be alike`,
          );
        // (height, width, 3) → (3, height, width)
        const at = (v * count + t) * 3 * height * width;
        for (let i = 0; i < height * width; i++)
          for (let c = 0; c < 3; c++) bytes[at + c * height * width + i] = picture.rgb[3 * i + c];
      }),
    );
    const pixels = prepareFrames(bytes, [cameras.length, count, 3, height, width], {
      size: frameSize,
      mirrored,
    });
    if (!this.#done) await this.#memory.begin(pixels);
    else await this.#memory.observe(await this.#memory.encode(pixels, count), this.#done, text.branches);
  }
}

/** Milliseconds by part. */
function laps(): (name: string) => Readonly<Record<string, number>> {
  const timing: Record<string, number> = {};
  let last = performance.now();
  return (name) => {
    const now = performance.now();
    timing[name] = now - last;
    last = now;
    return timing;
  };
}
