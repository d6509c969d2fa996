/** One episode of a set: its rows, its sentences, its pictures. What is not asked for is not read. */
import { FormatError, UsageError } from "../../errors.ts";
import type { DataFiles } from "./files.ts";
import { type Camera, type Info, type Vector } from "./info.ts";
import type { EpisodeRow, VideoPlace } from "./episode-index.ts";
import type { Picture } from "./pixels.ts";
import type { Table } from "./table.ts";
import type { VideoFile } from "./video.ts";

/** Numbers of every frame of an episode. */
export interface Vectors {
  readonly names?: readonly string[];
  /** numbers a frame */
  readonly size: number;
  /** (frames, size); of a float32 column its values exactly */
  readonly values: Float64Array;
}

/** A frame and its picture. */
export interface Frame {
  readonly index: number;
  readonly picture: Picture;
}

/** What episodes share with the set they belong to: files that stay open. */
export interface Shared {
  readonly files: DataFiles;
  readonly info: Info;
  tasks(): Promise<ReadonlyMap<number, string>>;
  table(path: string): Promise<Table>;
  video(path: string): Promise<VideoFile>;
  onNote(line: string): void;
}

/** Rows of an episode in its table. */
interface Place {
  readonly table: Table;
  readonly from: number;
  readonly to: number;
}

export class Episode {
  readonly index: number;
  /** frames, as the rows count them */
  readonly length: number;
  /** the table that holds its rows */
  readonly dataFile: string;
  /** of its first frame in that table */
  readonly fromRow: number;
  /** number of its first frame in the whole set; that of the row's count where the column is missing */
  readonly firstIndex: number;
  /** seconds since its first frame, as written */
  readonly timestamps: Float64Array;
  /** where its pictures begin, by camera; for videos */
  readonly videos: Readonly<Record<string, VideoPlace>>;
  readonly #shared: Shared;
  readonly #taskIndices: Float64Array | undefined;
  readonly #tasks: ReadonlyMap<number, string>;
  readonly #row: EpisodeRow;

  private constructor(
    shared: Shared,
    row: EpisodeRow,
    { from, to }: Pick<Place, "from" | "to">,
    columns: { timestamps: Float64Array; index?: Float64Array; tasks?: Float64Array },
    tasks: ReadonlyMap<number, string>,
  ) {
    this.index = row.index;
    this.length = to - from;
    this.dataFile = row.dataFile;
    this.fromRow = from;
    this.firstIndex = columns.index?.[0] ?? row.firstFrame ?? from;
    this.timestamps = columns.timestamps;
    this.videos = row.videos;
    this.#shared = shared;
    this.#taskIndices = columns.tasks;
    this.#tasks = tasks;
    this.#row = row;
  }

  /** @throws FormatError when its table is missing or holds no rows of it */
  static async open(shared: Shared, row: EpisodeRow): Promise<Episode> {
    const table = await shared.table(row.dataFile);
    const place = await placeOf(table, row);
    const { from, to } = place;
    if (to - from !== row.length) {
      shared.onNote(
        `${shared.files.name}: episode ${row.index} has ${to - from} rows, its entry says ${row.length}; the rows count.`,
      );
    }
    const optional = (name: string): Promise<Float64Array> | undefined =>
      table.columns.includes(name) ? table.numbers(name, from, to) : undefined;
    const [timestamps, index, tasks, sentences] = await Promise.all([
      optional("timestamp") ?? Float64Array.from({ length: to - from }, (_, i) => i / shared.info.fps),
      optional("index"),
      optional("task_index"),
      shared.tasks(),
    ]);
    return new Episode(shared, row, place, { timestamps, index, tasks }, sentences);
  }

  /** The sentence at a frame. @throws FormatError when the set has no such sentence */
  task(frame: number): string {
    this.#check(frame);
    const number = this.#taskIndices?.[frame];
    if (number === undefined) return this.#row.tasks[0] ?? "";
    const sentence = this.#tasks.get(number);
    if (sentence !== undefined) return sentence;
    throw new FormatError(
      `${this.dataFile}: frame ${frame} of episode ${this.index} has task ${number}, which the set's ` +
        `${this.#tasks.size} tasks do not hold.`,
    );
  }

