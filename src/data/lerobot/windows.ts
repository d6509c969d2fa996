/**
 * Windows of episodes: what a model looks at and is compared with at one moment, taken at offsets from it. Cameras and vectors are streams
 * of a name each, so that a system says what it needs (one camera or three, states of two moments, a chunk of actions, the frames that
 * followed) and gets that by its own names.
 */
import { FormatError, UsageError } from "../../errors.ts";
import type { Episode } from "./episode.ts";
import { type FloatPicture, toRgb } from "./pixels.ts";
import type { LeRobotSet } from "./set.ts";

/** Moments from now (0) on, ascending: in frames of the set, or in seconds of which the nearest frames are taken. */
export type Offsets = { readonly frames: readonly number[] } | { readonly seconds: readonly number[] };

/** A feature of the set at some moments. */
export interface Stream {
  readonly key: string;
  readonly at: Offsets;
}

export interface WindowShape {
  readonly pictures: Readonly<Record<string, Stream>>;
  readonly vectors: Readonly<Record<string, Stream>>;
  /** a moment before the episode began: no such window; the first frame; or the present one in place of all pictures */
  readonly before: "left out" | "first" | "now";
  /** frames behind the present one that also a window filled at the end must have; default 0 */
  readonly least?: number;
}

/** Which windows there are. */
export interface WindowChoice {
  /** a sentence, or a part of one: windows at frames of such a task only */
  readonly task?: string;
  /** frames a second as they were really recorded; default what the set declares */
  readonly fps?: number;
  /** whether the nearest frame may stand for a moment between two */
  readonly resample?: boolean;
  /** what becomes of a window that passes the episode's end; default "drop" */
  readonly ends?: "drop" | "pad";
  /** seconds from window to window; default one window an episode, in the middle of those it has */
  readonly every?: number;
}

/** What was seen and done around one moment. */
export interface Window {
  readonly id: string;
  readonly episode: number;
  /** the moment, a frame of the episode */
  readonly frame: number;
  readonly task: string;
  /** by stream, one for each moment */
  readonly pictures: Readonly<Record<string, readonly FloatPicture[]>>;
  /** by stream, (moments, size) */
  readonly vectors: Readonly<Record<string, { readonly size: number; readonly values: Float64Array }>>;
  /** by stream, whether each moment was recorded; false where another frame stands for it */
  readonly recorded: Readonly<Record<string, readonly boolean[]>>;
}

interface Place {
  readonly episode: number;
  readonly frame: number;
  /** where the episode has one sentence only */
  readonly task?: string;
}

/** Offsets closer to a whole number of frames than this are that number: seconds as decimals are not exact. */
const NEAR = 1e-4;

export class Windows {
  readonly count: number;
  /** windows, or whole episodes where one of each is taken, that would pass the end of their episode */
  readonly dropped: number;
  /** frames a second that offsets were counted with */
  readonly rate: number;
  readonly #set: LeRobotSet;
  readonly #shape: WindowShape;
  readonly #places: readonly Place[];
  /** by stream, in frames */
  readonly #offsets: ReadonlyMap<Stream, readonly number[]>;
  #last: Promise<Episode> | undefined;

  private constructor(
    set: LeRobotSet,
    shape: WindowShape,
    rate: number,
    offsets: ReadonlyMap<Stream, readonly number[]>,
    { places, dropped }: { readonly places: readonly Place[]; readonly dropped: number },
  ) {
    this.#set = set;
    this.#shape = shape;
    this.#places = places;
    this.#offsets = offsets;
    this.rate = rate;
    this.count = places.length;
    this.dropped = dropped;
  }

  /**
   * Finds the windows of a set; reads no frame.
   * @throws UsageError when offsets fall between frames, no task matches, or no window is left
   */
  static async plan(set: LeRobotSet, shape: WindowShape, choice: WindowChoice = {}): Promise<Windows> {
    const rate = choice.fps ?? set.info.fps;
    const streams = [...Object.values(shape.pictures), ...Object.values(shape.vectors)];
    const offsets = new Map(streams.map((stream) => [stream, inFrames(stream.at, rate, choice, set.name)]));
    const all = [0, ...[...offsets.values()].flat()];
    const reach = [Math.min(...all), Math.max(...all)] as const;
    const found = await placesOf(set, reach, shape, choice, rate);
    return new Windows(set, shape, rate, offsets, found);
  }

