/** The recorded episodes that a probe runs on: `episodes.json` and `episodes.safetensors`. */
import { FormatError, UsageError } from "../../errors.ts";
import type { ModelDescription } from "./description.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { expectTensor, type TensorSource } from "../../weights/source.ts";

/** One window of a recording. */
export interface Episode {
  readonly index: number;
  readonly id: string;
  readonly prompt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** (3, frames, rows, columns) in [0, 1]: the context the model sees */
  readonly context: Float32Array<ArrayBuffer>;
  /** (J) */
  readonly jointState: Float32Array<ArrayBuffer>;
  /** (n, A) the actions that were really taken, if known */
  readonly truth?: Float32Array<ArrayBuffer>;
  /** those of the n that were recorded, from the first on; default all */
  readonly truthPositions?: number;
}

/** What `episodes.json` says of one: texts beside prompt and id are labels. */
type Entry = Pick<Episode, "id" | "prompt" | "labels">;

const isText = (pair: [string, unknown]): pair is [string, string] => typeof pair[1] === "string";

/** Sizes that episodes must have to fit the model. */
export interface EpisodeShape {
  readonly jointState: number;
  readonly chunk: number;
  readonly action: number;
}

/** A folder of episodes; tensors are read one episode at a time. */
export class EpisodeData {
  readonly count: number;
  readonly #tensors: TensorSource;
  readonly #list: readonly Entry[];
  readonly #description: ModelDescription;

  private constructor(tensors: TensorSource, list: readonly Entry[], model: ModelDescription) {
    this.#tensors = tensors;
    this.#list = list;
    this.#description = model;
    this.count = list.length;
  }

  /** @throws FormatError when a file or tensor is missing or does not fit the model: what, found and expected */
  static async open(
    files: ModelFiles,
    folder: string,
    model: ModelDescription,
    shape: EpisodeShape,
  ): Promise<EpisodeData> {
    const place = folder ? `${folder}/` : "";
    const list = await files.json(`${place}episodes.json`);
    if (!Array.isArray(list) || list.length === 0) {
      throw new FormatError(
        `${files.name}/${place}episodes.json is not a list of episodes with a "prompt" each`,
      );
    }
    const named = list.map((entry: unknown, i): Entry => {
      const { prompt, id = `episode-${i}`, ...rest } = (entry ?? {}) as Record<string, unknown>;
      if (typeof prompt === "string" && (typeof id === "string" || typeof id === "number"))
        return { prompt, id: String(id), labels: Object.fromEntries(Object.entries(rest).filter(isText)) };
      throw new FormatError(
        `${files.name}/${place}episodes.json: episode ${i} is ${JSON.stringify(entry)?.slice(0, 80)}, expected a "prompt", a text, ` +
          'and perhaps an "id"',
      );
    });
    const tensors = await files.weights(`${place}episodes.safetensors`);
    try {
      expectEpisodes(tensors, named.length, model, shape);
      return new EpisodeData(tensors, named, model);
    } catch (error) {
      await tensors.close();
      throw error;
    }
  }

  /**
   * Numbers are looked at here and not when the data are opened, so that an episode that is not asked for may hold what it will.
   * @throws UsageError when there is no such episode, FormatError when a number of it is not finite
   */
  async read(index: number): Promise<Episode> {
    const entry = this.#list[index] as Entry | undefined;
    if (!entry)
      throw new UsageError(`episode ${index} does not exist; the data hold ${this.count}, counted from 0`);
    const { contextFrames, frameSize } = this.#description;
    const pixels = frameSize[0] * frameSize[1];
    const video = await this.#row("video", index);
    const context = new Float32Array(3 * contextFrames * pixels);
    for (let f = 0; f < contextFrames; f++) {
      for (let c = 0; c < 3; c++) {
        for (let i = 0; i < pixels; i++)
          context[(c * contextFrames + f) * pixels + i] = video[(f * 3 + c) * pixels + i] / 255;
      }
    }
    const jointState = await this.#floats("joint_state", index);
    const truth = this.#tensors.tensors.has("actions") ? await this.#floats("actions", index) : undefined;
    return { index, ...entry, context, jointState, truth };
  }

