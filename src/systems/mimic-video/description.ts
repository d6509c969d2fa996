/** model.json: how the parts of a video-action model are composed (see weights/toy/model.json). */
import { FormatError, UsageError } from "../../errors.ts";
import { ConfigReader } from "../../networks/config.ts";

export interface ModelDescription {
  readonly name: string;
  readonly trainedOn: "random" | "toy" | "pretrained";
  /** subfolders of the parts */
  readonly parts: Readonly<Record<Part, string>>;
  /** subfolder of its own episodes */
  readonly episodes: string;
  readonly extractLayers: readonly number[];
  readonly latentsMean: readonly number[];
  readonly latentsStd: readonly number[];
  /** frames seen, and the latent frames they become */
  readonly contextFrames: number;
  readonly contextLatents: number;
  /** latent frames imagined */
  readonly futureLatents: number;
  /** (rows, columns) in pixels */
  readonly frameSize: readonly [number, number];
  /** what the transformer is told is this times τ */
  readonly videoTimestepScale: number;
  /** whether the action sampler remembers its previous step, as the reference does */
  readonly samplerMemory: boolean;
  /** M, the model's own number of action steps */
  readonly actionSteps: number;
  /** frames of video a second, where the model says so */
  readonly frameRate?: number;
  readonly action: {
    /** actions from one frame of the video to the next */
    readonly perFrame: number;
    readonly names: readonly string[];
    readonly units: readonly string[];
    /** what each dimension of a robot that does not move is, in the data's units: a number, or an entry of the robot's state */
    readonly holdStill?: readonly HoldStill[];
    /** dimensions of two states, such as a gripper, and the states in the data's units */
    readonly events?: Readonly<Record<string, readonly [number, number]>>;
    /** (n, A) the training set's mean chunk, where it is known */
    readonly mean?: Float32Array<ArrayBuffer>;
  };
}

export type HoldStill = number | { readonly state: number };

export type Part = "transformer" | "vae" | "text_encoder" | "tokenizer" | "action_decoder";

/** Words for people, which nothing is computed from. */
const WORDS = ["note", "description", "license"];

const PARTS: readonly Part[] = ["transformer", "vae", "text_encoder", "tokenizer", "action_decoder"];

/**
 * @throws UsageError when the folder describes another kind of model or has a field that is not known, FormatError for a missing or
 *   malformed field
 */
export function readModelDescription(json: unknown, name: string): ModelDescription {
  const c = new ConfigReader(json, `${name}/model.json`);
  const kind = c.has("kind") ? c.text("kind") : "nothing";
  if (kind !== "mimic-video") {
    throw new UsageError(
      `${name}/model.json describes "${kind}"; this probe runs models of the kind "mimic-video"`,
    );
  }
  c.known(
    ...[
      "kind",
      "name",
      "trained_on",
      ...PARTS,
      "extract_layers",
      "latents_mean",
      "latents_std",
      "context_frames",
    ],
    ...["context_latents", "future_latents", "frame_size", "video_timestep_scale", "sampler_memory"],
    ...["action_steps", "action", "episodes", "frame_rate", ...WORDS],
  );
  c.only("trained_on", "random", "toy", "pretrained");
  const action = new ConfigReader((json as { action?: unknown }).action, `${name}/model.json, action`);
  action.known("names", "units", "hold_still", "events", "mean", "rate", ...WORDS);
  const names = strings(action, json, "names");
  return {
    name: c.text("name", name),
    trainedOn: c.text("trained_on") as ModelDescription["trainedOn"],
    parts: Object.fromEntries(PARTS.map((part) => [part, folder(c.text(part, part), name)])) as Record<
      Part,
      string
    >,
    episodes: folder(c.text("episodes", "episodes"), name),
    extractLayers: c.numbers("extract_layers"),
    latentsMean: c.numbers("latents_mean"),
    latentsStd: c.numbers("latents_std"),
    contextFrames: c.count("context_frames"),
    contextLatents: c.count("context_latents"),
    futureLatents: c.count("future_latents"),
    frameSize: c.numbers("frame_size", 2) as [number, number],
    videoTimestepScale: c.number("video_timestep_scale", 1000),
    samplerMemory: c.flag("sampler_memory", true),
    actionSteps: c.count("action_steps", 16),
    ...(c.has("frame_rate") && { frameRate: c.number("frame_rate") }),
    action: {
      perFrame: perFrame(json, name),
      names,
      units: strings(action, json, "units", names.length),
      holdStill: holdStill(json, names.length, name),
      events: events(json, names, name),
      mean: meanChunk(json, names.length, name),
    },
  };
}

