/**
 * Where each episode lies. Format 2 has a line an episode, and a file of rows and one of each camera's pictures an episode; format 3 has
 * tables of episodes with the files and places of each, of which only the rows and columns that are asked for are read.
 */
import { FormatError, UsageError } from "../../errors.ts";
import { type DataFiles, readText } from "./files.ts";
import type { Info } from "./info.ts";
import { parseJsonLines } from "./json.ts";
import { fillTemplate, type PathValues } from "./paths.ts";
import { Table } from "./table.ts";
import { textOf } from "./tasks.ts";

/** A stretch of a video file. */
export interface VideoPlace {
  readonly file: string;
  /** where the episode's first frame begins, in seconds of that file */
  readonly fromSeconds: number;
}

export interface EpisodeRow {
  readonly index: number;
  /** frames */
  readonly length: number;
  /** its sentences, in no order */
  readonly tasks: readonly string[];
  /** the table that holds its rows */
  readonly dataFile: string;
  /** number of its first frame in the whole set, where files hold several episodes */
  readonly firstFrame?: number;
  /** by camera; none for pictures that lie in the rows */
  readonly videos: Readonly<Record<string, VideoPlace>>;
}

export type EpisodeSummary = Pick<EpisodeRow, "index" | "length" | "tasks">;

export interface EpisodeIndex {
  /** @throws UsageError when there is no such episode, naming some that there are */
  find(index: number): Promise<EpisodeRow>;
  /** All episodes by ascending number. @param tasks whether their sentences are needed */
  list(tasks?: boolean): Promise<readonly EpisodeSummary[]>;
  close(): Promise<void>;
}

/** @throws FormatError when the index is missing or malformed */
export function openIndex(files: DataFiles, info: Info): Promise<EpisodeIndex> {
  return info.major === 2 ? LineIndex.open(files, info) : TableIndex.open(files, info);
}

function noEpisode(name: string, index: number, some: readonly number[]): UsageError {
  const listed = some.slice(0, 12).join(", ") + (some.length > 12 ? ", …" : "");
  return new UsageError(`${name} has no episode ${index}; it has ${some.length}: ${listed || "none"}.`);
}

const videoCameras = ({ cameras }: Info): string[] =>
  cameras.filter(({ kind }) => kind === "video").map(({ key }) => key);

function videoFile(files: DataFiles, { videoPath }: Info, values: PathValues): string {
  if (videoPath !== null) return fillTemplate(videoPath, values, `${files.name}/meta/info.json: video_path`);
  throw new FormatError(
    `${files.name}/meta/info.json has cameras of videos, and no video_path to find them.`,
  );
}

/** Formats 2.0 and 2.1. */
class LineIndex implements EpisodeIndex {
  readonly #name: string;
  readonly #rows: ReadonlyMap<number, EpisodeRow>;

  private constructor(name: string, rows: ReadonlyMap<number, EpisodeRow>) {
    this.#name = name;
    this.#rows = rows;
  }

  static async open(files: DataFiles, info: Info): Promise<EpisodeIndex> {
    const path = "meta/episodes.jsonl";
    const where = `${files.name}/${path}`;
    const rows = parseJsonLines(await readText(files, path), where).map((line, i): EpisodeRow => {
      const { episode_index: index, length, tasks } = line;
      const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
      if (!isCount(index) || !isCount(length))
        throw new FormatError(
          `${where}, line ${i + 1}, has no episode_index and length that are whole numbers.`,
        );
      const values = { episode_chunk: Math.floor(index / info.chunksSize), episode_index: index };
      return {
        ...{ index, length, tasks: Array.isArray(tasks) ? tasks.map(textOf) : [] },
        dataFile: fillTemplate(info.dataPath, values, `${files.name}/meta/info.json: data_path`),
        videos: Object.fromEntries(
          videoCameras(info).map((key) => [
            key,
            { file: videoFile(files, info, { ...values, video_key: key }), fromSeconds: 0 },
          ]),
        ),
      };
    });
    rows.sort((a, b) => a.index - b.index);
    return new LineIndex(files.name, new Map(rows.map((row) => [row.index, row])));
  }

