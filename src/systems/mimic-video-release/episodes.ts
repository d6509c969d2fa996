/**
 * Recorded windows: `episodes.json` (id, prompt) and `episodes.safetensors` (video, state, actions, perhaps the future). All that can be
 * said about them from headers is said when they are opened; frames are read by ranges, one episode at a time.
 *
 * Axes: E episodes, T positions, D = 10 dimensions, F frames of rows × columns.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { readSafetensorsHeader, type SafetensorsHeader } from "../../weights/safetensors.ts";
import { type ByteSource, type StoredDtype } from "../../weights/source.ts";
import { type Clip, CONTEXT_FRAMES } from "./clip.ts";
import { DIMENSIONS } from "./statistics.ts";

/** One window of a recording, in the data's units. */
export interface Episode {
  readonly index: number;
  readonly id: string;
  readonly prompt: string;
  /** what the data say of it, by name */
  readonly labels?: Readonly<Record<string, string>>;
  /** (3, 5, rows, columns) in [−1, 1] */
  readonly context: Float32Array<ArrayBuffer>;
  /** (1, D) */
  readonly state: Float32Array<ArrayBuffer>;
  /** (T, D) what was really done, where that is known */
  readonly actions?: Float32Array<ArrayBuffer>;
  /** those of the T that were recorded, from the first on; default all */
  readonly truthPositions?: number;
  /** (3, 5 + F, rows, columns) in [−1, 1]: the context and what really followed, where that was asked for */
  readonly recorded?: Float32Array<ArrayBuffer>;
}

/** Where episodes come from: a folder of them, or windows of a recorded data set. */
export interface EpisodeSource {
  readonly count: number;
  /** whether what really followed is there */
  readonly hasFuture: boolean;
  /** distinct prompts of what will be asked for, in the order they first come */
  readonly prompts: readonly string[];
  /** @throws UsageError when there is no such episode, or it has no recorded future */
  read(index: number, withFuture?: boolean): Promise<Episode>;
  close(): Promise<void>;
}

interface Entry {
  readonly id: string;
  readonly prompt: string;
}

const FLOATS: readonly StoredDtype[] = ["F32", "F64", "BF16", "F16"];

/** A folder of episodes. */
export class Episodes implements EpisodeSource {
  readonly count: number;
  /** whether what really followed is there */
  readonly hasFuture: boolean;
  readonly #bytes: ByteSource;
  readonly #entries: SafetensorsHeader["entries"];
  readonly #list: readonly Entry[];
  readonly #clip: Clip;

  private constructor(
    bytes: ByteSource,
    entries: SafetensorsHeader["entries"],
    list: readonly Entry[],
    clip: Clip,
  ) {
    this.#bytes = bytes;
    this.#entries = entries;
    this.#list = list;
    this.#clip = clip;
    this.count = list.length;
    this.hasFuture = entries.has("future");
  }

  /**
   * @param chunk T, the decoder's
   * @param oracle whether the recorded future will be asked for
   * @throws FormatError naming the file, the tensor, what was found and what was expected
   */
  static async open(files: ModelFiles, clip: Clip, chunk: number, oracle = false): Promise<Episodes> {
    const list = readList(await files.json("episodes.json"), `${files.name}/episodes.json`);
    const bytes = await files.bytes("episodes.safetensors");
    try {
      const { entries } = await readSafetensorsHeader(bytes);
      const expect = (
        name: string,
        dtypes: readonly StoredDtype[],
        shape: readonly number[],
        needed: boolean,
      ): void => {
        const found = entries.get(name);
        if (!found && !needed) return;
        const has = found ? `${found.dtype} [${found.shape.join(", ")}]` : "missing";
        if (!found || !dtypes.includes(found.dtype) || found.shape.join() !== shape.join()) {
          throw new FormatError(
            `${bytes.name}: "${name}" is ${has}, expected ${dtypes[0]} [${shape.join(", ")}]: ${list.length} episodes, ` +
              `frames of ${clip.frameSize.join("×")}, chunks of ${chunk} actions.`,
          );
        }
      };
      expect("video", ["U8"], [list.length, CONTEXT_FRAMES, 3, ...clip.frameSize], true);
      expect("state", FLOATS, [list.length, 1, DIMENSIONS], true);
      expect("actions", FLOATS, [list.length, chunk, DIMENSIONS], false);
      if (oracle && !entries.has("future")) {
        throw new FormatError(
          `${bytes.name} has no "future", the frames that really followed, which --oracle needs: ` +
            `U8 [${list.length}, ${clip.futureFrames}, 3, ${clip.frameSize.join(", ")}].`,
        );
      }
      expect("future", ["U8"], [list.length, clip.futureFrames, 3, ...clip.frameSize], false);
      return new Episodes(bytes, entries, list, clip);
    } catch (error) {
      await bytes.close?.();
      throw error;
    }
  }

