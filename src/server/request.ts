/** A decoded message as a request, checked against what the policy asks for before anything runs. */
import { FormatError, UsageError } from "../errors.ts";
import type { PolicyDescription } from "../systems/policy.ts";
import { readCameras, type Shown } from "./cameras.ts";
import type { Value } from "./message.ts";
import { knownKeys, OPTION_KEYS, STATE, strangeKey } from "./names.ts";
import { NdArray } from "./ndarray.ts";

export interface RequestLimits {
  /** rows times columns of a picture */
  readonly pixels: number;
  /** characters of a prompt */
  readonly prompt: number;
  /** seeds of one request */
  readonly seeds: number;
}

export const REQUEST_LIMITS: RequestLimits = { pixels: 2 ** 22, prompt: 4096, seeds: 64 };

export interface RequestHabits {
  /** of requests that have none */
  readonly prompt?: string;
  readonly limits?: RequestLimits;
}

export interface Query {
  /** by camera */
  readonly pictures: ReadonlyMap<string, Shown>;
  /** (J) */
  readonly state: Float32Array;
  readonly prompt: string;
}

export interface Request {
  /** an episode begins */
  readonly reset: boolean;
  /** undefined: only a reset */
  readonly query?: Query;
  readonly stop?: number;
  /** one or, where `spread` is asked for, several */
  readonly seeds: readonly (number | undefined)[];
  readonly spread: boolean;
}

/**
 * Reads a request.
 * @throws UsageError naming a key that is missing, not known or out of range; FormatError for what is no request
 */
export function readRequest(message: Value, policy: PolicyDescription, habits: RequestHabits = {}): Request {
  const limits = habits.limits ?? REQUEST_LIMITS;
  if (!(message instanceof Map))
    throw new FormatError("A request is a map of names to values, such as observation/image and prompt.");
  const values = message as ReadonlyMap<string, Value>;
  refuseStrange(values, policy);
  const reset = readReset(values.get("reset"));
  const { seeds, spread } = readSeeds(values, limits.seeds);
  const stop = values.has("stop")
    ? wholeNumber(values.get("stop"), "stop", policy.stops.last, `${policy.name} can be read after 0 to`)
    : undefined;
  const options = { reset, stop, seeds, spread };
  if (reset && [...values.keys()].every((key) => key !== "frames" && isOption(key))) return options;
  const query: Query = {
    pictures: readCameras(values, policy, limits.pixels),
    state: readState(values.get(STATE), policy),
    prompt: readPrompt(values.get("prompt") ?? habits.prompt, limits.prompt),
  };
  return { ...options, query };
}

const isOption = (key: string): boolean => (OPTION_KEYS as readonly string[]).includes(key);

function refuseStrange(values: ReadonlyMap<string, Value>, policy: PolicyDescription): void {
  const known = knownKeys(policy);
  const strange = [...values.keys()].filter((key) => !known.includes(key));
  if (strange.length === 0) return;
  const rest = strange.length > 8 ? `, and ${strange.length - 8} more` : "";
  throw new UsageError(
    `${policy.name} does not understand ${strange.slice(0, 8).map(strangeKey).join(", ")}${rest}. It understands ${known.join(", ")}.`,
  );
}

function readReset(value: Value | undefined): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== "boolean") throw new UsageError("reset is true where an episode begins, or false.");
  return value;
}

/** A whole number from 0 to `most`. */
function wholeNumber(value: Value | undefined, name: string, most: number, range = "0 to"): number {
  const number = value instanceof NdArray && value.size === 1 ? value.numbers()[0] : value;
  if (typeof number !== "number" || !Number.isInteger(number) || number < 0 || number > most)
    throw new UsageError(`${name} is ${said(number)}; ${range} ${most}, a whole number.`);
  return number;
}

const said = (value: Value | undefined): string =>
  typeof value === "number" || typeof value === "bigint" || typeof value === "boolean"
    ? String(value)
    : typeof value === "string"
      ? JSON.stringify(value.slice(0, 40))
      : value instanceof NdArray
        ? `an array of shape (${value.shape.join(", ")})`
        : Array.isArray(value)
          ? "a list"
          : value === null || value === undefined
            ? "nothing"
            : "of another kind";

const MOST_SEED = 2 ** 32 - 1;

function readSeeds(
  values: ReadonlyMap<string, Value>,
  most: number,
): { seeds: (number | undefined)[]; spread: boolean } {
  const [seed, seeds] = [values.get("seed"), values.get("seeds")];
  if (seeds === undefined || seeds === null)
    return {
      seeds: [seed === undefined || seed === null ? undefined : wholeNumber(seed, "seed", MOST_SEED)],
      spread: false,
    };
  if (seed !== undefined && seed !== null)
    throw new UsageError("seed and seeds are both given. seeds alone: the actions are those of its first.");
  const list = seeds instanceof NdArray && seeds.shape.length === 1 ? [...seeds.numbers()] : seeds;
  if (!Array.isArray(list) || list.length < 2 || list.length > most)
    throw new UsageError(
      `seeds is ${Array.isArray(list) ? `${list.length} long` : said(seeds)}; a list of 2 to ${most}, such as [0, 1, 2].`,
    );
  const numbers = (list as Value[]).map((value) => wholeNumber(value, "One of seeds", MOST_SEED));
  if (new Set(numbers).size < numbers.length)
    throw new UsageError("seeds has one twice; the same seed gives the same actions. Leave it out.");
  return { seeds: numbers, spread: true };
}

function readState(value: Value | undefined, { name, state }: PolicyDescription): Float32Array {
  if (state.length === 0) return new Float32Array(0);
  const names = state.join(", ");
  if (value === undefined || value === null)
    throw new UsageError(`${STATE} is missing: ${state.length} values, ${names}.`);
  const flat = value instanceof NdArray && value.shape.length === 1 ? [...value.numbers()] : value;
  if (!Array.isArray(flat) || flat.length !== state.length)
    throw new UsageError(
      `${STATE} is ${value instanceof NdArray ? `of shape (${value.shape.join(", ")})` : Array.isArray(flat) ? `${flat.length} long` : said(value)}; ` +
        `${name} needs ${state.length} values: ${names}.`,
    );
  const numbers = Float32Array.from(flat as unknown[], Number);
  const bad = flat.findIndex((each, i) => typeof each !== "number" || !Number.isFinite(numbers[i]));
  if (bad >= 0)
    throw new UsageError(`${STATE} has ${said(flat[bad] as Value)} for ${state[bad]}; a finite number.`);
  return numbers;
}

function readPrompt(value: Value | undefined, most: number): string {
  const text = value instanceof NdArray ? value.text() : value instanceof Uint8Array ? textOf(value) : value;
  if (text === undefined || text === null)
    throw new UsageError("prompt is missing: what the robot is to do, a text.");
  if (typeof text !== "string") throw new UsageError(`prompt is ${said(value)}; a text.`);
  if (text.length > most)
    throw new UsageError(`prompt has ${text.length} characters, more than ${most}. Shorten it.`);
  return text;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError("prompt is bytes that are no text.", { cause });
  }
}