  /** (frames, 3, rows, columns) what was recorded after the context, in 0..255; empty where the recording ends there. */
  async future(index: number): Promise<Uint8Array> {
    const { contextFrames, frameSize } = this.#description;
    return (await this.#row("video", index)).subarray(contextFrames * 3 * frameSize[0] * frameSize[1]);
  }

  close(): Promise<void> {
    return this.#tensors.close();
  }

  async #row(name: string, index: number): Promise<Uint8Array> {
    const { shape, bytes } = this.#tensors.tensors.get(name)!;
    const row = bytes / shape[0];
    return (await this.#tensors.read(name)).subarray(index * row, (index + 1) * row);
  }

  async #floats(name: string, index: number): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.#tensors.tensors.get(name)!;
    const values = Float32Array.from(toFloat32(await this.#row(name, index), dtype));
    const bad = values.find((value) => !Number.isFinite(value));
    if (bad === undefined) return values;
    throw new FormatError(
      `${this.#tensors.name}: "${name}" of episode ${this.#list[index].id} (${index}) holds ${bad}, expected finite numbers. ` +
        "Mend the recording, or leave the episode out with --episodes.",
    );
  }
}

/** Noise given instead of drawn: `video_noise` (E, V, C, T, H, W) and `action_noise` (E, S, n, A). */
export class GivenNoise {
  readonly #video: Float32Array;
  readonly #action: Float32Array;
  readonly #seeds: readonly [number, number];
  readonly #sizes: readonly [number, number];

  private constructor(
    video: Float32Array,
    action: Float32Array,
    seeds: readonly [number, number],
    sizes: readonly [number, number],
  ) {
    this.#video = video;
    this.#action = action;
    this.#seeds = seeds;
    this.#sizes = sizes;
  }

  /** @throws FormatError when a tensor is missing, does not fit the data and the model, or holds a number that is not finite */
  static async read(
    source: TensorSource,
    episodes: number,
    future: readonly number[],
    chunk: readonly number[],
  ): Promise<GivenNoise> {
    const seedsOf = (name: string): number => source.tensors.get(name)?.shape[1] ?? 1;
    const seeds = [seedsOf("video_noise"), seedsOf("action_noise")] as const;
    expectTensor(source, "video_noise", ["F32"], [episodes, seeds[0], ...future]);
    expectTensor(source, "action_noise", ["F32"], [episodes, seeds[1], ...chunk]);
    const sizes = [sizeOf(future), sizeOf(chunk)] as const;
    const values = async (name: string): Promise<Float32Array> => {
      const found = toFloat32(await source.read(name), "F32");
      const bad = found.findIndex((value) => !Number.isFinite(value));
      if (bad < 0) return found;
      const episode = Math.floor((bad * episodes) / found.length);
      throw new FormatError(
        `${source.name}: "${name}" of episode ${episode} holds ${found[bad]}, expected finite numbers`,
      );
    };
    return new GivenNoise(await values("video_noise"), await values("action_noise"), seeds, sizes);
  }

  /** @throws UsageError when the file has no such seed */
  video = (episode: number, seed: number): Float32Array => this.#row(0, this.#video, episode, seed);
  action = (episode: number, seed: number): Float32Array => this.#row(1, this.#action, episode, seed);

  #row(axis: 0 | 1, values: Float32Array, episode: number, seed: number): Float32Array {
    const [seeds, size] = [this.#seeds[axis], this.#sizes[axis]];
    if (seed < 0 || seed >= seeds) {
      const which = axis === 0 ? "video" : "action";
      throw new UsageError(
        `the noise file holds ${which} seeds 0 to ${seeds - 1}; seed ${seed} was asked for. Use --${which}-seeds ${seeds}.`,
      );
    }
    const at = (episode * seeds + seed) * size;
    return values.subarray(at, at + size);
  }
}

/** @throws FormatError when a tensor is missing or does not fit the model */
function expectEpisodes(
  tensors: TensorSource,
  E: number,
  model: ModelDescription,
  shape: EpisodeShape,
): void {
  const frames = tensors.tensors.get("video")?.shape[1] ?? 0;
  if (frames < model.contextFrames) {
    throw new FormatError(
      `${tensors.name}: "video" has ${frames} frames, the model sees ${model.contextFrames}`,
    );
  }
  expectTensor(tensors, "video", ["U8"], [E, frames, 3, ...model.frameSize]);
  expectTensor(tensors, "joint_state", ["F32", "BF16", "F16", "F64"], [E, shape.jointState]);
  if (tensors.tensors.has("actions"))
    expectTensor(tensors, "actions", ["F32", "BF16", "F16", "F64"], [E, shape.chunk, shape.action]);
}
