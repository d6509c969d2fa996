/** Data sets made by this project's tests, as the lerobot package lays them out: any number of episodes, odd names, pictures in rows or videos. */
import { encode } from "fast-png";
import { bytesSource } from "../../src/weights/blob.ts";
import { type DataFiles, dataFilesOf } from "../../src/data/lerobot/files.ts";
import { type Column, writeParquet, type WriteOptions } from "./parquet-writer.ts";

export interface MadeEpisode {
  readonly index: number;
  readonly length: number;
  /** sentence of each frame, by number */
  readonly task: (frame: number) => number;
}

export interface MadeVideo {
  readonly key: string;
  /** by episode: file and second */
  readonly place: (episode: number) => {
    readonly chunk: number;
    readonly file: number;
    readonly from: number;
  };
}

export interface MadeSet {
  readonly name: string;
  readonly format: 2 | 3;
  readonly fps: number;
  readonly episodes: readonly MadeEpisode[];
  readonly tasks: readonly string[];
  /** by key: numbers of an episode's frame */
  readonly vectors: Readonly<
    Record<
      string,
      {
        readonly size: number;
        readonly double?: boolean;
        readonly names?: unknown;
        readonly at: (e: number, f: number) => number[];
      }
    >
  >;
  /** PNG in the rows, (height, width, 3) */
  readonly images?: Readonly<
    Record<
      string,
      { readonly height: number; readonly width: number; readonly at: (e: number, f: number) => Uint8Array }
    >
  >;
  readonly videos?: readonly MadeVideo[];
  /** episodes a table of rows, and a table of episodes, in format 3 */
  readonly perDataFile?: number;
  readonly perMetaFile?: number;
  readonly dataPath?: string;
  readonly videoPath?: string;
  /** further bytes by path */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  readonly info?: Readonly<Record<string, unknown>>;
  /** text that takes info.json's place */
  readonly rawInfo?: (json: string) => string;
  readonly parquet?: Pick<WriteOptions, "gzip" | "statistics">;
}

const png = (rgb: Uint8Array, width: number, height: number): Uint8Array =>
  encode({ width, height, data: rgb, channels: 3, depth: 8 });