  /**
   * The numbers of a feature at frames [from, to).
   * @throws UsageError when the set has none of that name, listing those it has
   */
  async vector(key: string, from = 0, to = this.length): Promise<Vectors> {
    const { size, names } = named(this.#shared.info.vectors, key, "vector", this.#shared.files.name);
    const table = await this.#shared.table(this.dataFile);
    const values = await table.vectors(key, size, this.fromRow + from, this.fromRow + to);
    return { names, size, values };
  }

  /**
   * Pictures of a camera in the order that is asked for. Frames are decoded by ascending number, a group of pictures once: asked for so,
   * they pass through one by one; in another order those that wait are held.
   * @throws UsageError when the set has no such camera, or the episode no such frame; FormatError when a picture cannot be decoded
   */
  async *frames(camera: string, indices: readonly number[]): AsyncGenerator<Frame> {
    const { kind } = named(this.#shared.info.cameras, camera, "camera", this.#shared.files.name);
    indices.forEach((index) => this.#check(index));
    const ascending = [...new Set(indices)].sort((a, b) => a - b);
    const decoded = kind === "image" ? this.#images(camera, ascending) : this.#pictures(camera, ascending);
    const waiting = new Map<number, Picture>();
    let next = 0;
    let at = 0;
    for await (const picture of decoded) {
      waiting.set(ascending[at++], picture);
      for (; next < indices.length; next++) {
        const index = indices[next];
        const held = waiting.get(index);
        if (!held) break;
        yield { index, picture: held };
        if (!indices.includes(index, next + 1)) waiting.delete(index);
      }
    }
  }

  async *#pictures(camera: string, ascending: readonly number[]): AsyncGenerator<Picture> {
    if (ascending.length === 0) return;
    const { file, fromSeconds } = this.videos[camera];
    const { fps } = this.#shared.info;
    const video = await this.#shared.video(file);
    // Half a frame behind its beginning a frame is shown, whatever rounding its times went through.
    const times = ascending.map((i) => fromSeconds + (i + 0.5) / fps);
    yield* video.framesAt(times, 1 / fps);
  }

  async *#images(camera: string, ascending: readonly number[]): AsyncGenerator<Picture> {
    const { decodeImage } = await import("./images.ts");
    for (let at = 0; at < ascending.length;) {
      // Neighbours share a chunk of the column, so a run of them is read at once.
      const first = ascending[at];
      const run = ascending.filter((i) => i >= first && i < first + IMAGE_RUN);
      const table = await this.#shared.table(this.dataFile);
      const cells = await table.column(camera, this.fromRow + first, this.fromRow + run.at(-1)! + 1);
      for (const i of run)
        yield decodeImage(
          cells[i - first],
          `${table.name}: "${camera}" of frame ${i} of episode ${this.index}`,
        );
      at += run.length;
    }
  }

  #check(frame: number): void {
    if (Number.isInteger(frame) && frame >= 0 && frame < this.length) return;
    throw new UsageError(
      `${this.#shared.files.name}: episode ${this.index} has ${this.length} frames, counted from 0; ${frame} was asked for.`,
    );
  }
}

/** Images that are held encoded at once. */
const IMAGE_RUN = 256;

/** @throws UsageError listing what there is */
export function named<F extends Camera | Vector>(
  features: readonly F[],
  key: string,
  what: string,
  name: string,
): F {
  const found = features.find((feature) => feature.key === key);
  if (found) return found;
  const list = features.map((feature) =>
    "size" in feature
      ? `${feature.key} (${feature.size})`
      : `${feature.key} (${feature.height}×${feature.width})`,
  );
  throw new UsageError(`${name} has no ${what} "${key}"; it has ${list.join(", ") || "none"}.`);
}

/**
 * Where an episode's rows are. A table of several counts from its own first row; what stands in `episode_index` decides, so that a set
 * from which episodes were taken is read all the same.
 */
async function placeOf(table: Table, row: EpisodeRow): Promise<Place> {
  const numbered = table.columns.includes("episode_index");
  if (row.length > 0) {
    const first = row.firstFrame === undefined ? 0 : row.firstFrame - (await firstIndex(table));
    const from = row.firstFrame === undefined ? 0 : first;
    const to = row.firstFrame === undefined && !numbered ? table.rows : from + row.length;
    if (from >= 0 && to <= table.rows) {
      if (!numbered) return { table, from, to };
      const whole = row.firstFrame === undefined ? table.rows : to;
      const indices = await table.numbers("episode_index", from, whole);
      if (indices.length > 0 && indices.every((index) => index === row.index))
        return { table, from, to: whole };
    }
  } else if (!numbered) return { table, from: 0, to: 0 };
  const all = await table.numbers("episode_index");
  const from = all.indexOf(row.index);
  if (from < 0) {
    if (row.length === 0) return { table, from: 0, to: 0 };
    throw new FormatError(`${table.name} has no rows of episode ${row.index}, which should lie there.`);
  }
  const to = all.lastIndexOf(row.index) + 1;
  if (all.subarray(from, to).some((index) => index !== row.index))
    throw new FormatError(`${table.name}: the rows of episode ${row.index} do not follow one another.`);
  return { table, from, to };
}

/** Number in the whole set of a table's first row: noted in the footer, or read. */
async function firstIndex(table: Table): Promise<number> {
  const group = table.groups.find(({ from, to }) => to > from);
  if (!group || !table.columns.includes("index")) return 0;
  return group.bounds("index")?.[0] ?? (await table.numbers("index", 0, 1))[0];
}
