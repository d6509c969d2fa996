/** What the policy's cameras show in a request: a picture each, or a stack of frames. */
import { UsageError } from "../errors.ts";
import type { Picture, PolicyDescription } from "../systems/policy.ts";
import type { Value } from "./message.ts";
import { cameraKeys, strangeKey } from "./names.ts";
import { NdArray } from "./ndarray.ts";
import { readPicture, readStack } from "./pictures.ts";

/** What a camera shows: the present alone, or with what was before, oldest first. */
export type Shown = { readonly now: Picture } | { readonly stack: readonly Picture[] };

/**
 * Every camera's pictures, from its key or from `frames`.
 * @param mostPixels rows times columns
 * @throws UsageError for a camera that shows nothing, shows twice or is not the policy's
 */
export function readCameras(
  values: ReadonlyMap<string, Value>,
  policy: PolicyDescription,
  mostPixels: number,
): Map<string, Shown> {
  const keys = cameraKeys(policy);
  const stacks = readStacks(values.get("frames"), policy, mostPixels);
  const pictures = new Map<string, Shown>();
  for (const [camera, key] of keys) {
    const given = [...new Set([key, `observation/${camera}`])].filter((name) => values.has(name));
    if (given.length > 1) throw new UsageError(`${given.join(" and ")} are the same camera. Send one.`);
    const stack = stacks.get(camera);
    const array = given.length > 0 ? values.get(given[0]) : undefined;
    if (array === undefined && stack === undefined)
      throw new UsageError(`${key} is missing: a picture (rows, columns, 3), or a stack of them in frames.`);
    if (array !== undefined && !(array instanceof NdArray))
      throw new UsageError(`${given[0]} is no numpy array; a picture is one, (rows, columns, 3).`);
    const now = array && readPicture(array, given[0], mostPixels);
    if (now && stack && !samePicture(now, stack[stack.length - 1]))
      throw new UsageError(
        `${given[0]} is not the last of frames, which is the present. Leave it out, or add it to frames.`,
      );
    pictures.set(camera, stack ? { stack } : { now: now! });
  }
  return pictures;
}

function readStacks(
  value: Value | undefined,
  policy: PolicyDescription,
  mostPixels: number,
): Map<string, Picture[]> {
  const keys = cameraKeys(policy);
  const stacks = new Map<string, Picture[]>();
  if (value === undefined || value === null) return stacks;
  if (value instanceof NdArray) {
    if (keys.size > 1)
      throw new UsageError(
        `frames is one stack, and ${policy.name} has ${keys.size} cameras. Send a map with ${[...keys.values()].join(", ")}.`,
      );
    return stacks.set([...keys.keys()][0], readStack(value, "frames", mostPixels));
  }
  if (!(value instanceof Map))
    throw new UsageError("frames is a numpy array (frames, rows, columns, 3), or a map of them by camera.");
  for (const [name, stack] of value as ReadonlyMap<string, Value>) {
    const camera = [...keys].find(([own, key]) => [own, key, `observation/${own}`].includes(name))?.[0];
    if (camera === undefined)
      throw new UsageError(
        `frames has ${strangeKey(name)}, which is no camera of ${policy.name}: ${[...keys.values()].join(", ")}.`,
      );
    if (!(stack instanceof NdArray)) throw new UsageError(`frames of ${name} is no numpy array.`);
    if (stacks.has(camera)) throw new UsageError(`frames has the camera ${camera} twice. Send one stack.`);
    stacks.set(camera, readStack(stack, `frames of ${name}`, mostPixels));
  }
  return stacks;
}

const samePicture = (a: Picture, b: Picture): boolean =>
  a.width === b.width && a.height === b.height && a.rgb.every((value, i) => value === b.rgb[i]);
