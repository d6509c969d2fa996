/** A data set as text: version, rate, cameras with their codecs, vectors with the names of their numbers, episodes, tasks. */
import { MimicVideoError } from "../../errors.ts";
import type { LeRobotSet } from "./set.ts";

/** Names and sentences that are listed; of more the rest is counted. */
const MOST_LISTED = 40;

/**
 * Reads metadata, and one video file a camera for its codec.
 * @throws FormatError when the set's metadata cannot be read
 */
export async function describeSet(set: LeRobotSet): Promise<string> {
  const { info, files } = set;
  const episodes = await set.episodes();
  const frames = episodes.reduce((sum, { length }) => sum + length, 0);
  const declared =
    info.totalEpisodes === episodes.length && info.totalFrames === frames
      ? ""
      : ` (declared: ${info.totalEpisodes} episodes, ${info.totalFrames} frames)`;
  const lengths = episodes.map(({ length }) => length);
  const range =
    episodes.length === 0 ? "" : `, ${Math.min(...lengths)} to ${Math.max(...lengths)} frames long`;
  const revision = files.revision === "unversioned" ? "" : `, revision ${files.revision}`;
  const tasks = [...(await set.tasks())].sort(([a], [b]) => a - b);
  return [
    `${files.name}: LeRobot data set ${info.version}${revision}`,
    `robot ${info.robotType ?? "not said"}, ${info.fps} frames a second`,
    `${episodes.length} episodes, ${frames} frames${range}${declared}`,
    "cameras",
    ...(await cameraLines(set, episodes.find(({ length }) => length > 0)?.index)),
    ...info.depth.map((key) => `  ${shown(key)}  distances, no pictures`),
    "vectors",
    ...info.vectors.map(({ key, dtype, size, names }) => {
      const listed = names ? `  ${listOf(names.map(shown))}` : "";
      return `  ${shown(key)}  ${dtype} [${size}]${listed}`;
    }),
    `tasks: ${tasks.length}`,
    ...tasks.slice(0, MOST_LISTED).map(([number, task]) => `  ${number}  ${shown(task)}`),
    ...(tasks.length > MOST_LISTED ? [`  … and ${tasks.length - MOST_LISTED} more`] : []),
  ].join("\n");
}

async function cameraLines(set: LeRobotSet, first: number | undefined): Promise<string[]> {
  if (set.cameras.length === 0) return ["  none"];
  const episode =
    first === undefined || set.cameras.every(({ kind }) => kind === "image")
      ? undefined
      : await set.episode(first);
  return Promise.all(
    set.cameras.map(async ({ key, kind, height, width, codec: declared }) => {
      const place = episode?.videos[key];
      let codec = kind === "image" ? "pictures in the tables" : (declared ?? "video");
      if (place) codec = await set.codec(place.file).catch((error: Error) => wrong(declared, error));
      return `  ${shown(key)}  ${height}×${width}  ${codec}`;
    }),
  );
}

/** A camera that cannot be read leaves the others to be listed. */
function wrong(declared: string | undefined, error: Error): string {
  if (!(error instanceof MimicVideoError)) throw error;
  return `${declared ?? "video"}, as declared; ${error.message}`;
}

const listOf = (names: readonly string[]): string =>
  names.slice(0, MOST_LISTED).join(", ") + (names.length > MOST_LISTED ? `, … (${names.length})` : "");

/** A name may hold anything, also what moves a terminal's cursor. */
const shown = (name: string): string => (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(name) ? JSON.stringify(name) : name);