/** Bytes of every file by path. */
export function madeFiles(set: MadeSet): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>(set.files);
  const text = (path: string, content: string): void =>
    void files.set(path, new TextEncoder().encode(content));
  const { format, fps, episodes, tasks, vectors, images = {}, videos = [] } = set;
  const dataPath =
    set.dataPath ??
    (format === 2
      ? "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
      : "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet");
  const feature = (dtype: string, shape: number[], names: unknown = null): object => ({
    dtype,
    shape,
    names,
  });
  const json: string = JSON.stringify({
    ...{ codebase_version: format === 2 ? "v2.1" : "v3.0", robot_type: "made", fps, chunks_size: 1000 },
    ...{ total_episodes: episodes.length, total_frames: episodes.reduce((n, { length }) => n + length, 0) },
    ...{ data_path: dataPath, video_path: videos.length > 0 ? (set.videoPath ?? VIDEO_PATH) : null },
    features: Object.fromEntries<object>([
      ...videos.map(({ key }) => [key, feature("video", [48, 64, 3], ["height", "width", "channels"])]),
      ...Object.entries(images).map(
        ([key, { height, width }]) =>
          [key, feature("image", [height, width, 3], ["height", "width", "channels"])] as [string, object][],
      ),
      ...Object.entries(vectors).map(
        ([key, { size, double, names }]) =>
          [key, feature(double ? "float64" : "float32", [size], names)] as [string, object][],
      ),
      ["timestamp", feature("float32", [1])],
      ...["frame_index", "episode_index", "index", "task_index"].map((key) => [key, feature("int64", [1])]),
    ] as [string, object][]),
    ...set.info,
  });
  text("meta/info.json", set.rawInfo?.(json) ?? json);
  const starts = new Map<number, number>();
  let start = 0;
  for (const { index, length } of episodes) {
    starts.set(index, start);
    start += length;
  }
  const rows = (some: readonly MadeEpisode[]): Column[] => {
    const all = some.flatMap((episode) =>
      Array.from({ length: episode.length }, (_, f) => [episode, f] as const),
    );
    return [
      ...Object.entries(images).map(([name, { at, width, height }]) => ({
        name,
        ...{
          kind: "picture" as const,
          values: all.map(([{ index }, f]) => png(at(index, f), width, height)),
        },
      })),
      ...Object.entries(vectors).map(([name, { double, at }]) => ({
        name,
        ...{
          kind: double ? ("doubles" as const) : ("floats" as const),
          values: all.map(([{ index }, f]) => at(index, f)),
        },
      })),
      { name: "timestamp", kind: "float", values: all.map(([, f]) => f / fps) },
      { name: "frame_index", kind: "int64", values: all.map(([, f]) => f) },
      { name: "episode_index", kind: "int64", values: all.map(([{ index }]) => index) },
      { name: "index", kind: "int64", values: all.map(([{ index }, f]) => starts.get(index)! + f) },
      { name: "task_index", kind: "int64", values: all.map(([{ task }, f]) => task(f)) },
    ];
  };
  const sentences = ({ length, task }: MadeEpisode): string[] =>
    [...new Set(Array.from({ length }, (_, f) => task(f)))].map((number) => tasks[number]);
  if (format === 2) {
    for (const episode of episodes) {
      const path = `data/chunk-000/episode_${String(episode.index).padStart(6, "0")}.parquet`;
      files.set(path, writeParquet(rows([episode]), set.parquet));
    }
    const lines = (list: readonly object[]): string =>
      list.map((line) => `${JSON.stringify(line)}\n`).join("");
    text("meta/tasks.jsonl", lines(tasks.map((task, task_index) => ({ task_index, task }))));
    text(
      "meta/episodes.jsonl",
      lines(episodes.map((e) => ({ episode_index: e.index, tasks: sentences(e), length: e.length }))),
    );
    return files;
  }
  const numbers = tasks.map((_, i) => i);
  const taskTable: Column[] = [
    { name: "task_index", kind: "int64", values: numbers },
    { name: "task", kind: "text", values: tasks },
  ];
  files.set("meta/tasks.parquet", writeParquet(taskTable));
  const { perDataFile = episodes.length, perMetaFile = episodes.length } = set;
  const dataFileOf = (e: number): number => Math.floor(e / perDataFile);
  for (let from = 0; from < episodes.length; from += perDataFile) {
    const some = episodes.slice(from, from + perDataFile);
    const path = dataPath
      .replace("{chunk_index:03d}", "000")
      .replace("{file_index:03d}", String(dataFileOf(from)).padStart(3, "0"));
    // A row group an episode, as the writer has it.
    const groups = some.map(({ length }) => length).filter((length) => length > 0);
    files.set(path, writeParquet(rows(some), { ...set.parquet, groups }));
  }
  for (let from = 0; from < episodes.length; from += perMetaFile) {
    const some = episodes.slice(from, from + perMetaFile);
    const column = (name: string, of: (episode: MadeEpisode, e: number) => number): Column => ({
      ...{ name, kind: "int64", values: some.map((episode, i) => of(episode, from + i)) },
    });
    files.set(
      `meta/episodes/chunk-000/file-${String(from / perMetaFile).padStart(3, "0")}.parquet`,
      writeParquet(
        [
          column("episode_index", ({ index }) => index),
          { name: "tasks", kind: "texts", values: some.map(sentences) },
          column("length", ({ length }) => length),
          column("data/chunk_index", () => 0),
          column("data/file_index", (_, e) => dataFileOf(e)),
          column("dataset_from_index", ({ index }) => starts.get(index)!),
          column("dataset_to_index", ({ index, length }) => starts.get(index)! + length),
          ...videos.flatMap(({ key, place }): Column[] => [
            column(`videos/${key}/chunk_index`, ({ index }) => place(index).chunk),
            column(`videos/${key}/file_index`, ({ index }) => place(index).file),
            {
              ...{ name: `videos/${key}/from_timestamp`, kind: "double" },
              values: some.map(({ index }) => place(index).from),
            },
          ]),
        ],
        set.parquet,
      ),
    );
  }
  return files;
}

const VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";

/** The same in memory. @param onBytes told of every read, by path */
export function madeSet(set: MadeSet, onBytes: (path: string, count: number) => void = () => {}): DataFiles {
  const sources = [...madeFiles(set)].map(([path, bytes]) => {
    const source = bytesSource(bytes, `${set.name}/${path}`);
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      onBytes(path, length);
      return source.read(offset, length);
    };
    return [path, { ...source, read }] as const;
  });
  return dataFilesOf(set.name, new Map(sources));
}