/** A subfolder's name; one that leaves the model's folder is refused. */
function folder(part: string, name: string): string {
  if (part.startsWith("/") || part.split(/[\\/]/).includes("..")) {
    throw new FormatError(`${name}/model.json: the part "${part}" lies outside of the model's folder`);
  }
  return part;
}

function strings(action: ConfigReader, json: unknown, key: "names" | "units", length?: number): string[] {
  const list = action.has(key) ? (json as { action: Record<string, unknown> }).action[key] : undefined;
  const fits = Array.isArray(list) && list.every((v) => typeof v === "string");
  if (!fits || (length !== undefined && list.length !== length)) {
    throw new FormatError(
      `model.json: action.${key} is ${JSON.stringify(list)}, expected ${length ?? "some"} strings`,
    );
  }
  return list;
}

/** `"rate": "2 per video frame"`; without one, an action a frame. */
function perFrame(json: unknown, name: string): number {
  const { rate } = (json as { action: { rate?: unknown } }).action;
  if (rate === undefined || rate === null) return 1;
  const text = typeof rate === "string" ? rate : "";
  const count = typeof rate === "number" ? rate : Number(/^(\d+) per video frame$/.exec(text)?.[1]);
  if (Number.isInteger(count) && count > 0) return count;
  throw new FormatError(
    `${name}/model.json: action.rate is ${JSON.stringify(rate)}, expected actions a video frame, such as "2 per video frame"`,
  );
}

function holdStill(json: unknown, width: number, name: string): HoldStill[] | undefined {
  const { hold_still: list } = (json as { action: { hold_still?: unknown } }).action;
  if (list === undefined || list === null) return undefined;
  const fits = (value: unknown): boolean => {
    if (typeof value === "number") return Number.isFinite(value);
    const { state } = (value ?? {}) as { state?: unknown };
    return Number.isInteger(state) && (state as number) >= 0;
  };
  if (!Array.isArray(list) || list.length !== width || !list.every(fits)) {
    throw new FormatError(
      `${name}/model.json: action.hold_still is ${JSON.stringify(list)}, expected ${width} entries, each a number or {"state": index}`,
    );
  }
  return list as HoldStill[];
}

function events(
  json: unknown,
  names: readonly string[],
  name: string,
): Record<string, [number, number]> | undefined {
  const { events: given } = (json as { action: { events?: unknown } }).action;
  if (given === undefined || given === null) return undefined;
  const fits = ([dimension, states]: [string, unknown]): boolean =>
    names.includes(dimension) &&
    Array.isArray(states) &&
    states.length === 2 &&
    states.every((state) => typeof state === "number" && Number.isFinite(state)) &&
    states[0] !== states[1];
  if (typeof given !== "object" || !Object.entries(given).every(fits)) {
    throw new FormatError(
      `${name}/model.json: action.events is ${JSON.stringify(given)}, expected two different numbers for some of ${names.join(", ")}`,
    );
  }
  return given as Record<string, [number, number]>;
}

function meanChunk(json: unknown, width: number, name: string): Float32Array<ArrayBuffer> | undefined {
  const { mean } = (json as { action: { mean?: unknown } }).action;
  if (mean === undefined || mean === null) return undefined;
  const rows = mean as number[][];
  if (!Array.isArray(mean) || rows.some((row) => !Array.isArray(row) || row.length !== width)) {
    throw new FormatError(`${name}/model.json: action.mean is not a list of rows of ${width} numbers`);
  }
  return Float32Array.from(rows.flat());
}