  /** Distinct prompts, in the order they first come. */
  get prompts(): string[] {
    return [...new Set(this.#list.map(({ prompt }) => prompt))];
  }

  /**
   * @param withFuture whether the recorded frames behind the context are read too
   * Numbers are looked at here and not when the data are opened, so that an episode that is not asked for may hold what it will.
   * @throws UsageError when there is no such episode, or it has no recorded future, FormatError when a number of it is not finite
   */
  async read(index: number, withFuture = false): Promise<Episode> {
    const entry = this.#list[index] as Entry | undefined;
    if (!entry) {
      throw new UsageError(`Episode ${index} does not exist; the data hold ${this.count}, counted from 0.`);
    }
    if (withFuture && !this.hasFuture) {
      throw new UsageError(`${this.#bytes.name} has no recorded future; --oracle needs one.`);
    }
    const seen = await this.#row("video", index);
    const recorded = withFuture ? [seen, await this.#row("future", index)] : undefined;
    return {
      index,
      ...entry,
      context: this.#pixels([seen]),
      state: await this.#floats("state", index),
      ...(this.#entries.has("actions") && { actions: await this.#floats("actions", index) }),
      ...(recorded && { recorded: this.#pixels(recorded) }),
    };
  }

  async close(): Promise<void> {
    await this.#bytes.close?.();
  }

  async #row(name: string, index: number): Promise<Uint8Array> {
    const { shape, bytes, offset } = this.#entries.get(name)!;
    const row = bytes / shape[0];
    return this.#bytes.read(offset + index * row, row);
  }

  async #floats(name: string, index: number): Promise<Float32Array<ArrayBuffer>> {
    const values = Float32Array.from(toFloat32(await this.#row(name, index), this.#entries.get(name)!.dtype));
    const bad = values.findIndex((v) => !Number.isFinite(v));
    if (bad < 0) return values;
    throw new FormatError(
      `${this.#bytes.name}: "${name}" of episode ${index} (${this.#list[index].id}) is ${values[bad]} at ` +
        `position ${Math.floor(bad / DIMENSIONS)}, dimension ${bad % DIMENSIONS}. Leave that episode out with --episodes, or repair it.`,
    );
  }

  /** Frames (F, 3, rows, columns) of bytes, one behind the other → (3, F, rows, columns): 2·(v/255 − ½), float32 each step. */
  #pixels(parts: readonly Uint8Array[]): Float32Array<ArrayBuffer> {
    const area = this.#clip.frameSize[0] * this.#clip.frameSize[1];
    const frames = parts.reduce((n, part) => n + part.length, 0) / (3 * area);
    const out = new Float32Array(3 * frames * area);
    let f = 0;
    for (const part of parts) {
      for (let at = 0; at < part.length; f++) {
        for (let c = 0; c < 3; c++) {
          const to = (c * frames + f) * area;
          for (let i = 0; i < area; i++, at++) out[to + i] = PIXEL[part[at]];
        }
      }
    }
    return out;
  }
}

/** The 256 values of a pixel, as float32 arithmetic gives them. */
const PIXEL = Float32Array.from({ length: 256 }, (_, v) => 2 * Math.fround(Math.fround(v / 255) - 0.5));

function readList(json: unknown, name: string): Entry[] {
  if (!Array.isArray(json) || json.length === 0) {
    throw new FormatError(`${name} is not a list of episodes with a "prompt" each.`);
  }
  return json.map((entry: unknown, i) => {
    const { prompt, id = `episode-${i}` } = (entry ?? {}) as { prompt?: unknown; id?: unknown };
    if (typeof prompt !== "string" || (typeof id !== "string" && typeof id !== "number")) {
      throw new FormatError(
        `${name}: episode ${i} is ${JSON.stringify(entry)?.slice(0, 80)}, expected a "prompt", a text.`,
      );
    }
    return { id: String(id), prompt };
  });
}
