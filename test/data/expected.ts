/** What an independent reader found in the sets of test/lerobot; see its README. */
import { readFileSync } from "node:fs";

export interface ExpectedFrame {
  readonly frame: number;
  readonly sha256I420?: string;
  readonly sha256Rgb?: string;
  readonly meanRgb: readonly number[];
}

export interface ExpectedEpisode {
  readonly episodeIndex: number;
  readonly length: number;
  readonly dataFile: string;
  readonly fromRow: number;
  readonly firstIndex: number;
  readonly timestamps: readonly number[];
  readonly tasks: readonly { readonly fromFrame: number; readonly task: string }[];
  readonly videos?: Readonly<
    Record<string, { readonly file: string; readonly fromSec: number; readonly firstFrameInFile: number }>
  >;
  readonly frames: Readonly<Record<string, readonly ExpectedFrame[]>>;
}

export interface ExpectedSet {
  readonly codebaseVersion: string;
  readonly fps: number;
  readonly robotType: string | null;
  readonly totalEpisodes: number;
  readonly totalFrames: number;
  readonly cameras: readonly object[];
  readonly episodes: readonly ExpectedEpisode[];
}

export const LEROBOT = "test/lerobot";

export const EXPECTED = JSON.parse(readFileSync(`${LEROBOT}/expected.json`, "utf8")) as Readonly<
  Record<string, ExpectedSet>
>;

const OTHERS = "episodeIndex length dataFile fromRow firstIndex timestamps tasks videos frames".split(" ");

/** Vectors of an episode by their key, (frames, size). */
export const vectorsOf = (episode: ExpectedEpisode): [string, number[][]][] =>
  (Object.entries(episode) as [string, number[][]][]).filter(([key]) => !OTHERS.includes(key));
