/**
 * A LeRobot data set, formats 2.0, 2.1 and 3: tables and videos of robots' episodes, read by ranges, so that an episode of a set of a
 * hundred gigabytes costs what that episode takes. Format and addressing: docs of the lerobot package, and what its writers make.
 */
import { type EpisodeIndex, type EpisodeSummary, openIndex } from "./episode-index.ts";
import { Episode, type Shared } from "./episode.ts";
import { type DataFiles, readText } from "./files.ts";
import { type Camera, type Info, INFO, readInfo, type Vector } from "./info.ts";
import { Table } from "./table.ts";
import { readTasks } from "./tasks.ts";
import type { LoadDecoder, VideoFile } from "./video.ts";

export interface LeRobotOptions {
  /** where the platform decodes no video by itself */
  readonly loadDecoder?: LoadDecoder;
  /** told a line that a person should read, such as a count that is wrong */
  readonly onNote?: (line: string) => void;
}

/** Demultiplexers of 600 kB, which sets without videos, and runs without sets, do not load. */
const openers = () => import("./video.ts");

/** Files of a kind that stay open: an index of tens of kilobytes each, and a handle. More than anybody reads from at once. */
const MOST_OPEN = 32;

export class LeRobotSet {
  readonly files: DataFiles;
  readonly info: Info;
  readonly #index: Promise<EpisodeIndex>;
  readonly #tables = new OpenFiles<Table>();
  readonly #videos = new OpenFiles<VideoFile>();
  readonly #options: LeRobotOptions;
  #tasks: Promise<ReadonlyMap<number, string>> | undefined;

  private constructor(files: DataFiles, info: Info, index: Promise<EpisodeIndex>, options: LeRobotOptions) {
    this.files = files;
    this.info = info;
    this.#index = index;
    this.#options = options;
  }

  /** @throws FormatError when the folder holds no such set, or one of a format that is not read */
  static async open(files: DataFiles, options: LeRobotOptions = {}): Promise<LeRobotSet> {
    const info = readInfo(await readText(files, INFO), files.name);
    for (const note of info.notes) options.onNote?.(note);
    const index = openIndex(files, info);
    const set = new LeRobotSet(files, info, index, options);
    await index;
    return set;
  }

  get name(): string {
    return this.files.name;
  }

  /** Cameras of pictures, in the order of the file. */
  get cameras(): readonly Camera[] {
    return this.info.cameras;
  }

  /** Features of numbers beside those that number the rows. */
  get vectors(): readonly Vector[] {
    return this.info.vectors;
  }

  /** Sentences by their number. */
  tasks(): Promise<ReadonlyMap<number, string>> {
    this.#tasks ??= readTasks(this.files, this.info.major);
    this.#tasks.catch(() => (this.#tasks = undefined));
    return this.#tasks;
  }

  /** Number, length and, if asked for, sentences of every episode, by ascending number. */
  async episodes(tasks = false): Promise<readonly EpisodeSummary[]> {
    return (await this.#index).list(tasks);
  }

  /** @throws UsageError when there is no such episode, FormatError when its rows are not where they should be */
  async episode(index: number): Promise<Episode> {
    const row = await (await this.#index).find(index);
    return Episode.open(this.#shared, row);
  }

  /** A video file of the set, which stays open with it. @throws as `VideoFile.open` */
  video(path: string): Promise<VideoFile> {
    return this.#videos.get(path, async () => {
      const opened = await openers();
      return opened.VideoFile.open(await this.files.bytes(path), this.#options.loadDecoder);
    });
  }

  /** What a video file is encoded with, such as "avc1.64000a"; needs no decoder. */
  async codec(path: string): Promise<string> {
    const opened = await openers();
    const video = await opened.VideoFile.open(await this.files.bytes(path), "none");
    try {
      return `${video.codec} (${await video.codecString()})`;
    } finally {
      video.close();
    }
  }

  async close(): Promise<void> {
    await this.#tables.close();
    await this.#videos.close();
    await (await this.#index).close();
  }

  get #shared(): Shared {
    return {
      ...{ files: this.files, info: this.info },
      tasks: () => this.tasks(),
      table: (path) => this.#tables.get(path, async () => Table.open(await this.files.bytes(path))),
      video: (path) => this.video(path),
      onNote: (line) => this.#options.onNote?.(line),
    };
  }
}

/** The files used last; the others are closed. */
class OpenFiles<F extends { close(): unknown }> {
  readonly #open = new Map<string, Promise<F>>();

  get(path: string, open: () => Promise<F>): Promise<F> {
    const file = this.#open.get(path) ?? open();
    // A map keeps the order in which keys were set.
    this.#open.delete(path);
    this.#open.set(path, file);
    file.catch(() => this.#open.delete(path));
    for (const [oldest, old] of this.#open) {
      if (this.#open.size <= MOST_OPEN) break;
      this.#open.delete(oldest);
      void old.then((closed) => closed.close()).catch(() => {});
    }
    return file;
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) await (await file.catch(() => undefined))?.close();
    this.#open.clear();
  }
}

/** Whether files are those of a LeRobot set, as far as their names tell. */
export const isLeRobot = (paths: readonly string[]): boolean => paths.includes(INFO);
