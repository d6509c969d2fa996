/**
 * A checkpoint under other names: a view of a source, nothing is read or copied. Models ask for their weights by one layout's keys; a
 * key map lets a checkpoint in another layout answer.
 */
import { WeightsError } from "../errors.ts";
import type { TensorInfo, TensorSource } from "./source.ts";

/** The name that a stored key has for the model; undefined: the model has no such tensor, and the key is left out. */
export type KeyMap = (stored: string) => string | undefined;

/** Applies each [pattern, replacement] in turn. */
export const renaming =
  (rules: readonly (readonly [RegExp, string])[]): KeyMap =>
  (stored) =>
    rules.reduce((key, [pattern, replacement]) => key.replace(pattern, replacement), stored);

/**
 * `source` with its keys renamed.
 * @throws WeightsError when two stored keys would get one name
 */
export function mapKeys(source: TensorSource, map: KeyMap): TensorSource {
  const storedName = new Map<string, string>();
  const tensors = new Map<string, TensorInfo>();
  for (const [stored, info] of source.tensors) {
    const name = map(stored);
    if (name === undefined) continue;
    const other = storedName.get(name);
    if (other !== undefined)
      throw new WeightsError(`${source.name}: both "${other}" and "${stored}" would be "${name}".`);
    storedName.set(name, stored);
    tensors.set(name, { ...info, name });
  }
  const stored = (name: string): string => {
    const found = storedName.get(name);
    if (found === undefined) throw new WeightsError(`${source.name} has no tensor "${name}".`);
    return found;
  };
  return {
    ...source,
    tensors,
    read: async (name) => source.read(stored(name)),
    stream: (name, chunkBytes) => source.stream(stored(name), chunkBytes),
    close: () => source.close(),
  };
}
