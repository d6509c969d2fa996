/**
 * Recorded episodes: `episodes.json` (id, prompt) and `episodes.safetensors` with a tensor of frames for each camera under the observation's key
 * (the frame before each action), and the actions. Only headers are read when they are opened; frames by ranges, one episode at a time.
 *
 * Axes: E episodes, T steps, V cameras, D values of an action, H and W rows and columns.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { toFloat32 } from "../../weights/convert.ts";
import type { ModelFiles } from "../../weights/model-files.ts";
import { readSafetensorsHeader, type SafetensorsHeader } from "../../weights/safetensors.ts";
import type { ByteSource } from "../../weights/source.ts";

const LIST_NAME = "episodes.json";
const FRAMES_NAME = "episodes.safetensors";
/** All of which the recordings consist. */
export const EPISODE_FILES: readonly string[] = [LIST_NAME, FRAMES_NAME];

/** What the list says of an episode. */
export interface Listed {
  readonly id: string;
  readonly prompt: string;
}

function readList(json: unknown, name: string): Listed[] {
  if (!Array.isArray(json) || json.length === 0)
    throw new FormatError(`${name} is not a list of episodes with a "prompt" each.`);
  return json.map((entry: unknown, i) => {
    const { prompt, id = `episode-${i}` } = (entry ?? {}) as { prompt?: unknown; id?: unknown };
    if (typeof prompt !== "string" || (typeof id !== "string" && typeof id !== "number"))
      throw new FormatError(`${name}: episode ${i} has no "prompt" that is a text.`);
    return { id: String(id), prompt };
  });
}

export interface EpisodeShape {
  /** the policy's observation keys, in order */
  readonly cameras: readonly string[];
  /** observation key of the data → that of the policy, where they differ */
  readonly renamed: Readonly<Record<string, string>>;
  /** D */
  readonly dimensions: number;
}

/** Frames of some steps. */
export interface Frames {
  /** (V, count, 3, H, W) */
  readonly bytes: Uint8Array;
  readonly shape: readonly [number, number, number, number, number];
}

export class RecordedEpisodes {
  readonly list: readonly Listed[];
  /** T */
  readonly steps: number;
  readonly #bytes: ByteSource;
  readonly #entries: SafetensorsHeader["entries"];
  readonly #cameras: readonly string[];
  readonly #dimensions: number;

  private constructor(
    list: readonly Listed[],
    bytes: ByteSource,
    entries: SafetensorsHeader["entries"],
    cameras: readonly string[],
    dimensions: number,
  ) {
    this.list = list;
    this.#bytes = bytes;
    this.#entries = entries;
    this.#cameras = cameras;
    this.#dimensions = dimensions;
    this.steps = entries.get(cameras[0])!.shape[1];
  }

  /** @throws FormatError naming the file, the tensor, what was found and what was expected */
  static async open(files: ModelFiles, shape: EpisodeShape): Promise<RecordedEpisodes> {
    const list = readList(await files.json(LIST_NAME), `${files.name}/${LIST_NAME}`);
    const bytes = await files.bytes(FRAMES_NAME);
    try {
      const { entries } = await readSafetensorsHeader(bytes);
      const stored = (key: string): string =>
        Object.entries(shape.renamed).find(([from, to]) => to === key && entries.has(from))?.[0] ?? key;
      const cameras = shape.cameras.map(stored);
      const first = entries.get(cameras[0]);
      for (const key of cameras) {
        const found = entries.get(key);
        const fits =
          found?.dtype === "U8" &&
          found.shape.length === 5 &&
          found.shape[0] === list.length &&
          found.shape[2] === 3 &&
          found.shape.join() === first?.shape.join();
        if (!fits)
          throw new FormatError(
            `${bytes.name}: "${key}" is ${found ? `${found.dtype} [${found.shape.join(", ")}]` : "missing"}, expected ` +
              `U8 [${list.length}, steps, 3, rows, columns], alike for ${cameras.join(" and ")}.`,
          );
      }
      const action = entries.get("action");
      const expected = [list.length, first!.shape[1], shape.dimensions];
      if (
        action &&
        (action.shape.join() !== expected.join() || !["F32", "F64", "BF16", "F16"].includes(action.dtype))
      )
        throw new FormatError(
          `${bytes.name}: "action" is ${action.dtype} [${action.shape.join(", ")}], expected floats [${expected.join(", ")}].`,
        );
      return new RecordedEpisodes(list, bytes, entries, cameras, shape.dimensions);
    } catch (error) {
      await bytes.close?.();
      throw error;
    }
  }

  /** Frames of an episode at these steps. @throws UsageError when the episode or a step does not exist */
  async frames(episode: number, steps: readonly number[]): Promise<Frames> {
    this.#check(episode);
    const missing = steps.find((step) => step < 0 || step >= this.steps);
    if (missing !== undefined)
      throw new UsageError(
        `${this.#bytes.name} has no frame ${missing} of an episode; it has ${this.steps}, counted from 0.`,
      );
    const [, T, C, H, W] = this.#entries.get(this.#cameras[0])!.shape;
    const size = C * H * W;
    const bytes = new Uint8Array(this.#cameras.length * steps.length * size);
    for (const [v, key] of this.#cameras.entries()) {
      const { offset } = this.#entries.get(key)!;
      for (const [i, step] of steps.entries())
        bytes.set(
          await this.#bytes.read(offset + (episode * T + step) * size, size),
          (v * steps.length + i) * size,
        );
    }
    return { bytes, shape: [this.#cameras.length, steps.length, C, H, W] };
  }

  /** (count, D) actions of an episode from step `from` on; undefined where none are recorded. @throws FormatError for one that is not finite */
  async actions(
    episode: number,
    from: number,
    count: number,
  ): Promise<Float32Array<ArrayBuffer> | undefined> {
    this.#check(episode);
    const entry = this.#entries.get("action");
    if (!entry) return undefined;
    const row = entry.bytes / (this.list.length * this.steps);
    const stored = await this.#bytes.read(entry.offset + (episode * this.steps + from) * row, count * row);
    const values = Float32Array.from(toFloat32(stored, entry.dtype));
    const bad = values.findIndex((v) => !Number.isFinite(v));
    if (bad < 0) return values;
    throw new FormatError(
      `${this.#bytes.name}: "action" of episode ${episode} (${this.list[episode].id}) is ${values[bad]} at step ` +
        `${from + Math.floor(bad / this.#dimensions)}. Leave that episode out with --episodes, or repair it.`,
    );
  }

  async close(): Promise<void> {
    await this.#bytes.close?.();
  }

  #check(episode: number): void {
    if (!this.list[episode])
      throw new UsageError(
        `Episode ${episode} does not exist; the data hold ${this.list.length}, counted from 0.`,
      );
  }
}
