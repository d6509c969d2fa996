/** `meta/info.json`: version, rate, cameras, vectors and where files lie. Keys that are not known are passed over. */
import { FormatError } from "../../errors.ts";
import { parsePythonJson } from "./json.ts";

/** A feature whose frames are pictures. */
export interface Camera {
  readonly key: string;
  readonly kind: "video" | "image";
  /** as written; a re-encoded set may hold others, and what is decoded counts */
  readonly height: number;
  readonly width: number;
  /** as written, informative only: the file's own counts */
  readonly codec?: string;
}

/** A feature of numbers. */
export interface Vector {
  readonly key: string;
  readonly dtype: string;
  /** numbers a frame: the product of its shape */
  readonly size: number;
  /** one for each number, where they are written */
  readonly names?: readonly string[];
}

export interface Info {
  /** "v3.0" */
  readonly version: string;
  readonly major: 2 | 3;
  /** frames a second as declared, which the video files' times are made of */
  readonly fps: number;
  readonly robotType: string | null;
  /** as declared; the rows count */
  readonly totalEpisodes: number;
  readonly totalFrames: number;
  readonly chunksSize: number;
  readonly dataPath: string;
  readonly videoPath: string | null;
  readonly cameras: readonly Camera[];
  readonly vectors: readonly Vector[];
  /** cameras of distances, which are no pictures */
  readonly depth: readonly string[];
  /** what the reader of it should tell a person */
  readonly notes: readonly string[];
}

export const INFO = "meta/info.json";

/** Columns that number and time the rows. */
export const INDEX_COLUMNS = ["timestamp", "frame_index", "episode_index", "index", "task_index"];

const NUMERIC = /^(float(16|32|64)|u?int(8|16|32|64)|bool)$/;

/** @throws FormatError naming the field, what was found and what was expected */
export function readInfo(text: string, name: string): Info {
  const where = `${name}/${INFO}`;
  const json = parsePythonJson(text, where);
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new FormatError(`${where} is no JSON object, as a LeRobot data set's is.`);
  const fields = json as Record<string, unknown>;
  const { codebase_version: version } = fields;
  const found = /^v?(\d+)\.(\d+)/.exec(typeof version === "string" ? version : "");
  const [major, minor] = [Number(found?.[1]), Number(found?.[2])];
  if (!found || major < 2 || major > 3) {
    throw new FormatError(
      `${where}: codebase_version is ${JSON.stringify(version) ?? "missing"}; formats 2.0, 2.1 and 3 are read. ` +
        "Convert the set with the lerobot package: `python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id=…` " +
        "makes 3.0 of 2.1, older packages made 2.0 of what came before.",
    );
  }
  const known = major === 2 ? minor <= 1 : minor === 0;
  const number = (key: string, otherwise?: number): number => {
    const value = fields[key] ?? otherwise;
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
    throw new FormatError(
      `${where}: ${key} is ${JSON.stringify(fields[key]) ?? "missing"}, expected a number.`,
    );
  };
  const template = (key: string): string | null => {
    const value = fields[key] ?? null;
    if (value === null || typeof value === "string") return value;
    throw new FormatError(`${where}: ${key} is ${JSON.stringify(value)}, expected a path template.`);
  };
  const fps = number("fps");
  if (fps === 0) throw new FormatError(`${where}: fps is 0, expected frames a second.`);
  const dataPath = template("data_path");
  if (dataPath === null)
    throw new FormatError(`${where}: data_path is missing; it says where the tables lie.`);
  const features = readFeatures(fields.features, where);
  return {
    version: version as string,
    major: major as 2 | 3,
    fps,
    robotType: typeof fields.robot_type === "string" ? fields.robot_type : null,
    totalEpisodes: number("total_episodes", 0),
    totalFrames: number("total_frames", 0),
    chunksSize: number("chunks_size", 1000) || 1000,
    dataPath,
    videoPath: template("video_path"),
    ...features,
    notes: [
      ...(known
        ? []
        : [`${where}: version ${version as string} is newer than what is known; it is read as ${major}.0.`]),
      ...features.depth.map((key) => `${name}: ${key} holds distances and is left out of the cameras.`),
    ],
  };
}

type Features = Pick<Info, "cameras" | "vectors" | "depth">;

function readFeatures(json: unknown, where: string): Features {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new FormatError(`${where}: features is missing; it says which columns and cameras there are.`);
  const cameras: Camera[] = [];
  const vectors: Vector[] = [];
  const depth: string[] = [];
  for (const [key, value] of Object.entries(json)) {
    const { dtype, shape, names, ...rest } = (value ?? {}) as Record<string, unknown>;
    const info = (rest.info ?? rest.video_info ?? {}) as Record<string, unknown>;
    const sizes =
      Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0)
        ? (shape as number[])
        : undefined;
    if (dtype === "video" || dtype === "image") {
      if (info.is_depth_map === true || info["video.is_depth_map"] === true) depth.push(key);
      else cameras.push({ key, kind: dtype, ...pictureSize(sizes ?? [], names), ...codecOf(info) });
    } else if (typeof dtype === "string" && NUMERIC.test(dtype) && !INDEX_COLUMNS.includes(key)) {
      if (!sizes)
        throw new FormatError(`${where}: the shape of ${key} is ${JSON.stringify(shape)}, expected sizes.`);
      const size = sizes.reduce((product, n) => product * n, 1);
      const written = flatNames(names);
      vectors.push({ key, dtype, size, ...(written.length === size && { names: written }) });
    }
  }
  return { cameras, vectors, depth };
}

const codecOf = (info: Record<string, unknown>): { codec?: string } => {
  const codec = info["video.codec"];
  return typeof codec === "string" ? { codec } : {};
};

/** [height, width, channels], or [channels, height, width] where the names say so, or nothing else can be meant. */
function pictureSize(shape: readonly number[], names: unknown): { height: number; width: number } {
  const words = Array.isArray(names) ? names.map((word) => String(word)) : [];
  const [height, width] = ["height", "width"].map((word) => words.indexOf(word));
  if (height >= 0 && width >= 0) return { height: shape[height] ?? 0, width: shape[width] ?? 0 };
  const channelsFirst = shape.length === 3 && shape[0] <= 4 && shape[2] > 4;
  const [h = 0, w = 0] = channelsFirst ? shape.slice(1) : shape;
  return { height: h, width: w };
}

/** A list of names, or one nested in objects: `{"motors": ["x", "y"]}`. */
function flatNames(names: unknown): string[] {
  if (Array.isArray(names))
    return names.flatMap((name) => (typeof name === "string" ? [name] : flatNames(name)));
  if (typeof names === "object" && names !== null) return Object.values(names).flatMap(flatNames);
  return [];
}