  async find(index: number): Promise<EpisodeRow> {
    const row = this.#rows.get(index);
    if (row) return row;
    throw noEpisode(this.#name, index, [...this.#rows.keys()]);
  }

  async list(): Promise<readonly EpisodeSummary[]> {
    return [...this.#rows.values()];
  }

  async close(): Promise<void> {}
}

const FOLDER = "meta/episodes";

/** Format 3. Tables stay open; their footers, the largest part of them, are read once. */
class TableIndex implements EpisodeIndex {
  readonly #files: DataFiles;
  readonly #info: Info;
  readonly #paths: readonly string[];
  readonly #tables = new Map<string, Promise<Table>>();
  readonly #found = new Map<number, EpisodeRow>();

  private constructor(files: DataFiles, info: Info, paths: readonly string[]) {
    this.#files = files;
    this.#info = info;
    this.#paths = paths;
  }

  static async open(files: DataFiles, info: Info): Promise<EpisodeIndex> {
    const paths = (await files.list(FOLDER)).filter((path) => path.endsWith(".parquet"));
    if (paths.length > 0) return new TableIndex(files, info, paths);
    throw new FormatError(`${files.name} has no ${FOLDER}/…parquet, which says where its episodes lie.`);
  }

  async find(index: number): Promise<EpisodeRow> {
    const known = this.#found.get(index);
    if (known) return known;
    // Files follow one another as episodes do; where they should not, every one is looked into.
    for (const path of [await this.#guess(index), ...this.#paths]) {
      if (path === undefined) continue;
      const table = await this.#table(path);
      const row = await rowOf(table, index);
      if (row === undefined) continue;
      const read = await this.#read(table, row, index);
      this.#found.set(index, read);
      return read;
    }
    throw noEpisode(
      this.#files.name,
      index,
      (await this.list()).map((episode) => episode.index),
    );
  }

  async list(tasks = false): Promise<readonly EpisodeSummary[]> {
    const rows: EpisodeSummary[] = [];
    for (const path of this.#paths) {
      const table = await this.#table(path);
      const [indices, lengths, sentences] = await Promise.all([
        table.numbers("episode_index"),
        table.numbers("length"),
        tasks ? table.column("tasks") : undefined,
      ]);
      indices.forEach((index, i) =>
        rows.push({ index, length: lengths[i], tasks: sentencesOf(sentences?.[i]) }),
      );
    }
    return rows.sort((a, b) => a.index - b.index);
  }

  async close(): Promise<void> {
    for (const table of this.#tables.values()) await (await table.catch(() => undefined))?.close();
    this.#tables.clear();
  }

  #table(path: string): Promise<Table> {
    let table = this.#tables.get(path);
    if (!table) {
      table = this.#files.bytes(path).then((source) => Table.open(source));
      table.catch(() => this.#tables.delete(path));
      this.#tables.set(path, table);
    }
    return table;
  }

  /** The file that should hold an episode, by bisection over the ranges that footers note. */
  async #guess(index: number): Promise<string | undefined> {
    let [low, high] = [0, this.#paths.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { groups } = await this.#table(this.#paths[middle]);
      const ends = groups.map((group) => group.bounds("episode_index"));
      if (ends.length === 0 || ends.includes(undefined)) return undefined;
      const most = Math.max(...ends.map((end) => end![1]));
      if (index > most) low = middle + 1;
      else high = middle;
    }
    return this.#paths[low];
  }

  async #read(table: Table, row: number, index: number): Promise<EpisodeRow> {
    const one = async (column: string): Promise<number> => (await table.numbers(column, row, row + 1))[0];
    const place = async (prefix: string): Promise<PathValues> => {
      const [chunk, file] = await Promise.all([one(`${prefix}/chunk_index`), one(`${prefix}/file_index`)]);
      const episode_chunk = Math.floor(index / this.#info.chunksSize);
      return { chunk_index: chunk, file_index: file, episode_index: index, episode_chunk };
    };
    const videos = videoCameras(this.#info).map(async (key) => {
      const [values, fromSeconds] = await Promise.all([
        place(`videos/${key}`),
        one(`videos/${key}/from_timestamp`),
      ]);
      return [
        key,
        { file: videoFile(this.#files, this.#info, { ...values, video_key: key }), fromSeconds },
      ] as const;
    });
    const [length, firstFrame, data, tasks, places] = await Promise.all([
      one("length"),
      one("dataset_from_index"),
      place("data"),
      table.columns.includes("tasks") ? table.column("tasks", row, row + 1) : Promise.resolve([]),
      Promise.all(videos),
    ]);
    return {
      ...{ index, length, firstFrame, tasks: sentencesOf(tasks[0]) },
      dataFile: fillTemplate(this.#info.dataPath, data, `${this.#files.name}/meta/info.json: data_path`),
      videos: Object.fromEntries(places),
    };
  }
}

const sentencesOf = (value: unknown): string[] => (Array.isArray(value) ? value.map(textOf) : []);

/** The row of an episode; only row groups that may hold it are read. */
async function rowOf(table: Table, index: number): Promise<number | undefined> {
  for (const { from, to, bounds } of table.groups) {
    const [least, most] = bounds("episode_index") ?? [index, index];
    if (index < least || index > most) continue;
    const at = (await table.numbers("episode_index", from, to)).indexOf(index);
    if (at >= 0) return from + at;
  }
  return undefined;
}
