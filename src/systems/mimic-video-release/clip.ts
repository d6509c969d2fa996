/**
 * What the published folder leaves unsaid because its networks have one clip: the frame size, and how many frames are imagined behind the
 * five that are seen. `clip.json` says it where it is otherwise.
 */
import { FormatError } from "../../errors.ts";
import { ConfigReader } from "../../networks/config.ts";
import type { TrainedOn } from "../../probe/subject.ts";
import type { ModelFiles } from "../../weights/model-files.ts";

/** Frames that are seen. */
export const CONTEXT_FRAMES = 5;

/** Latent frames of those: the first alone, then one of each four. */
export const CONTEXT_LATENTS = 2;

/** How pixels become latents and those tokens. */
export interface Compression {
  readonly spatial: number;
  readonly temporal: number;
  /** latents along a side of a token */
  readonly patch: number;
}

export interface Clip {
  /** (rows, columns) in pixels */
  readonly frameSize: readonly [number, number];
  readonly futureFrames: number;
  /** (T, H, W) of the latents: seen and imagined frames, rows, columns */
  readonly latents: readonly [number, number, number];
}

const PUBLISHED = { frame_size: [480, 640], future_frames: 56 };

/** Positions that the rotary tables of the release have along each axis, in tokens. */
const MOST_TOKENS = 128;

/** What `clip.json` says; undefined where there is none. */
export const clipFile = async (files: ModelFiles): Promise<unknown> =>
  files.paths.includes("clip.json") ? files.json("clip.json") : undefined;

/** What is measured with weights of this folder: the published one has no clip.json, and one that has and does not say more may hold anything. */
export async function trainedOn(files: ModelFiles): Promise<TrainedOn> {
  const given = await clipFile(files);
  if (given === undefined) return "pretrained";
  const { trained_on: said } = given as { trained_on?: TrainedOn };
  return said ?? "random";
}

/**
 * @param given what `clipFile` says
 * @param where its name, for messages
 * @throws FormatError for one that is malformed or does not divide, UsageError for a field that is not known
 */
export function clipOf(given: unknown = PUBLISHED, where: string, by: Compression): Clip {
  const read = new ConfigReader(given, where);
  read.known("frame_size", "future_frames", "trained_on", "note");
  read.only("trained_on", "random", "toy", "pretrained");
  const { frame_size: size = PUBLISHED.frame_size, future_frames: future = PUBLISHED.future_frames } =
    given as { frame_size?: unknown; future_frames?: unknown };
  const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) > 0;
  if (!Array.isArray(size) || size.length !== 2 || !size.every(isCount)) {
    throw new FormatError(
      `${where}: frame_size is ${JSON.stringify(size)}, expected [rows, columns] in pixels.`,
    );
  }
  if (!isCount(future)) {
    throw new FormatError(
      `${where}: future_frames is ${JSON.stringify(future)}, expected a positive whole number.`,
    );
  }
  const [rows, columns] = size as [number, number];
  const unit = by.spatial * by.patch;
  if (rows % unit !== 0 || columns % unit !== 0) {
    throw new FormatError(
      `${where}: frames of ${rows}×${columns} are not divisible by ${unit} (${by.spatial} pixels a latent, ` +
        `${by.patch} latents a token). The nearest are ${nearest(rows, unit)}×${nearest(columns, unit)}.`,
    );
  }
  const frames = CONTEXT_FRAMES + future;
  if ((frames - 1) % by.temporal !== 0) {
    const k = nearest(frames - 1, by.temporal) + 1 - CONTEXT_FRAMES;
    throw new FormatError(
      `${where}: ${CONTEXT_FRAMES} + ${future} frames are not 1 + ${by.temporal}·k, as the video encoder needs. ` +
        `The nearest future_frames is ${Math.max(by.temporal, k)}.`,
    );
  }
  const latents = [1 + (frames - 1) / by.temporal, rows / by.spatial, columns / by.spatial] as const;
  const tokens = [latents[0], latents[1] / by.patch, latents[2] / by.patch];
  if (tokens.some((n) => n > MOST_TOKENS)) {
    throw new FormatError(
      `${where}: ${tokens.join("×")} tokens; at most ${MOST_TOKENS} along each axis have positions in this model.`,
    );
  }
  return { frameSize: [rows, columns], futureFrames: future, latents };
}

const nearest = (n: number, unit: number): number => Math.max(1, Math.round(n / unit)) * unit;