  /** What was found and left out, for a person. */
  get note(): string {
    const { name } = this.#set;
    const episodes = new Set(this.#places.map(({ episode }) => episode)).size;
    const left =
      this.dropped === 0
        ? ""
        : `; ${this.dropped} left out that pass the end of their episode (--ends pad keeps them)`;
    return `${name}: ${this.count} windows of ${episodes} episodes at ${this.rate} frames a second${left}`;
  }

  /** The sentence of a window. */
  async task(index: number): Promise<string> {
    const { episode, frame, task } = this.#at(index);
    return task ?? (await this.#episode(episode)).task(frame);
  }

  /**
   * One window.
   * @throws UsageError when there is no such window, FormatError when what it holds cannot be read or is not finite
   */
  async read(index: number): Promise<Window> {
    const place = this.#at(index);
    const { frame } = place;
    const episode = await this.#episode(place.episode);
    const { length } = episode;
    const recorded: Record<string, boolean[]> = {};
    const framesOf = (name: string, stream: Stream): number[] => {
      const wanted = this.#offsets.get(stream)!.map((offset) => frame + offset);
      recorded[name] = wanted.map((f) => f >= 0 && f < length);
      const stillNow = this.#shape.before === "now" && wanted.some((f) => f < 0);
      return wanted.map((f) => (stillNow && f < frame ? frame : Math.min(Math.max(f, 0), length - 1)));
    };
    const pictures: Record<string, FloatPicture[]> = {};
    for (const [name, stream] of Object.entries(this.#shape.pictures)) {
      const frames = framesOf(name, stream);
      const once = new Map<number, FloatPicture>();
      for await (const { index: f, picture } of episode.frames(stream.key, [...new Set(frames)]))
        once.set(f, toRgb(picture));
      pictures[name] = frames.map((f) => once.get(f)!);
    }
    const vectors: Record<string, { size: number; values: Float64Array }> = {};
    for (const [name, stream] of Object.entries(this.#shape.vectors)) {
      const frames = framesOf(name, stream);
      const first = Math.min(...frames);
      const { size, values } = await episode.vector(stream.key, first, Math.max(...frames) + 1);
      const taken = new Float64Array(frames.length * size);
      frames.forEach((f, i) =>
        taken.set(values.subarray((f - first) * size, (f - first + 1) * size), i * size),
      );
      const bad = taken.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) {
        throw new FormatError(
          `${this.#set.name}: ${stream.key}[${bad % size}] of episode ${place.episode}, frame ${frames[Math.floor(bad / size)]}, is ` +
            `${taken[bad]}, expected finite numbers. Leave that window, number ${index}, out with --episodes.`,
        );
      }
      vectors[name] = { size, values: taken };
    }
    const task = place.task ?? episode.task(frame);
    const id = `episode ${place.episode}, frame ${frame}`;
    return { id, episode: place.episode, frame, task, pictures, vectors, recorded };
  }

  #at(index: number): Place {
    const place = this.#places[index] as Place | undefined;
    if (place) return place;
    throw new UsageError(
      `window ${index} does not exist; ${this.#set.name} has ${this.count}, counted from 0.`,
    );
  }

  #episode(index: number): Promise<Episode> {
    const next = (async () => {
      const last = await this.#last?.catch(() => undefined);
      return last?.index === index ? last : this.#set.episode(index);
    })();
    next.catch(() => {});
    this.#last = next;
    return next;
  }
}

/** @throws UsageError for moments between two frames, unless the nearest may be taken */
function inFrames(at: Offsets, rate: number, { resample }: WindowChoice, name: string): readonly number[] {
  if ("frames" in at) return at.frames;
  const exact = at.seconds.map((seconds) => seconds * rate);
  const between = exact.findIndex((frames) => Math.abs(frames - Math.round(frames)) > NEAR);
  if (between >= 0 && !resample) {
    throw new UsageError(
      `${name} has ${rate} frames a second; a moment ${at.seconds[between]} s from now is ${exact[between].toFixed(3)} frames away. ` +
        "--resample takes the nearest frame; --fps says the rate at which it was really recorded.",
    );
  }
  // No negative zero: frames are keys.
  return exact.map((frames) => Math.round(frames) + 0);
}

async function placesOf(
  set: LeRobotSet,
  [least, most]: readonly [number, number],
  { before, least: needed = 0 }: WindowShape,
  { task, ends = "drop", every }: WindowChoice,
  rate: number,
): Promise<{ places: Place[]; dropped: number }> {
  const stride = every === undefined ? undefined : Math.max(1, Math.round(every * rate));
  const matches = task === undefined ? undefined : await matching(set, task);
  const places: Place[] = [];
  let dropped = 0;
  const episodes = await set.episodes(true);
  for (const { index, length, tasks } of episodes) {
    if (matches && tasks.length > 0 && !tasks.some((sentence) => matches.has(sentence))) continue;
    const from = before === "left out" ? -least : 0;
    const end = ends === "pad" ? length - needed : length - most;
    let frames = stride
      ? Array.from({ length: Math.max(0, Math.ceil((length - from) / stride)) }, (_, i) => from + i * stride)
      : Array.from({ length: Math.max(0, end - from) }, (_, i) => from + i);
    // Only an episode of several tasks must be opened to see where they are.
    if (matches && tasks.length !== 1) {
      const episode = await set.episode(index);
      frames = frames.filter((frame) => frame < episode.length && matches.has(episode.task(frame)));
    }
    const whole = frames.filter((frame) => frame < end);
    if (stride) dropped += frames.length - whole.length;
    else if (whole.length === 0 && length > 0) dropped++;
    const taken = stride ? whole : whole.slice((whole.length - 1) >> 1).slice(0, 1);
    const one = tasks.length === 1 ? { task: tasks[0] } : {};
    places.push(...taken.map((frame) => ({ episode: index, frame, ...one })));
  }
  if (places.length > 0) return { places, dropped };
  const longest = episodes.reduce((l, { length }) => Math.max(l, length), 0);
  throw new UsageError(
    `${set.name} has no window of this model: it needs ${most - (before === "left out" ? least : 0) + 1} frames, the longest of ` +
      `${episodes.length} episodes has ${longest}.${ends === "drop" ? " --ends pad keeps those that pass the end." : ""}`,
  );
}

/** The sentence itself, else those that hold it. @throws UsageError listing the sentences when there is none */
async function matching(set: LeRobotSet, task: string): Promise<ReadonlySet<string>> {
  const all = [...(await set.tasks()).values()];
  const low = task.toLowerCase();
  const found = all.includes(task) ? [task] : all.filter((sentence) => sentence.toLowerCase().includes(low));
  if (found.length > 0) return new Set(found);
  const listed = all.slice(0, 20).map((sentence) => `\n  ${JSON.stringify(sentence)}`);
  throw new UsageError(
    `no task of ${set.name} is or holds ${JSON.stringify(task)}; it has ${all.length}:${listed.join("")}${all.length > 20 ? "\n  …" : ""}`,
  );
}
