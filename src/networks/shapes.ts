/** A model's dimensions from the shapes of its tensors, where no config.json tells them. */
import { WeightsError } from "../errors.ts";
import type { TensorInfo } from "../weights/source.ts";

/** The lengths of a tensor's axes. @throws WeightsError when it is missing or has another number of axes */
export function axes(
  tensors: ReadonlyMap<string, TensorInfo>,
  name: string,
  key: string,
  count: number,
): readonly number[] {
  const info = tensors.get(key);
  if (!info) throw new WeightsError(`${name} has no tensor "${key}", which tells the model's dimensions`);
  if (info.shape.length !== count || info.shape.some((n) => n < 1))
    throw new WeightsError(`${name}: ${key} is (${info.shape.join(", ")}), expected ${count} axes`);
  return info.shape;
}

/** How many different numbers `pattern` finds in the keys: layers, unless one is missing, which a loader then reports. */
export function numbered(keys: Iterable<string>, pattern: RegExp): number {
  const found = new Set<string>();
  for (const key of keys) {
    const number = pattern.exec(key)?.[1];
    if (number !== undefined) found.add(number);
  }
  return found.size;
}
